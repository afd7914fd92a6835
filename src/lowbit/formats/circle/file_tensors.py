"""The tensors of a Circle or TFLite file: their names, types, constants and what their codes mean."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lowbit.errors import LowbitError, ModelFormatError, UnsupportedError
from lowbit.formats.batch import BATCH
from lowbit.formats.circle.schema import TENSOR_TYPES, QuantizationParameters, Tensor
from lowbit.formats.circle.structure import Structure, require
from lowbit.ir import DTYPES
from lowbit.ir.graph import Shape
from lowbit.schemes import Affine, Encoding

LOWEST = float(np.finfo(np.float32).min)
"""What pads a map so that it never is a maximum."""

Made = TypeVar("Made")

_TYPES = {code: name for name, code in TENSOR_TYPES.items()}


class FileTensors:
    """What a file says of its tensors.

    Attributes:
        structure: the checked file.
        folded: integer tensors worked out while reading (shapes), -1 for an open length.
        codings: encodings of float tensors that are read as codes.
    """

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.folded: dict[int, npt.NDArray[Any]] = {}
        self.codings: dict[int, Encoding] = {}
        self.constants = dict(structure.constants)
        self._taken: set[str] = set()
        self._tensors = list(structure.subgraph.tensors)
        self._names = [self.fresh(tensor.name or f"tensor_{i}") for i, tensor in enumerate(self._tensors)]

    def include(self, tensors: tuple[Tensor, ...], constants: dict[int, npt.NDArray[Any]]) -> int:
        """Add the tensors of another graph of the file behind those there are.

        Args:
            tensors: of that graph.
            constants: data by their number there.

        Returns:
            What is added to a number there to make it one here.
        """
        first = len(self._tensors)
        stems = [tensor.name or f"tensor_{first + i}" for i, tensor in enumerate(tensors)]
        self._names += [self.fresh(f"{stem}/{first}" if stem in self._taken else stem) for stem in stems]
        self._tensors += tensors
        self.constants |= {first + index: data for index, data in constants.items()}
        return first

    def fresh(self, stem: str) -> str:
        """Reserve a value's name: ``stem``, or ``stem_2``, ``stem_3``, … if it is taken."""
        return reserve(stem, self._taken)

    def tensor(self, index: int) -> Tensor:
        """Return a tensor of the file."""
        return self._tensors[index]

    def name(self, index: int) -> str:
        """Return what the tensor's value is or will be called."""
        return self._names[index]

    def shape(self, index: int) -> Shape:
        """Return a tensor's shape as the file says it, open lengths by name."""
        tensor = self.tensor(index)
        signature = tensor.shape_signature or tensor.shape
        return tuple(
            length if length >= 0 else BATCH if axis == 0 else f"{_word(tensor.name)}_{axis}"
            for axis, length in enumerate(signature)
        )

    def constant(self, index: int) -> npt.NDArray[Any] | None:
        """Return a tensor's data, from the file or folded, or None."""
        return self.folded[index] if index in self.folded else self.constants.get(index)

    def decoded(self, index: int) -> npt.NDArray[np.float32]:
        """Return a constant as floats: ``scale (q - zero_point)``, per tensor or along an axis."""
        data, parameters = self.constant(index), self.tensor(index).quantization
        assert data is not None
        if (
            data.dtype.kind == "f"
            or parameters is None
            or parameters.scale is None
            or not len(parameters.scale)
        ):
            return data.astype(np.float32)
        scale, place = parameters.scale.astype(np.float64), f"{self.structure.where}, tensor {index}"
        zero = np.zeros(1, np.int64) if parameters.zero_point is None else parameters.zero_point
        axis = parameters.quantized_dimension if len(scale) > 1 else 0
        fits = len(scale) == 1 or (0 <= axis < data.ndim and data.shape[axis] == len(scale))
        require(
            fits and len(zero) in (1, len(scale)),
            "scales do not match an axis",
            place,
            data.shape,
            len(scale),
        )
        column = [-1 if n == axis and len(scale) > 1 else 1 for n in range(data.ndim)]
        centred = data.astype(np.float64) - (
            zero.reshape(column) if len(zero) > 1 else zero[0] if len(zero) else 0
        )
        return (centred * (scale.reshape(column) if len(scale) > 1 else scale[0])).astype(np.float32)

    def number(self, index: int, place: str) -> float:
        """Return a constant of one element; the lowest code there is stands for the lowest number."""
        data = self.constant(index)
        if data is None or data.size != 1:
            raise unsupported(
                "a number must be constant", place, "one element", None if data is None else data.shape
            )
        is_code = data.dtype.kind in "iu" and data.dtype.itemsize <= 2
        if is_code and int(data.item()) == np.iinfo(data.dtype).min:
            return LOWEST
        return max(float(self.decoded(index).item()), LOWEST)

    def encoding_of(self, index: int) -> Encoding | None:
        """Return what codes of a computed tensor mean, or None where it holds floats."""
        return self.codings.get(index) or self.encoding(index)

    def encoding(self, index: int) -> Affine | None:
        """Return the affine encoding of an 8-bit tensor, or None for a tensor without one."""
        tensor = self.tensor(index)
        parameters, dtype = tensor.quantization, self.type(index)
        if parameters is None or parameters.scale is None or not len(parameters.scale):
            return None
        place = f"{self.structure.where}, tensor {index} ({tensor.name[:80]})"
        if dtype not in ("int8", "uint8"):
            return None
        count = len(parameters.scale)
        if count > 1:
            fits = parameters.quantized_dimension == 0 and tensor.shape[:1] == (count,)
            require(fits, "scales do not match axis 0", place, tensor.shape[:1], count)
        return self._affine(parameters, dtype, count, place)

    def _affine(self, parameters: QuantizationParameters, dtype: str, channels: int, place: str) -> Affine:
        """Return an encoding of 8 bits; int8 is read as uint8 moved by 128: ``q - z`` stays what it was."""
        scale, zero = parameters.scale, parameters.zero_point
        assert scale is not None
        zero = np.zeros(len(scale), np.int64) if zero is None else zero
        fits = len(scale) in (1, channels) and len(zero) in (1, len(scale))
        require(fits, "zero points do not match the scales", place, len(scale), len(zero))
        moved = np.clip(zero, -(2**31), 2**31) + (128 if dtype == "int8" else 0)
        inside = bool(((moved >= 0) & (moved < 256)).all())
        require(inside, "a zero point is out of range", place, "8 bits", zero[:4])
        return self.checked(
            lambda: Affine(8, scale, np.broadcast_to(moved, scale.shape).astype(np.int32)), place
        )

    def type(self, index: int) -> str:
        """Return the name of a tensor's type.

        Raises:
            UnsupportedError: lowbit does not have it.
        """
        found = _TYPES.get(self.tensor(index).type)
        computed = self.constant(index) is None and index not in self.codings
        if found is None or (found not in DTYPES and computed):
            raise UnsupportedError(
                "the tensor's type is not supported",
                where=f"{self.structure.where}, tensor {index} ({self.tensor(index).name[:80]})",
                expected=", ".join(name for name in TENSOR_TYPES if name in DTYPES),
                found=found or f"type {self.tensor(index).type}",
                remedy="Export the network in float32 or int8.",
            )
        return found

    def checked(self, make: Callable[[], Made], place: str) -> Made:
        """Return ``make()``; what is wrong with an encoding is wrong with the file."""
        try:
            return make()
        except ModelFormatError:
            raise
        except LowbitError as error:
            raise ModelFormatError(
                error.message,
                where=f"{place}, {error.where}".rstrip(", "),
                expected=error.expected,
                found=error.found,
                remedy="The file is damaged or was written wrongly: write it again.",
            ) from error


def _word(name: str) -> str:
    """Return a name as it may stand in an open length."""
    word = re.sub(r"\W", "_", name.split(":")[0])
    return word if word[:1].isalpha() else f"length_{word}"


def lengths_of(shape: Shape) -> tuple[int, ...]:
    """Return a shape as the target of a reshape: -1 for an open length."""
    return tuple(-1 if isinstance(extent, str) else extent for extent in shape)


def unsupported(what: str, place: str, expected: str, found: object) -> UnsupportedError:
    """Return the error for a valid file that lowbit cannot use."""
    remedy = "Export the network without it, or report which network needs it."
    return UnsupportedError(what, where=place, expected=expected, found=str(found), remedy=remedy)


def reserve(stem: str, taken: set[str]) -> str:
    """Return ``stem``, or the next free one of ``stem_2``, ``stem_3``, …, and note that it is taken."""
    name, number = stem, 1
    while name in taken:
        number = number + 1 if number < 8 else 2 * number  # many equal names stay cheap
        name = f"{stem}_{number}"
    taken.add(name)
    return name


def unsigned(data: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return int8 moved by 128 into uint8; uint8 as it is."""
    return data if data.dtype == np.uint8 else np.bitwise_xor(data.view(np.uint8), np.uint8(128))
