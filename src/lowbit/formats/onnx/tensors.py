"""Tensors and attributes of an ONNX file as arrays and plain values, checked before they are made.

Counts are worked out in unbounded integers and compared with the bytes that are there, so a file can
declare no more than it brings. Data in another file must lie in the model's own folder.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import ModelFormatError, UnsafeFileError, UnsupportedError
from lowbit.ir.graph import Array, Attribute

if TYPE_CHECKING:
    from google.protobuf.message import Message  # type: ignore[import-untyped]
    from onnx import AttributeProto, TensorProto

MAX_RANK = 8

# TensorProto.DataType: our dtype, and the field that holds elements that are not raw.
TYPES: dict[int, tuple[str, str]] = {
    1: ("float32", "float_data"),
    2: ("uint8", "int32_data"),
    3: ("int8", "int32_data"),
    6: ("int32", "int32_data"),
    7: ("int64", "int64_data"),
    9: ("bool", "int32_data"),
    11: ("float64", "double_data"),
}
STORED: dict[int, tuple[str, str]] = {
    **TYPES,
    4: ("uint16", "int32_data"),
    5: ("int16", "int32_data"),
    10: ("float16", "int32_data"),
    16: ("bfloat16", "int32_data"),
}
"""What a constant may be: our codes of more than 8 bits besides, and weights that are cast to float32."""

PACKED: dict[int, tuple[str, int]] = {21: ("uint8", 4), 22: ("int8", 4), 25: ("uint8", 2), 26: ("int8", 2)}
"""Numbers of fewer bits, several to a byte, the first lowest: what they become, and their bits."""

FLOATS = {number: name for number, (name, _) in STORED.items() if "float" in name}
"""Numbers of the types that are computed as float32."""

Beside = Callable[[str, int, int, str], bytes]
"""Reads a file beside the model's: its name, from which byte on, how many bytes, and who asks."""

_EXTERNAL = 1  # TensorProto.DataLocation


def dtype_of(data_type: int, where: str, known: Mapping[int, tuple[str, str]] = TYPES) -> str:
    """Return our name of a TensorProto.DataType.

    Raises:
        UnsupportedError: lowbit does not have it.
    """
    if data_type not in known:
        raise UnsupportedError(
            "data type not supported",
            where=where,
            expected=", ".join(name for name, _ in TYPES.values()),
            found=type_name(data_type),
            remedy="Export the network in float32.",
        )
    return known[data_type][0]


def computed_dtype(data_type: int, where: str) -> str:
    """Return the dtype in which values of a TensorProto.DataType are computed: floats as float32.

    Raises:
        UnsupportedError: lowbit does not have it.
    """
    return "float32" if data_type in FLOATS else dtype_of(data_type, where)


def array_of(tensor: "TensorProto", where: str, beside: Beside | None = None) -> Array:
    """Return a tensor's elements.

    Args:
        tensor: of a model.
        where: how messages call it.
        beside: reads what lies in another file; None where there is no file.

    Raises:
        FileError: the elements are in another file that cannot be read, or outside the model's folder.
        ModelFormatError: the shape asks for another number of elements than there are.
        UnsupportedError: the data type or the rank.
    """
    shape = tuple(int(length) for length in tensor.dims)
    _check_shape(shape, where)
    if tensor.data_type in PACKED:
        return _unpacked(tensor, shape, where, beside)
    name = dtype_of(tensor.data_type, where, STORED)
    if name == "bfloat16":  # the upper half of a float32
        halves = _elements(tensor, np.dtype(np.uint16), shape, where, beside)
        return np.asarray((halves.astype(np.uint32) << np.uint32(16)).view(np.float32))
    return _elements(tensor, np.dtype(name), shape, where, beside)


def _elements(
    tensor: "TensorProto",
    dtype: np.dtype[np.generic],
    shape: tuple[int, ...],
    where: str,
    beside: Beside | None,
) -> Array:
    if tensor.data_location == _EXTERNAL or len(tensor.external_data):
        raw = _external(tensor, prod(shape) * dtype.itemsize, where, beside)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
        _check_count(len(raw), prod(shape) * dtype.itemsize, "bytes", where)
    else:
        return _of_field(tensor, dtype, shape, where)
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _of_field(
    tensor: "TensorProto", dtype: np.dtype[np.generic], shape: tuple[int, ...], where: str
) -> Array:
    """Return elements that stand as numbers; those of float16 are its bits."""
    known = STORED.get(tensor.data_type, ("", "int32_data"))
    field = getattr(tensor, known[1])
    _check_count(len(field), prod(shape), "elements", where)
    if dtype == np.float16:
        bits = _from_field(np.array(field, np.int64), np.dtype(np.uint16), where)
        return bits.view(np.float16).reshape(shape)
    wide = np.array(field, np.float64 if dtype.kind == "f" else np.int64)
    return _from_field(wide, dtype, where).reshape(shape)


def _unpacked(tensor: "TensorProto", shape: tuple[int, ...], where: str, beside: Beside | None) -> Array:
    """Return numbers of fewer bits than a byte."""
    name, bits = PACKED[tensor.data_type]
    each = 8 // bits
    raw = _elements(tensor, np.dtype(np.uint8), (-(-prod(shape) // each),), where, beside).view(np.uint8)
    parts = (raw[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & ((1 << bits) - 1)
    numbers = parts.reshape(-1)[: prod(shape)].astype(np.int16)
    signed = np.where(numbers >> (bits - 1), numbers - (1 << bits), numbers) if name == "int8" else numbers
    return np.asarray(signed.astype(name).reshape(shape))


def _external(tensor: "TensorProto", count: int, where: str, beside: Beside | None) -> bytes:
    """Return the bytes of a tensor that lies in another file; what the model says of them must agree."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if beside is None or "location" not in entries:
        raise UnsafeFileError(
            "the tensor's data is in another file",
            where=where,
            expected="a model read from a file, and the name of the other one",
            found="external data",
            remedy="Read the file by its path, or save the model with its data inside.",
        )
    numbers = [entries.get("offset", "0"), entries.get("length", str(count))]
    if not all(number.isascii() and number.isdigit() and len(number) < 16 for number in numbers):
        raise ModelFormatError(
            "offset and length of external data are no numbers",
            where=where,
            expected="whole numbers from 0 on",
            found=str(numbers)[:80],
        )
    offset, length = (int(number) for number in numbers)
    _check_count(length, count, "bytes", where)
    return beside(entries["location"], offset, length, where)


def attribute_of(attribute: "AttributeProto", where: str) -> "Attribute | TensorProto":
    """Return an attribute as a plain value, or the tensor that it is.

    Raises:
        UnsupportedError: a graph, a sparse tensor, a type, a list of those, or a reference.
        ModelFormatError: a string that is no text.
    """
    kind = attribute.AttributeType.Name(attribute.type) if attribute.type in range(1, 12) else "nothing"
    if attribute.ref_attr_name or kind not in (
        "FLOAT",
        "INT",
        "STRING",
        "TENSOR",
        "FLOATS",
        "INTS",
        "STRINGS",
    ):
        raise UnsupportedError(
            f"attribute {attribute.name} is of a kind that is not supported",
            where=where,
            expected="numbers, text or a tensor",
            found="a reference" if attribute.ref_attr_name else kind,
        )
    match kind:
        case "FLOAT":
            return float(attribute.f)
        case "INT":
            return int(attribute.i)
        case "STRING":
            return _text(attribute.s, where)
        case "TENSOR":
            return attribute.t
        case "STRINGS":
            return " ".join(_text(item, where) for item in attribute.strings)
        case "FLOATS":
            return tuple(float(number) for number in attribute.floats)
    return tuple(int(number) for number in attribute.ints)


def check_text(message: "Message") -> None:
    """Refuse a file with a string that is not UTF-8; the parser hands it out as bytes.

    Raises:
        ModelFormatError: names the field.
    """
    for field, value in message.ListFields():
        items = value if hasattr(value, "__len__") and not isinstance(value, str | bytes) else (value,)
        if field.type == field.TYPE_MESSAGE:
            for item in items:
                check_text(item)
        elif field.type == field.TYPE_STRING and not all(isinstance(item, str) for item in items):
            raise ModelFormatError("a name is not text", where=f"field {field.full_name}", expected="UTF-8")


def plain(attributes: Mapping[str, object]) -> dict[str, Attribute]:
    """Return the attributes that are no tensors."""
    return {name: value for name, value in attributes.items() if isinstance(value, int | float | str | tuple)}


def _check_shape(shape: tuple[int, ...], where: str) -> None:
    if len(shape) > MAX_RANK:
        raise UnsupportedError(
            "too many axes", where=where, expected=f"at most {MAX_RANK}", found=str(len(shape))
        )
    if any(length < 0 for length in shape):
        raise ModelFormatError("a tensor has a negative length", where=where, found=str(shape))


def _check_count(found: int, expected: int, unit: str, where: str) -> None:
    if found != expected:
        raise ModelFormatError(
            "a tensor's shape and data do not match",
            where=where,
            expected=f"{expected} {unit}",
            found=f"{found} {unit}",
            remedy="The file is damaged: write it again.",
        )


def _from_field(wide: Array, dtype: np.dtype[np.generic], where: str) -> Array:
    """Narrow the elements of a typed field; integers must fit."""
    narrow = wide.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(narrow.astype(np.int64), wide):
        raise ModelFormatError("an element does not fit its type", where=where, expected=dtype.name)
    return narrow


def _text(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFormatError("a string is not text", where=where, found=repr(raw[:40])) from error


def type_name(data_type: int) -> str:
    """Return the name of a TensorProto.DataType, or its number where it has none."""
    from onnx import TensorProto

    names = {number: name for name, number in TensorProto.DataType.items()}
    return str(names.get(data_type, data_type)).lower()
