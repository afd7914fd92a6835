"""Encoders move before what only moves reals: largest of windows, views, repeated rows, joined maps.

Codes rise with reals, so what is moved and then coded is what is coded and then moved. A layer, or a decoder,
whose reals are joined with others before they are coded makes codes itself, and codes are moved and joined.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from lowbit.c99.functions import alike, source_of
from lowbit.c99.inputs import Encoder
from lowbit.program import steps

Made = Mapping[int, steps.Step]
_MOVES = steps.MaxPool | steps.Flatten | steps.Arrange | steps.Gather | steps.Resample | steps.Concatenate


def moved(
    step: Encoder, made: Made, kept: frozenset[int], coded: Callable[[Made], steps.Step | None]
) -> dict[int, steps.Step] | None:
    """Return steps by number, of which the last makes an encoder's codes, or None where it cannot move.

    Args:
        step: the encoder.
        made: all steps, by the number of what they make.
        kept: numbers of values that have to stay what they are.
        coded: returns the step that the encoder becomes where only functions are before it, or None.
    """
    readers = Counter(source for each in made.values() for source in each.sources)
    found: dict[int, steps.Step] = {}

    def before(view: Made) -> steps.Step | None:
        direct = coded(view)
        if direct is not None:
            return direct
        root = source_of(step.sources[0], view)
        move = _of_codes(view.get(root), step)
        if move is None or not alike(step, view, root):
            return None
        for source in move.sources:
            if readers[source] != 1 or source in kept or source not in made:
                return None
            inner = before({**view, root: steps.Activate("identity", sources=(source,))})
            if inner is None:
                return None
            found[source] = inner
        return move

    last = before(made)
    return None if last is None else {**found, -1: last}


def _of_codes(move: steps.Step | None, step: Encoder) -> steps.Step | None:
    """Return a step that moves codes as one moves reals, or None where there is none."""
    if not isinstance(move, _MOVES):
        return None
    planes = isinstance(step, steps.EncodePlanes)
    if isinstance(move, steps.MaxPool) and isinstance(step, steps.EncodePlanes):
        return replace(move, ranks=np.argsort(step.table).astype(np.uint8))
    if isinstance(move, steps.Gather):
        return None if planes or (move.places == steps.NOWHERE).any() else replace(move)
    if isinstance(move, steps.Resample):
        return None if planes else _nearest(move)
    return None if planes and isinstance(move, steps.Concatenate) else replace(move)  # channels share words


def _nearest(step: steps.Resample) -> steps.Gather | None:
    """Return what repeats elements along an axis, or None where a step weighs several."""
    if ((step.weights != 0).sum(axis=1) != 1).any() or (step.weights.max(axis=1) != 1).any():
        return None
    taken = step.places[np.arange(len(step.places)), step.weights.argmax(axis=1)].astype(np.int64)
    outer, inner = (np.arange(length, dtype=np.int64) for length in (step.outer, step.inner))
    places = (outer[:, None, None] * step.axis + taken[None, :, None]) * step.inner + inner[None, None, :]
    shape = step.channels, step.height, step.width
    return steps.Gather(places.reshape(-1).astype(np.uint32), *shape, sources=step.sources)
