"""Scale, zero point and axis of a quantized tensor, checked: where, what was expected, what was found."""

from typing import NoReturn

import numpy as np

from lowbit.errors import LowbitError, ModelFormatError, NumericError, UnsupportedError
from lowbit.formats.onnx.importer import Importer
from lowbit.formats.onnx.quantized.grid import Floats32, Grid, Wide
from lowbit.ir.graph import Array, Shape

RANGES: dict[str, tuple[int, int]] = {
    "uint2": (0, 3),
    "int2": (-2, 1),
    "uint4": (0, 15),
    "int4": (-8, 7),
    "uint8": (0, 255),
    "int8": (-128, 127),
    "uint16": (0, 65535),
    "int16": (-32768, 32767),
    "int32": (-(2**31), 2**31 - 1),
}
"""Least and greatest number of the types that tensors are quantized to."""


def scale_of(name: str, array: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return scales as a row of float32.

    Raises:
        ModelFormatError: they are no numbers, or a table.
        NumericError: one is not finite, or not above zero.
    """
    if array.dtype.kind != "f" or array.ndim > 1 or not array.size:
        _refuse("a scale is no number or row of numbers", name, "floats", f"{array.dtype} {array.shape}")
    with np.errstate(over="ignore", under="ignore"):
        scale = np.atleast_1d(array.astype(np.float32))
    if not (np.isfinite(scale) & (scale > 0)).all():
        bad = array.reshape(-1)[np.argmin(np.isfinite(scale) & (scale > 0))]
        kind = NumericError
        _refuse("a scale is not positive", name, "finite numbers above 0", str(bad), kind)
    return scale


def scales_of_groups(name: str, array: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return scales of groups in float32, in their shape; they may be negative, or zero.

    Raises:
        ModelFormatError: they are no numbers.
        NumericError: one is not finite.
    """
    if array.dtype.kind != "f" or not array.size:
        _refuse("scales are no numbers", name, "floats", f"{array.dtype} {array.shape}")
    with np.errstate(over="ignore", under="ignore"):
        scale = array.astype(np.float32)
    if not np.isfinite(scale).all():
        _refuse(
            "a scale is not finite", name, "finite numbers", str(array[~np.isfinite(scale)][0]), NumericError
        )
    return scale


def upright(numbers: Array, scale: Array, zero: Array, group: int) -> tuple[Wide, Floats32, Wide]:
    """Return the same reals of rows with groups, every scale positive.

        -s (q - z) = s ((R - q) - (R - z)),   0 (q - z) = 1 (z - z)

    Quantizers of runtimes give the larger end of a group the wider half of the codes, by a scale's sign.

    Args:
        numbers: ``[o, …]``, in the order of groups.
        scale: finite, ``[o, groups, …]``.
        zero: likewise, whole numbers.
        group: how many numbers share a scale.
    """
    whole, origin, scales = numbers.astype(np.int64), zero.astype(np.int64), scale.astype(np.float32)
    of_numbers, middle = (
        np.repeat(each, group, axis=1)[:, : numbers.shape[1]] for each in (np.sign(scales), origin)
    )
    both = int(whole.min(initial=0)) + int(whole.max(initial=0))
    whole = np.where(of_numbers < 0, both - whole, np.where(of_numbers == 0, middle, whole))
    origin = np.where(scales < 0, both - origin, origin)
    return whole, np.where(scales == 0, np.float32(1), np.abs(scales)).astype(np.float32), origin


def zeros_of(
    name: str, array: Array, count: int, low: int, high: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return zero points as a row of int64, one for each scale.

    Raises:
        ModelFormatError: they are no whole numbers of the range, or another count.
    """
    zero = np.atleast_1d(np.asarray(array))
    if zero.ndim > 1 or zero.shape != (count,):
        _refuse("zero points do not match the scales", name, f"{count}", str(array.shape))
    if zero.dtype.kind == "f":
        whole = bool(np.isfinite(zero).all()) and bool((zero == np.rint(zero)).all())
        if not whole or (np.abs(zero) > 2.0**31).any():
            _refuse("a zero point is no whole number", name, "whole numbers", str(zero[:4].tolist()))
    numbers = zero.astype(np.int64)
    if ((numbers < low) | (numbers > high)).any():
        bad = numbers[np.argmax((numbers < low) | (numbers > high))]
        _refuse("a zero point is out of range", name, f"{low} to {high}", str(bad))
    return numbers


def axis_of(given: int, shape: Shape, channels: int, name: str) -> int:
    """Return the axis of the channels, counted from the front.

    Raises:
        ModelFormatError: there is no such axis, or it has another length.
    """
    if channels == 1:
        return 0
    rank = len(shape)
    if not -rank <= given < rank:
        _refuse("the axis of the scales is out of range", name, f"{-rank} to {rank - 1}", str(given))
    axis = given % rank
    if shape[axis] != channels:
        _refuse("scales do not match the axis", name, f"{shape[axis]} scales, or one", f"{channels}")
    return axis


def known(reader: Importer, name: str, what: str) -> Array:
    """Return the numbers of a parameter, which must be constant.

    Raises:
        UnsupportedError: it is computed.
    """
    if name not in reader.constants:
        value = reader.result.values.get(name)
        if value is None or value.data is None:
            raise UnsupportedError(
                f"{what} that is computed at run time",
                where=name,
                expected="a constant",
                found="a computed value",
            )
        return value.data
    return reader.constants[name]


def grid(reader: Importer, names: tuple[str, str], kind: str, shape: Shape, axis: int) -> Grid:
    """Return the grid of a tensor.

    Args:
        reader: of the model.
        names: of scale and zero point; the latter may be "" for zero.
        kind: the type of its numbers.
        shape: of the tensor.
        axis: of its channels.
    """
    low, high = RANGES[kind]
    scale = scale_of(names[0], known(reader, names[0], "a scale"))
    given = known(reader, names[1], "a zero point") if names[1] else np.zeros(len(scale), np.int64)
    zero = zeros_of(names[1] or names[0], given, len(scale), low, high)
    require_levels(scale, low - zero, high - zero, names[0])
    return Grid(low, high, scale, zero, axis_of(axis, shape, len(scale), names[0]))


def require_levels(scale: Floats32, least: Wide, most: Wide, name: str) -> None:
    """Refuse scales whose levels leave float32.

    Raises:
        NumericError: with the largest scale.
    """
    largest = scale.astype(np.float64) * (np.maximum(np.abs(least), np.abs(most)) + 1)
    if (largest > np.finfo(np.float32).max).any():
        _refuse("levels leave the range of float32", name, "smaller scales", str(scale.max()), NumericError)


def _refuse(
    what: str, where: str, expected: str, found: str, kind: type[LowbitError] = ModelFormatError
) -> NoReturn:
    raise kind(
        what, where=where, expected=expected, found=found, remedy="Export or quantize the network again."
    )
