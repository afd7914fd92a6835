"""What a program is made of: plain data that says what to run, on which values, with which constants.

A step names an operation of the engine (a method of its builder), the numbers of the values it
reads, and the constants. Its result gets the next number; number 0 is the network's input.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Epilogue:
    """How a layer ends: ``planes``, ``bytes``, ``affine`` or ``real``, with its constants."""

    kind: str
    constants: Mapping[str, object]


@dataclass(frozen=True, eq=False)
class Step:
    """One operation.

    Attributes:
        operation: as the engine's builder calls it.
        sources: numbers of the values it reads.
        constants: further arguments by name.
        value: the graph's value that the result is, for tracing.
        why: why this operation was chosen, where there was a choice.
        shape: of one sample of that value.
    """

    operation: str
    sources: tuple[int, ...]
    constants: Mapping[str, object] = field(default_factory=dict)
    value: str = ""
    why: str = ""
    shape: tuple[int, ...] = ()


def constant_bytes(constants: Mapping[str, object]) -> int:
    """Return the bytes of the arrays among constants, those of a layer's ending included."""
    return sum(
        value.nbytes if isinstance(value, np.ndarray) else constant_bytes(value.constants)
        for value in constants.values()
        if isinstance(value, np.ndarray | Epilogue)
    )


@dataclass(frozen=True, eq=False)
class ProgramPlan:
    """A planned network.

    Attributes:
        input_shape: of the network's input, the batch first (a name where it is open).
        output_shape: likewise.
        steps: in order.
        output: the number of the value that is the result.
        codes: for each step, the code of every byte or code that it leaves, where it leaves codes.
    """

    input_shape: tuple[int | str, ...]
    output_shape: tuple[int | str, ...]
    steps: tuple[Step, ...]
    output: int
    codes: Mapping[str, npt.NDArray[np.uint8]]
