"""Rounding in integers: proved equal to the engine's float64 at every step; wrong multipliers are found."""

from dataclasses import replace

import numpy as np
import pytest

from lowbit.c99.requantize import LongMultiplier, Multiplier, Rounding, differences, multiplier_of

RULES = ("round_even", "round_up", "round_down")


def rounding(seed: int, rule: str, bits: int, channels: int = 3) -> tuple[Rounding, int]:
    random = np.random.default_rng(seed)
    bound = int(random.integers(50, 1 << 14))
    high = (1 << bits) - 1
    step = float(np.float32(random.uniform(0.001, 0.1)))
    scale = step * (1 << bits) / bound * random.uniform(0.2, 3, channels)
    bias = random.normal(size=channels) if seed % 2 else np.zeros(0)
    zero = int(random.integers(0, high + 1))
    return Rounding(scale, bias, step, rule, -zero, high - zero), bound


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_what_is_proved_is_equal_at_every_sum(rule: str, bits: int) -> None:
    for seed in range(3):
        wanted, bound = rounding(seed, rule, bits)
        found, steps = multiplier_of(wanted, bound), wanted.all_steps(bound)
        assert found is not None
        sums = np.arange(-bound, bound + 1)
        for channel in range(len(steps)):
            each = np.full(len(sums), channel)
            level = wanted.level(sums, each)
            np.testing.assert_array_equal(found.level(sums, each, wanted.low, wanted.high), level)
            ranks = (sums[:, None] > steps[channel]).sum(axis=1) if bits < 8 else level - wanted.low
            np.testing.assert_array_equal(ranks, level - wanted.low)


def test_a_wrong_multiplier_is_found() -> None:
    wanted, bound = rounding(3, "round_even", 8)
    found, steps = multiplier_of(wanted, bound), wanted.all_steps(bound)
    every = np.arange(len(steps))
    assert isinstance(found, Multiplier) and differences(found, wanted, steps, every, bound) == 0
    for channel in range(len(steps)):
        wrong = found.multiplier.copy()
        wrong[channel] += wrong[channel] >> 12
        assert differences(replace(found, multiplier=wrong), wanted, steps, every, bound) > 0
        added = found.addend.copy()
        added[channel] += np.int64(1) << (found.shift - 1)
        assert differences(replace(found, addend=added), wanted, steps, every, bound) > 0


def test_ties_to_even_have_no_multiplier_but_steps() -> None:
    wanted = Rounding(np.full(3, 0.25), np.zeros(0), 1.0, "round_even", 0, 15)
    steps = wanted.all_steps(100)
    assert multiplier_of(wanted, 100) is None
    sums = np.arange(-100, 101)
    ranks = (sums[:, None] > steps[0]).sum(axis=1)
    np.testing.assert_array_equal(ranks, wanted.level(sums, np.zeros(len(sums), int)))


def sixteen_bits(seed: int) -> tuple[Rounding, int]:
    """Return a rounding to fixed point whose levels products of 61 bits do not tell apart."""
    random = np.random.default_rng(seed)
    bound = 1 << 26
    scale = 2.0**-11 * (1 << 16) / bound * random.uniform(0.3, 1, 4)
    offset = random.integers(-1000, 1000, 8) if seed % 2 else np.zeros(0, np.int64)
    return Rounding(scale, random.normal(size=8), 2.0**-11, "round_up", -32768, 32767, offset), bound


@pytest.mark.parametrize("seed", [4, 5])
def test_two_words_tell_all_levels_of_a_fixed_point_sum_apart(seed: int) -> None:
    wanted, bound = sixteen_bits(seed)
    found, every = multiplier_of(wanted, bound), np.arange(8)
    assert isinstance(found, LongMultiplier)
    steps = wanted.all_steps(bound)
    assert differences(found, wanted, steps, every, bound) == 0
    sums = np.random.default_rng(seed).integers(-bound, bound + 1, (8, 10_000))
    channel = np.broadcast_to(every[:, None], sums.shape)
    np.testing.assert_array_equal(
        found.level(sums, channel, wanted.low, wanted.high), wanted.level(sums, channel)
    )
    for word in ("high", "low", "addend_high"):
        wrong = getattr(found, word).copy()
        wrong[3] += {"high": 1, "low": wrong[3] >> 9, "addend_high": 1 << (found.shift - 8)}[word]
        assert differences(replace(found, **{word: wrong}), wanted, steps, every, bound) > 0
