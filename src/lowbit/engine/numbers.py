"""Arrays of other types than float32, in and out of a program, which holds all numbers as float32."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import DataError
from lowbit.program import EXACT, Port

Array = npt.NDArray[Any]


def to_floats(array: Array, port: Port) -> Array:
    """Return what the core takes of an input: a dense float32 array where the input has another type.

    Raises:
        DataError: it is no array of that type, or holds integers beyond 2^24.
    """
    if port.dtype == "float32":
        return array
    bools = port.dtype == "bool"
    if not isinstance(array, np.ndarray) or array.dtype.kind not in ("b" if bools else "iu"):
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise DataError(
            "the array does not fit the network",
            where=f"input {port.name}",
            expected=f"numbers of type {port.dtype}",
            found=str(found),
            remedy=f"Convert it: array.astype(numpy.{port.dtype}).",
        )
    if not bools and array.size and max(int(array.max()), -int(array.min())) > EXACT:
        raise DataError(
            "integers are larger than the engine holds",
            where=f"input {port.name}",
            expected=f"-{EXACT} to {EXACT}",
            found=f"{int(array.min())} to {int(array.max())}",
            remedy="Run it in the reference or in ONNX Runtime.",
        )
    return np.ascontiguousarray(array, np.float32).reshape(array.shape)


def from_floats(array: Array, port: Port) -> Array:
    """Return a result in the type that the network says."""
    return as_type(array, port.dtype)


def as_type(array: Array, dtype: str) -> Array:
    """Return float32 numbers as a type of the graph; codes and floats as they are."""
    if array.dtype != np.float32 or dtype not in ("int64", "int32", "bool"):
        return array
    return array.astype(dtype)


def check_out(out: Any, made: Array) -> None:
    """Refuse what cannot take a result.

    Raises:
        DataError: another type or shape, or no array that may be written.
    """
    fits = isinstance(out, np.ndarray) and out.flags.writeable
    if not fits or out.dtype != made.dtype or out.shape != made.shape:
        found = f"{out.dtype} {list(out.shape)}" if isinstance(out, np.ndarray) else type(out).__name__
        raise DataError(
            "the array for the result cannot be used",
            where="output",
            expected=f"{made.dtype} {list(made.shape)}",
            found=found,
            remedy="Make it with numpy.empty.",
        )
