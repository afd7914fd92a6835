"""What a traced run shows: the core's arrays in the shapes of the network's values, codes as codes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.engine.numbers import as_type
from lowbit.errors import ModelFormatError
from lowbit.ir.graph import Shape
from lowbit.program import CodeTable

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Traced:
    """A value of the network that a step makes.

    Attributes:
        shape: of one row of it: in the batched form without the batch.
        dtype: as the network says it.
        codes: what bytes or words stand for; None where it is no code, or where planes hold it.
        batched: the form; see `lowbit.program.ProgramPlan`.
        axis: along which samples lie that are computed one by one.
    """

    shape: tuple[int, ...]
    dtype: str
    codes: CodeTable | None
    batched: bool
    axis: int = 0

    def of(self, array: Array, rows: int) -> Array:
        """Return the core's array ``[rows, elements]`` as the network has it."""
        try:
            made = array if self.codes is None else self.codes.of(array)
            shaped = made.reshape(rows, *self.shape) if self.batched else self._one_by_one(made, rows)
        except (ValueError, IndexError) as error:
            raise ModelFormatError(
                "the program file says of a value what it is not",
                expected=f"{self.dtype} {list(self.shape)}",
                found=f"{array.shape[1]} elements, or codes that have none",
                remedy="Compile the network again: lowbit compile.",
            ) from error
        return shaped if self.codes is not None else as_type(shaped, self.dtype)

    def _one_by_one(self, made: Array, rows: int) -> Array:
        """Return samples that are computed one by one, one after another along their axis."""
        if not self.shape:
            return made.reshape((rows,) * (rows != 1))
        wanted = [rows * length if axis == self.axis else length for axis, length in enumerate(self.shape)]
        return np.moveaxis(made.reshape(rows, *self.shape), 0, self.axis).reshape(wanted)


def samples_axis(shape: Shape) -> int:
    """Return the axis of a value along which samples lie: the open one, or the first."""
    return next((axis for axis, length in enumerate(shape) if isinstance(length, str)), 0)


def code_table(least: int, codes: bytes | npt.NDArray[np.uint16], dtype: str) -> CodeTable | None:
    """Return the table that a program file has for a value of a type, None where it is empty."""
    numbers = np.frombuffer(codes, np.uint16)
    table = numbers.astype(np.uint8) if dtype != "code16" and numbers.max(initial=0) < 256 else numbers
    return CodeTable(least, table) if table.size else None


def shown(made: Iterable[tuple[str, Array]], traced: Mapping[str, Traced], rows: int) -> dict[str, Array]:
    """Return what steps made, by the names of the network's values; what has none is left out."""
    return {name: traced[name].of(array, rows) for name, array in made if name in traced}
