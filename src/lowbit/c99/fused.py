"""Steps that generated C does as one: flattened maps are read as they lie, bounds are kept by layers."""

from dataclasses import replace

import numpy as np

from lowbit.c99.functions import FullyConnected, Layer
from lowbit.c99.recoded import Recode, live
from lowbit.program import ProgramPlan, steps
from lowbit.program.layers import columns_by_pixels

_ROUNDS = (steps.AffineEnding, steps.RoundedEnding, steps.ShiftedEnding)


def fused(planned: ProgramPlan) -> dict[int, steps.Step]:
    """Return the steps of a plan by the number of their result, fewer where one does what two did."""
    used = live(planned)
    found = {n: step for n, step in enumerate(planned.steps, len(planned.inputs)) if n in used}
    _without_flattening(planned, found)
    _with_bounds(planned, found)
    return found


def gathered(folded: dict[int, steps.Step], outputs: tuple[int, ...]) -> frozenset[int]:
    """Return the numbers of values that only windows of more than a pixel read, of maps of one channel."""
    readers = _readers(folded)

    def taken(number: int) -> bool:
        found = readers.get(number, [])
        return bool(found) and number not in outputs and all(takes(each) for each in found)

    def takes(number: int) -> bool:
        step = folded[number]
        if isinstance(step, steps.Arrange):
            return (step.channels == 1 or step.height * step.width == 1) and taken(number)
        return isinstance(step, steps.ByteConvolution) and step.rows.kernel * step.columns.kernel > 1

    return frozenset(number for number in folded if taken(number))


def _readers(found: dict[int, steps.Step]) -> dict[int, list[int]]:
    readers: dict[int, list[int]] = {}
    for number, step in found.items():
        for source in step.sources:
            readers.setdefault(source, []).append(number)
    return readers


def _with_bounds(planned: ProgramPlan, found: dict[int, steps.Step]) -> None:
    """Let layers that round keep the bounds that a table of their bytes is, as of a ReLU behind them."""
    readers = _readers(found)
    for number, step in list(found.items()):
        if not isinstance(step, steps.LookUp):
            continue
        source = step.sources[0]
        layer = found.get(source)
        alone = readers[source] == [number] and source not in planned.numbers
        if not alone or not isinstance(layer, Layer) or not isinstance(layer.ending, _ROUNDS):
            continue
        ending = _bounded(layer.ending, step)
        if ending is not None:
            found[number] = replace(layer, ending=ending)
            del found[source]


def _bounded(
    ending: steps.AffineEnding | steps.RoundedEnding | steps.ShiftedEnding, step: steps.LookUp
) -> steps.RoundedEnding | steps.ShiftedEnding | None:
    """Return an ending that does what a table does to its bytes, or None where that is no bound of them."""
    if isinstance(ending, steps.AffineEnding):
        base = -int(ending.out_zero)
        ending = steps.RoundedEnding(
            "bytes",
            "round_even",
            ending.scale,
            np.zeros(0),
            ending.out_scale,
            base,
            base + int(ending.out_top),
            base,
        )
    entries = np.arange(ending.low - ending.base, ending.high - ending.base + 1)
    made = step.table[entries].astype(np.int64)
    low, high = int(made.min()), int(made.max())
    if ending.form != "bytes" or not np.array_equal(np.clip(entries, low, high), made):
        return None
    return replace(ending, low=low + ending.base, high=high + ending.base)


def _without_flattening(planned: ProgramPlan, found: dict[int, steps.Step]) -> None:
    """Let layers read maps as they lie, where only they read what is flattened."""
    lengths, readers = _map_lengths(planned), _readers(found)
    for number, step in list(found.items()):
        if not isinstance(step, steps.Flatten) or number in planned.numbers:
            continue
        layers = [found[reader] for reader in readers.get(number, [])]
        mapped = lengths.get(step.sources[0])
        if mapped is None or not layers or not all(isinstance(each, FullyConnected) for each in layers):
            continue
        if any(isinstance(each, steps.WordFullyConnected) and each.rows != 1 for each in layers):
            continue
        for reader in readers[number]:
            layer = found[reader]
            assert isinstance(layer, FullyConnected)
            found[reader] = replace(columns_by_pixels(layer, mapped), sources=step.sources)
        del found[number]


def _map_lengths(planned: ProgramPlan) -> dict[int, tuple[int, int, int]]:
    """Return channels, height and width of what steps make as maps."""
    found: dict[int, tuple[int, int, int]] = {}
    for number, step in enumerate(planned.steps, len(planned.inputs)):
        if isinstance(step, steps.Arrange):
            found[number] = (step.channels, step.height, step.width)
        elif isinstance(step, steps.PlaneConvolution | steps.ByteConvolution | steps.WordConvolution):
            weights = step.weights
            outputs = len(weights.planes if isinstance(weights, steps.PlaneWeights) else weights.weights)
            found[number] = (outputs, step.rows.outputs, step.columns.outputs)
        elif isinstance(step, steps.MaxPool | steps.AveragePool | steps.AverageWords):
            channels = found[step.sources[0]][0] if step.sources[0] in found else 0
            if channels:
                found[number] = (channels, step.rows.outputs, step.columns.outputs)
        elif isinstance(step, Recode) and step.pool is not None:
            if step.sources[0] in found:
                windows = step.pool[1]
                found[number] = (found[step.sources[0]][0], windows.rows.outputs, windows.columns.outputs)
        elif isinstance(step, steps.Concatenate) and all(source in found for source in step.sources):
            maps = [found[source] for source in step.sources]
            found[number] = (sum(each[0] for each in maps), *maps[0][1:])
        elif isinstance(step, steps.Gather):
            if step.height:
                found[number] = (step.channels, step.height, step.width)
        elif not isinstance(step, steps.Flatten | FullyConnected):  # elementwise
            lengths = found.get(step.sources[0]) if step.sources else None
            if lengths is not None:
                found[number] = lengths
    return found
