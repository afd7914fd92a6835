"""What a traced run shows: the core's arrays in the shapes of the network's values, codes as codes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.engine.numbers import as_type
from lowbit.errors import ModelFormatError
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
    """

    shape: tuple[int, ...]
    dtype: str
    codes: CodeTable | None
    batched: bool

    def of(self, array: Array, rows: int) -> Array:
        """Return the core's array ``[rows, elements]`` as the network has it."""
        try:
            made = array if self.codes is None else self.codes.of(array)
            if self.batched:
                shaped = made.reshape(rows, *self.shape)
            else:  # samples that are computed one by one lie one after another along the first axis
                first = (rows * self.shape[0], *self.shape[1:]) if self.shape else (rows,) * (rows != 1)
                shaped = made.reshape(first)
        except (ValueError, IndexError) as error:
            raise ModelFormatError(
                "the program file says of a value what it is not",
                expected=f"{self.dtype} {list(self.shape)}",
                found=f"{array.shape[1]} elements, or codes that have none",
                remedy="Compile the network again: lowbit compile.",
            ) from error
        return shaped if self.codes is not None else as_type(shaped, self.dtype)


def code_table(least: int, codes: Iterable[int], dtype: str) -> CodeTable | None:
    """Return the table that a program file has for a value of a type, None where it is empty."""
    numbers = np.array(list(codes), np.uint16)
    table = numbers.astype(np.uint8) if dtype != "code16" and numbers.max(initial=0) < 256 else numbers
    return CodeTable(least, table) if table.size else None


def shown(made: Iterable[tuple[str, Array]], traced: Mapping[str, Traced], rows: int) -> dict[str, Array]:
    """Return what steps made, by the names of the network's values; what has none is left out."""
    return {name: traced[name].of(array, rows) for name, array in made if name in traced}
