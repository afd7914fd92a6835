"""What goes into a generated program: floats, or the integers that a network declares, or pixels."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.c99.stored import Stored
from lowbit.errors import UsageError
from lowbit.ir import Graph
from lowbit.ir.input_type import InputType
from lowbit.program import Port
from lowbit.program.steps import AveragePool, EncodeAffine, EncodeBytes, EncodePlanes, Rank, Round

CHOICES = ("float", "pixels")
Ranking = EncodePlanes | EncodeBytes | Rank
"""Encoders that count the thresholds below a real and look the code up."""
Encoder = Ranking | EncodeAffine | Round
_SUMS = (
    ("uint16_t", 0, (1 << 16) - 1),
    ("int16_t", -(1 << 15), (1 << 15) - 1),
    ("int32_t", -(1 << 31), 1 << 31),
)
_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "bool": "uint8_t", "int16": "int16_t", "uint16": "uint16_t"}


@dataclass(frozen=True, eq=False)
class Whole:
    """Integers that go in, and the reals that they stand for.

    Attributes:
        ctype: of an integer.
        least: the first integer.
        reals: of all integers from there on.
        about: what they are, for people.
        doubt: by how much a real may be another, where an integer stands for several: the sum of a mean's.
    """

    ctype: str
    least: int
    reals: npt.NDArray[np.float32]
    about: str
    doubt: float = 0.0

    @property
    def last(self) -> int:
        """The last integer."""
        return self.least + len(self.reals) - 1

    def decides(self, step: Encoder) -> bool:
        """Return whether an encoder makes one code of all reals that an integer stands for."""
        reals = self.reals.astype(np.float64)
        return np.array_equal(encoded(step, reals - self.doubt), encoded(step, reals + self.doubt))


def mean_of(whole: Whole, step: AveragePool) -> Whole | None:
    """Return the sums of windows of integers, and what they stand for; None where windows differ.

    The engine adds float32 numbers exactly and rounds the mean once. What numbers of one sum differ by in the
    last bits of their float32 is the doubt.
    """
    if not all(axis.valid().all() for axis in (step.rows, step.columns)):
        return None
    taps = step.rows.kernel * step.columns.kernel
    reals = whole.reals.astype(np.float64)
    line = np.linspace(reals[0], reals[-1], len(reals))
    uneven = float(np.abs(reals - line).max())
    means = np.linspace(reals[0], reals[-1], (len(reals) - 1) * taps + 1).astype(np.float32)
    last_bit = float(np.abs(means).max()) * 2.0**-23
    if uneven > 16 * last_bit:
        return None  # integers that stand for no even grid
    least, most = whole.least * taps, whole.last * taps
    ctype = next(name for name, low, high in _SUMS if low <= least and most <= high)
    return Whole(ctype, least, means, f"sums of {taps}", whole.doubt + uneven + last_bit)


def encoded(step: Encoder, reals: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return what an encoder makes of reals: the entries of its form."""
    if isinstance(step, Ranking):
        ranks = (reals[:, None] > step.thresholds[None]).sum(axis=1)
        return np.asarray(step.table.astype(np.int64)[ranks])
    if isinstance(step, EncodeAffine):
        low, high, unit, rule = -int(step.zero), int(step.top) - int(step.zero), step.scale, "round_even"
        base = low
    else:
        low, high, unit, rule, base = step.low, step.high, step.step, step.rule, step.base
    scaled = reals.astype(np.float64) / unit
    rounded = np.rint(scaled) if rule == "round_even" else np.floor(scaled + 0.5 * (rule == "round_up"))
    return np.clip(rounded, low, high).astype(np.int64) - base


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
    return Stored(
        number,
        "reals",
        count,
        None,
        0,
        whole.least,
        whole.last,
        text,
        pixels=whole.reals,
        element=whole.ctype,
    )
