"""Resize: maps (or any axes) of other lengths, element by element from few elements along each axis.

Along one axis output place p reads the input at ``x(p)``, by ``coordinate_transformation_mode``; s is the
scale, L and M are the lengths before and after:

    half_pixel              (p + 1/2) / s - 1/2
    half_pixel_symmetric    the same about the middle of the axis
    pytorch_half_pixel      the same, 0 where M is 1
    align_corners           p (L - 1) / (s L - 1), 0 where M is 1
    asymmetric              p / s

*nearest* takes the element that ``nearest_mode`` rounds x to; *linear* weighs the two around x; *cubic* four,
by Keys' kernel (1981) with coefficient ``cubic_coeff_a``. Places outside read the outermost element; with
``exclude_outside`` their weights are 0 and the others are scaled to a sum of 1. With ``antialias`` linear and
cubic are widened by 1 / s where they shrink an axis. In float64, rounded once to float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import floor

import numpy as np
import numpy.typing as npt

from lowbit.ir.graph import Array, Dimension
from lowbit.ir.operators.contents import axes_of, integers
from lowbit.ir.operators.registry import Call, Parts, TensorType, register, require_float
from lowbit.ir.operators.windows import LARGEST

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Taps:
    """How one axis is resized: output p is the sum of ``weights[k, p]`` times input ``places[k, p]``.

    Attributes:
        axis: which.
        places: ``[taps, outputs]``, inside the axis.
        weights: ``[taps, outputs]``, float64.
    """

    axis: int
    places: npt.NDArray[np.int64]
    weights: Floats


def taps_of(call: Call) -> list[Taps]:
    """Return how each axis is resized, those left out that stay as they are."""
    shape = call.input(0).shape
    made = []
    for axis, length, scale in _targets(call):
        before = shape[axis]
        if scale == 1.0 and (length == before or not isinstance(before, int)):
            continue
        if not isinstance(before, int):
            call.fail("an open axis is resized", "a fixed length", call.described(0))
        made.append(_taps(call, axis, before, length, scale))
    return made


def _targets(call: Call) -> list[tuple[int, int, float]]:
    """Return axis, length after and scale of every axis that a node names."""
    shape = call.input(0).shape
    axes = axes_of(call, call.integers("axes") or tuple(range(len(shape))), len(shape))
    if call.optional(3) is not None:
        lengths = integers(call, 3)
        call.require(len(lengths) == len(axes), "sizes", f"{len(axes)} numbers", lengths)
        call.require(all(shape[axis] != 0 for axis in axes), "an empty axis is resized", "elements", shape)
        pairs = zip(axes, lengths, strict=True)
        targets = [(axis, length, _scale(length, shape[axis])) for axis, length in pairs]
    else:
        call.require(call.optional(2) is not None, "scales or sizes", "one of them", "none")
        scales = [float(scale) for scale in call.graph.constant(call.node.inputs[2]).reshape(-1)]
        call.require(len(scales) == len(axes), "scales", f"{len(axes)} numbers", scales)
        call.require(
            all(0 < scale <= LARGEST for scale in scales), "scales", f"above 0, at most {LARGEST}", scales
        )
        known = ((axis, shape[axis], scale) for axis, scale in zip(axes, scales, strict=True))
        targets = [(axis, _scaled(call, before, scale), scale) for axis, before, scale in known]
    call.require(
        all(0 < length <= LARGEST for _, length, _ in targets), "lengths", f"1 to {LARGEST}", targets
    )
    return targets


def _scale(length: int, before: Dimension) -> float:
    return length / before if isinstance(before, int) else 0.0


def _scaled(call: Call, before: Dimension, scale: float) -> int:
    """Return the length after; an open axis may only stay."""
    if isinstance(before, int):
        return floor(before * np.float32(scale))
    call.require(scale == 1.0, "an open axis is resized", "a fixed length", before)
    return 1


def _taps(call: Call, axis: int, before: int, after: int, scale: float) -> Taps:
    x = _coordinates(call, before, after, scale)
    mode = call.text("mode")
    if mode == "nearest":
        places = _NEAREST[call.text("nearest_mode")](x).astype(np.int64)[None]
        return Taps(axis, np.clip(places, 0, before - 1), np.ones(places.shape))
    widened = max(1 / scale, 1.0) if call.integer("antialias") else 1.0
    kernel, radius = (_linear, 1.0) if mode == "linear" else (_cubic(call.real("cubic_coeff_a")), 2.0)
    least = np.floor(x - radius * widened).astype(np.int64) + 1
    offsets = np.arange(floor(2 * radius * widened) + 1)[:, None]
    places = least + offsets
    weights = kernel((places - x) / widened)
    if call.integer("exclude_outside"):
        weights = np.where((places >= 0) & (places < before), weights, 0)
    used = np.abs(weights).max(axis=1) > 0
    total = weights.sum(axis=0)
    rescaled = call.integer("exclude_outside") or call.integer("antialias")
    return Taps(axis, np.clip(places, 0, before - 1)[used], (weights / total if rescaled else weights)[used])


def _coordinates(call: Call, before: int, after: int, scale: float) -> Floats:
    p: Floats = np.arange(after, dtype=np.float64)
    mode = call.text("coordinate_transformation_mode")
    if mode == "align_corners":
        return np.asarray(p * (before - 1) / (before * scale - 1 if after > 1 else 1.0))
    if mode == "asymmetric":
        return np.asarray(p / scale)
    if mode == "pytorch_half_pixel" and after == 1:
        return p * 0
    x = (p + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        return np.asarray(x + before / 2 * (1 - after / (before * scale)))
    return x


def _linear(distance: Floats) -> Floats:
    return np.asarray(np.maximum(1 - np.abs(distance), 0))


def _cubic(a: float) -> Callable[[Floats], Floats]:
    def kernel(distance: Floats) -> Floats:
        d = np.abs(distance)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.asarray(np.where(d <= 1, near, np.where(d < 2, far, 0)))

    return kernel


_NEAREST: dict[str, Callable[[Floats], Floats]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
_MODES = ("nearest", "linear", "cubic")
_COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
)


def _infer(call: Call) -> list[TensorType]:
    shape = list(call.input(0).shape)
    choices = {
        "mode": _MODES,
        "coordinate_transformation_mode": _COORDINATES,
        "nearest_mode": tuple(_NEAREST),
    }
    for name, allowed in choices.items():
        if call.text(name) not in allowed:
            call.refuse(name, ", ".join(allowed), call.text(name))
    require_float(call, 0, 1, 2)
    for axis, length, _ in _targets(call):
        shape[axis] = length if isinstance(shape[axis], int) else shape[axis]
    taps_of(call)
    return [TensorType("float32", tuple(shape))]


def _resize(call: Call, array: Array, *_: Array | None) -> list[Array]:
    result = array.astype(np.float64)
    for taps in taps_of(call):
        column = (-1, *[1] * (array.ndim - 1 - taps.axis))
        result = sum(
            np.take(result, places, taps.axis) * weights.reshape(column)
            for places, weights in zip(taps.places, taps.weights, strict=True)
        )
    return [result.astype(np.float32)]


def _parts(call: Call, add: Parts) -> str:
    """Gathers along each axis, weighed where there are several."""
    made, rank = call.node.inputs[0], len(call.input(0).shape)
    for taps in taps_of(call):
        rows = [
            (add.node("Gather", made, add.constant(places, "int64"), axis=taps.axis), weights)
            for places, weights in zip(taps.places, taps.weights, strict=True)
        ]
        column = (-1, *[1] * (rank - 1 - taps.axis))
        weighed = [
            row if (weights == 1).all() else add.node("Mul", row, add.constant(weights.reshape(column)))
            for row, weights in rows
        ]
        made = weighed[0]
        for term in weighed[1:]:
            made = add.node("Add", made, term)
    return made


register(
    "Resize",
    "X roi? scales? sizes?",
    infer=_infer,
    evaluate=_resize,
    parts=_parts,
    mode="nearest",
    coordinate_transformation_mode="half_pixel",
    nearest_mode="round_prefer_floor",
    cubic_coeff_a=-0.75,
    exclude_outside=0,
    antialias=0,
    axes=(),
)
