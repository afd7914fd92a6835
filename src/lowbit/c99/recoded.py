"""Reals that stand between codes become integers, where that is proved: means, sums and other encodings.

What a decoder makes is a number for each integer. So an encoder behind it is a table of these integers; one
behind a mean of windows is a table of their sums; and one behind a sum of two is

    clip((a * m_a + b * m_b + addend) >> shift, low, high)

with numbers for which every pair of integers has been compared with the engine's own float32 arithmetic.
Where there are no such numbers, the reals stay and the network is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.c99.functions import evaluated, folded, source_of
from lowbit.c99.inputs import Encoder, Whole, encoded, mean_of
from lowbit.c99.moved import moved
from lowbit.program import ProgramPlan, steps

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float32]

_MOST_PAIRS = 1 << 20
_BITS = 31


@dataclass(frozen=True, eq=False)
class Recode(steps.Step):
    """An encoder of what the integers of its source stand for, or of the means of windows of them.

    Attributes:
        encoder: what codes.
        whole: the integers.
        pool: the windows, if any, and the number of their means.
        means: what sums stand for, if there is a pool, and they decide.
    """

    encoder: Encoder
    whole: Whole
    pool: tuple[int, steps.AveragePool] | None = None
    means: Whole | None = None


def form_of(step: Encoder) -> steps.Form:
    """Return the form of what an encoder makes."""
    if isinstance(step, steps.Round):
        return step.form
    if isinstance(step, steps.EncodePlanes):
        return "planes"
    return "words" if isinstance(step, steps.Rank) else "bytes"


@dataclass(frozen=True, eq=False)
class AddCodes(steps.Step):
    """``clip((a * first + b * second + addend) >> shift, low, high)``, the entries of an encoder."""

    encoder: Encoder
    first: int
    second: int
    addend: int
    shift: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class ExactMeans:
    """Codes of the means of integers by their exact sums, where sums of integers do not decide.

    Attributes:
        numbers: what each integer stands for, in units that make all whole.
        thresholds: the largest sum of each code but the last.
        first: the code of the least sum.
    """

    numbers: Integers
    thresholds: Integers
    first: int


def exact_means(step: Encoder, whole: Whole, taps: int) -> ExactMeans:
    """Return how exact sums are coded, as the engine does: float32 added in float64, divided, rounded once.

    Args:
        step: the encoder.
        whole: the integers.
        taps: of a window.
    """
    reals = whole.reals.astype(np.float64)
    exponents = np.frexp(reals[reals != 0])[1]
    unit = 2.0 ** (int(exponents.min()) - 24)  # float32 has 24 bits
    numbers = np.rint(reals / unit).astype(np.int64)

    def code(sums: Integers) -> Integers:
        means = (sums.astype(np.float64) * unit / taps).astype(np.float32)
        return encoded(step, means)

    low, high = int(numbers.min()) * taps, int(numbers.max()) * taps
    first, last = (int(code(np.array([each]))[0]) for each in (low, high))
    below, above = np.full(last - first, low), np.full(last - first, high)
    wanted = np.arange(first, last)
    while (below < above).any():
        middle = below + (above - below + 1) // 2
        stays = code(middle) <= wanted
        below, above = np.where(stays, middle, below), np.where(stays, above, middle - 1)
    return ExactMeans(numbers, below, first)


def without_reals(planned: ProgramPlan) -> ProgramPlan:
    """Return a plan whose encoders of reals that codes decide read these codes, where that is proved.

    Steps that nothing reads any more stay where they are, so that numbers do not change; see `live`.
    """
    first = len(planned.inputs)
    made: dict[int, steps.Step] = {first + index: step for index, step in enumerate(planned.steps)}
    planes = _in_planes(made)
    kept = frozenset(planned.numbers)
    for number, step in list(made.items()):
        if isinstance(step, Encoder):
            found = _before(step, made, planes, kept)
            made.update({number if each == -1 else each: other for each, other in found.items()})
    results = tuple(
        replace(result, value="") if old is not new and not isinstance(old, Encoder) else result
        for result, old, new in zip(planned.results, planned.steps, made.values(), strict=True)
    )  # reals that are codes now are not those of their name
    return replace(planned, steps=tuple(made.values()), results=results)


def _before(
    step: Encoder, made: dict[int, steps.Step], planes: set[int], kept: frozenset[int]
) -> dict[int, steps.Step]:
    """Return steps that make an encoder's codes without reals, the last of them under -1; none: it stays."""

    def coded(view: Mapping[int, steps.Step]) -> steps.Step | None:
        return _recoded(step, view, planes) or folded(step, view, form_of(step))

    return moved(step, made, kept, coded) or {}


def live(planned: ProgramPlan) -> set[int]:
    """Return the numbers of values that outputs are made of."""
    first = len(planned.inputs)
    found, rest = set(planned.numbers), [*planned.numbers]
    while rest:
        number = rest.pop()
        sources = planned.steps[number - first].sources if number >= first else ()
        rest += {*sources} - found
        found.update(sources)
    return found


def _recoded(step: Encoder, made: Mapping[int, steps.Step], planes: set[int]) -> steps.Step | None:
    function, number = _functions(step.sources[0], made)
    source = made.get(number)
    if isinstance(source, steps.Combine) and source.operation == "add":
        parts = [_whole(each, made, planes) for each in source.sources]
        if len(parts) == 2 and parts[0] is not None and parts[1] is not None:
            return _sum(step, (parts[0], parts[1]), function)
    if isinstance(source, steps.AveragePool):
        part = _whole(source.sources[0], made, planes)
        means = mean_of(part[1], source) if part else None
        if part is None or means is None or number != step.sources[0]:
            return None  # a function behind a mean has not been needed
        decided = means if means.decides(step) else None
        return Recode(step, part[1], (number, source), decided, sources=(part[0],))
    number = source_of(step.sources[0], made)
    part = _whole(number, made, planes)
    reals = None if part is None else evaluated(step, made, number, part[1].reals)
    if part is None or reals is None:
        return None
    return Recode(step, replace(part[1], reals=reals), sources=(part[0],))


def _functions(number: int, made: Mapping[int, steps.Step]) -> tuple[Callable[[Reals], Reals], int]:
    """Return what elementwise steps behind a value make of it, and the number of that value."""
    found: list[steps.Clip | steps.Activate] = []
    while (step := made.get(number)) is not None:
        if not isinstance(step, steps.Clip) and not (
            isinstance(step, steps.Activate) and step.function in ("identity", "relu")
        ):
            break
        found.append(step)
        number = step.sources[0]

    def composed(x: Reals) -> Reals:
        for step in reversed(found):
            if isinstance(step, steps.Clip):
                x = np.clip(x, np.float32(step.low), np.float32(step.high))
            elif step.function == "relu":
                x = np.maximum(x, np.float32(0))
        return x

    return composed, number


def _whole(number: int, made: Mapping[int, steps.Step], planes: set[int]) -> tuple[int, Whole] | None:
    """Return the number of codes and what they stand for, where a decoder of bytes or words makes a value."""
    function, number = _functions(number, made)
    step = made.get(number)
    if not isinstance(step, steps.Decode | steps.DecodeWords) or step.sources[0] in planes:
        return None
    words = isinstance(step, steps.DecodeWords)
    ctype = "word_t" if words else "uint8_t"
    least = step.least if isinstance(step, steps.DecodeWords) else 0
    return step.sources[0], Whole(ctype, least, function(step.table), "codes")


def _in_planes(made: dict[int, steps.Step]) -> set[int]:
    found: set[int] = set()
    for number, step in made.items():
        ending: Any = getattr(step, "ending", step)
        form = "planes" if isinstance(ending, steps.PlaneEnding | steps.EncodePlanes) else None
        form = form or getattr(ending, "form", None)
        moved = isinstance(
            step, steps.MaxPool | steps.Concatenate | steps.Flatten | steps.Arrange | steps.Gather
        )
        if form == "planes" or (moved and found.intersection(step.sources)):
            found.add(number)
    return found


def _sum(
    step: Encoder, parts: tuple[tuple[int, Whole], tuple[int, Whole]], function: Callable[[Reals], Reals]
) -> AddCodes | None:
    """Return the integers that code a sum, proved for all pairs, or None."""
    (a, one), (b, two) = parts
    if len(one.reals) * len(two.reals) > _MOST_PAIRS or not (_is_even(one.reals) and _is_even(two.reals)):
        return None
    wanted = encoded(step, function(one.reals[:, None] + two.reals[None, :]).reshape(-1)).astype(np.int64)
    low, high = int(wanted.min()), int(wanted.max())
    grid = _per_code(step)
    if low == high or grid is None:
        return None
    numbers = [np.arange(each.least, each.last + 1, dtype=np.int64) for each in (one, two)]
    for shift, factors in _factors(one.reals, two.reals, grid):
        products = (numbers[0][:, None] * factors[0] + numbers[1][None, :] * factors[1]).reshape(-1)
        inside = np.where(wanted > low, (wanted << shift) - products, -(np.int64(1) << 62)).max()
        ends = np.where(wanted < high, ((wanted + 1) << shift) - 1 - products, np.int64(1) << 62).min()
        if inside > ends:
            continue
        addend = int(inside + (ends - inside) // 2)
        reach = np.abs(products + addend).max()
        if reach < 1 << _BITS and abs(addend) < 1 << _BITS:
            found = np.clip((products + addend) >> shift, low, high)
            assert np.array_equal(found, wanted)
            return AddCodes(step, *factors, addend, shift, low, high, sources=(a, b))
    return None


def _factors(one: Reals, two: Reals, grid: float) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield shifts, the finest first that 31 bits hold, and factors of both integers."""
    slopes = [float(reals[-1] - reals[0]) / (len(reals) - 1) / grid for reals in (one, two)]
    most = max(abs(slope) * len(reals) for slope, reals in zip(slopes, (one, two), strict=True))
    for shift in range(28, 4, -1):
        if most * 2.0**shift < 1 << (_BITS - 2):
            yield shift, (round(slopes[0] * 2.0**shift), round(slopes[1] * 2.0**shift))


def _is_even(reals: Reals) -> bool:
    line = np.linspace(float(reals[0]), float(reals[-1]), len(reals))
    return len(reals) > 1 and float(np.abs(reals - line).max()) <= float(np.abs(reals).max()) * 2.0**-20


def _per_code(step: Encoder) -> float | None:
    """Return the real that a code counts, of an even encoder."""
    if isinstance(step, steps.EncodeAffine):
        return step.scale
    if isinstance(step, steps.Round):
        return step.step
    thresholds = step.thresholds
    if len(thresholds) < 2 or not _is_even(thresholds):
        return None
    per_rank = float(thresholds[-1] - thresholds[0]) / (len(thresholds) - 1)
    entries = np.diff(step.table.astype(np.int64))
    return per_rank / float(entries[0]) if (entries == entries[0]).all() and entries[0] else None
