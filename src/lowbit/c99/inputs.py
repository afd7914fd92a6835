"""What goes into a generated program: floats, or the integers that a network declares, or pixels."""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.c99.stored import Stored
from lowbit.errors import UsageError
from lowbit.ir import Graph
from lowbit.ir.input_type import InputType
from lowbit.program import Port

CHOICES = ("float", "pixels")
_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "bool": "uint8_t", "int16": "int16_t", "uint16": "uint16_t"}


@dataclass(frozen=True, eq=False)
class Whole:
    """Integers that go in, and the reals that they stand for.

    Attributes:
        ctype: of an integer.
        least: the first integer.
        reals: of all integers from there on.
        about: what they are, for people.
    """

    ctype: str
    least: int
    reals: npt.NDArray[np.float32]
    about: str


def whole_input(graph: Graph, chosen: str, *, integers: bool) -> Whole | None:
    """Return the integers that the first input takes, or None where it takes floats.

    Args:
        graph: the network.
        chosen: one of `CHOICES`, or empty: what the network declares, else floats, or pixels where there are
            to be integers alone.
        integers: whether there are to be integers alone.

    Raises:
        UsageError: another choice, or floats where there are to be integers alone.
    """
    if chosen not in ("", *CHOICES):
        raise UsageError("unknown input", where="--input", expected=" or ".join(CHOICES), found=repr(chosen))
    if chosen == "float":
        if integers:
            raise UsageError(
                "floats go in where all is to be integers",
                where="--input float --integer-output",
                expected="one of the two",
                found="both",
                remedy="Leave --input out, or take --input pixels.",
            )
        return None
    noted = InputType.of(graph)
    if chosen == "" and noted is not None and noted.dtype in _TYPES:
        return _declared(noted)
    if chosen == "pixels" or integers:
        levels = np.arange(256, dtype=np.float32) / np.float32(255)
        return Whole("uint8_t", 0, levels, "pixels: p stands for p / 255")
    return None


def _declared(noted: InputType) -> Whole:
    low, high = noted.range
    levels = np.array([noted.level(code) for code in range(low, high + 1)]).astype(np.float32)
    about = "the numbers themselves"
    if noted.scale is not None:
        about = f"codes: q stands for {noted.scale:.9g} * (q - ({noted.zero_point}))"
    return Whole(_TYPES[noted.dtype], low, levels, about)


def stored_input(port: Port, number: int, whole: Whole | None) -> Stored:
    """Return an input as it is stored: where the caller has it."""
    text = "input" if number == 0 else f"input_{number}"
    count = prod(port.lengths)
    if whole is None:
        return Stored(number, "reals", count, text=text, element="float")
    last = whole.least + len(whole.reals) - 1
    return Stored(
        number, "reals", count, None, 0, whole.least, last, text, pixels=whole.reals, element=whole.ctype
    )
