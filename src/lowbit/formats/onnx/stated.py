"""How nodes of an .onnx file state an encoding: a row for each scheme that files of before have names for.

A node states an encoding by tensors and one attribute, all with a prefix: ``input_scale``, ``weights_top``. A
row writes both and reads them back. Schemes without one stand in files by tables of their levels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lowbit.errors import ModelFormatError
from lowbit.ir.graph import Array
from lowbit.schemes import Affine, Encoding, FixedPoint, LearnedBasis, PowerOfTwo

Setting = int | tuple[int, ...]


class Node(Protocol):
    """A node of a file, as far as its encodings go."""

    def constant(self, name: str, *dtypes: str) -> Array:
        """Return a constant input, of one of these types."""

    def integers(self, name: str) -> tuple[int, ...]:
        """Return an attribute of one or several integers."""


@dataclass(frozen=True)
class Stated:
    """A row.

    Attributes:
        scheme: of the encodings.
        stem: with which names of layers begin that have weights of it.
        tensors: what they are stated by, besides the attribute.
        setting: the attribute.
        write: tensors, and the attribute's value. What is equal in all channels of weights (the second
            argument), offsets of zero and the top, is stored once.
        read: an encoding from a node and a prefix.
        origin, ending: what names of functions say of codes of it that come in and go out.
        weights: what the tensor of packed weights is called.
        planar: whether layers of planes read and give codes of it.
    """

    scheme: str
    stem: str
    tensors: tuple[str, ...]
    setting: str
    write: Callable[[Any, bool], tuple[tuple[Array, ...], Setting]]
    read: Callable[[Node, str], Encoding]
    origin: str = ""
    ending: str = ""
    weights: str = "weights_binary"
    planar: bool = False


def stated(encoding: Encoding, *, per_channel: bool) -> tuple[dict[str, Array], tuple[str, Setting]]:
    """Return an encoding's tensors by name, and the name and value of its attribute.

    Args:
        encoding: of a scheme in `STATED`.
        per_channel: whether it may have several channels, as weights do.
    """
    row = STATED[encoding.scheme]
    tensors, setting = row.write(encoding, per_channel)
    return dict(zip(row.tensors, tensors, strict=True)), (row.setting, setting)


def require(holds: bool, what: str, expected: str, found: object) -> None:
    """Raise `ModelFormatError` for a node unless ``holds``."""
    if not holds:
        raise ModelFormatError(
            f"{what}: not as expected",
            expected=expected,
            found=str(found)[:80],
            remedy="The file is damaged, or was not written by lowbit.",
        )


def _write_basis(encoding: LearnedBasis, per_channel: bool) -> tuple[tuple[Array, ...], Setting]:
    if not per_channel:
        return (encoding.basis[0], encoding.offset), int(encoding.top[0])
    top = tuple(int(integer) for integer in _once(encoding.top))
    return (encoding.basis, _once(encoding.offset)), top


def _read_basis(node: Node, prefix: str) -> LearnedBasis:
    scales, offset = _scales(node, f"{prefix}_scales", prefix), node.constant(f"{prefix}_offset")
    top = _above_zero(node, f"{prefix}_top")
    basis = scales if prefix == "weights" else scales[None]
    fits = offset.dtype == np.float32 and basis.ndim == 2
    require(fits, f"basis of the {prefix}", "float32", basis.shape)
    channels = len(basis)
    tops = _each(np.array(top), channels).astype(np.int32)
    return LearnedBasis(basis.astype(np.float32), _each(offset, channels).astype(np.float32), tops)


def _write_affine(encoding: Affine, _: bool) -> tuple[tuple[Array, ...], Setting]:
    return (encoding.scale, encoding.zero_point.astype(np.uint8)), encoding.bits


def _read_affine(node: Node, prefix: str) -> Affine:
    scale, zero = _scales(node, f"{prefix}_scale", prefix), node.constant(f"{prefix}_zero_point")
    (bits, *_) = _above_zero(node, f"{prefix}_bits")
    require(zero.dtype == np.uint8, f"zero point of the {prefix}", "uint8", zero.dtype)
    return Affine(bits, scale.astype(np.float32), zero.astype(np.int32))


def _write_powers(encoding: PowerOfTwo, _: bool) -> tuple[tuple[Array, ...], Setting]:
    return (encoding.scale,), encoding.bits


def _read_powers(node: Node, prefix: str) -> PowerOfTwo:
    scale = node.constant(f"{prefix}_scale", "float32")
    require(scale.ndim == 1, f"scales of the {prefix}", "one axis", scale.shape)
    (bits, *_) = node.integers(f"{prefix}_bits")
    return PowerOfTwo(bits, scale.astype(np.float32))


def _write_format(encoding: FixedPoint, _: bool) -> tuple[tuple[Array, ...], Setting]:
    return (), (encoding.integer_bits, encoding.fraction_bits, int(encoding.rounds_to_nearest))


def _read_format(node: Node, prefix: str) -> FixedPoint:
    numbers = node.integers(f"{prefix}_format")
    require(len(numbers) == 3, f"{prefix}_format", "three integers", numbers)
    return FixedPoint(numbers[0], numbers[1], "nearest" if numbers[2] else "floor")


def _scales(node: Node, name: str, prefix: str) -> Array:
    scales = node.constant(name)
    fits = scales.dtype == np.float32 and scales.ndim >= 1
    require(fits, f"scales of the {prefix}", "float32", scales.dtype)
    return scales


def _above_zero(node: Node, name: str) -> tuple[int, ...]:
    setting = node.integers(name)
    require(min(setting) > 0, name, "above 0", min(setting))
    return setting


def _once(array: Array) -> Array:
    """Return one element when all have the same bytes, else all."""
    return array[:1] if (array.view(np.int32) == array.view(np.int32)[0]).all() else array


def _each(array: Array, channels: int) -> Array:
    """Return one element per channel; what is equal in all was stored once."""
    require(array.shape in ((1,), (channels,)), "parameters per channel", f"1 or {channels}", array.shape)
    return np.broadcast_to(array, (channels,)).copy()


_BASIS = Stated("lq", "LQ", ("scales", "offset"), "top", _write_basis, _read_basis, planar=True)
_AFFINE = Stated(
    "affine",
    "Affine",
    ("scale", "zero_point"),
    "bits",
    _write_affine,
    _read_affine,
    origin="FromAffine",
    ending="ToAffine",
    planar=True,
)
_POWERS = Stated("pow2", "Pow2", ("scale",), "bits", _write_powers, _read_powers, weights="weights_packed")
_FORMAT = Stated("fixed", "Fixed", (), "format", _write_format, _read_format)

STATED = {row.scheme: row for row in (_BASIS, _AFFINE, _POWERS, _FORMAT)}
"""The rows by scheme."""

PLANAR = tuple(name for name, row in STATED.items() if row.planar)
"""The schemes of codes that layers of planes read and give."""

KNOWN = ("", *STATED)
"""The schemes that functions have names for, and floats."""
