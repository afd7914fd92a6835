"""Streams of beats through drawn elements, in Amaranth's simulator."""

from collections.abc import Sequence
from random import Random

import numpy as np
import numpy.typing as npt
from amaranth.sim import Simulator

from lowbit.rtl.elements import Element, PlanesElement

Integers = npt.NDArray[np.int64]


def codes(element: Element, sums: int, seed: int = 0) -> tuple[Integers, Integers]:
    """Return random activation and weight codes ``[sums, beats, lanes]``, the first sums at the extremes."""
    random, shape = np.random.default_rng(seed), (sums, element.beats, element.lanes)
    activations = random.integers(0, 1 << element.activation_bits, shape)
    weights = random.integers(0, 1 << element.weight_bits, shape)
    extremes = [
        (a, w)
        for a in extreme_codes(element.activation_values())
        for w in extreme_codes(element.weight_values(coefficients(element, 1)[0]))
    ]
    for at, (a, w) in enumerate(extremes[:sums]):
        activations[at], weights[at] = a, w
    return activations, weights


def extreme_codes(values: Integers) -> list[int]:
    return [int(values.argmin()), int(values.argmax())]


def coefficients(element: Element, channels: int, seed: int = 0) -> Integers:
    """Return coefficients of so many output channels, the largest first; of no width where there are none."""
    random, planes = np.random.default_rng(seed), element.weight_bits
    largest = element.largest_coefficient if isinstance(element, PlanesElement) else 1
    found = random.integers(int(largest == 1), largest + 1, (channels, planes))
    found[0] = largest
    return found


def stream(
    element: Element,
    activations: Integers,
    weights: Integers,
    channels: Integers | None = None,
    *,
    stall: float = 0.0,
) -> list[int]:
    """Return the sums that the drawn element makes of codes ``[sums, beats, lanes]``."""
    hardware, random, found = element.draw(), Random(1), []  # noqa: S311
    beats = [
        (
            beat == 0,
            element.pack_activations(a),
            element.pack(w),
            0 if channels is None else element.pack_coefficients(channels[number]),
        )
        for number in range(len(activations))
        for beat, (a, w) in enumerate(zip(activations[number], weights[number], strict=True))
    ]

    async def bench(context):  # type: ignore[no-untyped-def]
        for clock in range(len(beats) + element.latency):
            while random.random() < stall:
                context.set(hardware.enable, 0)
                context.set(hardware.activations, random.getrandbits(len(hardware.activations)))
                context.set(hardware.first, random.getrandbits(1))
                await context.tick()
            first, x, w, channel = beats[clock] if clock < len(beats) else (1, 0, 0, 0)
            context.set(hardware.enable, 1)
            context.set(hardware.first, first)
            context.set(hardware.activations, x)
            context.set(hardware.weights, w)
            context.set(hardware.coefficients, channel)
            ends = clock - element.latency
            if ends >= 0 and ends % element.beats == element.beats - 1:
                found.append(context.get(hardware.sum))
            await context.tick()

    simulator = Simulator(hardware)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def models(
    element: Element, activations: Integers, weights: Integers, channels: Integers | None = None
) -> list[int]:
    """Return what the naive model makes of the same."""
    rows: Sequence[Integers | None] = [None] * len(weights) if channels is None else list(channels)
    return [element.model(a, w, c) for a, w, c in zip(activations, weights, rows, strict=True)]
