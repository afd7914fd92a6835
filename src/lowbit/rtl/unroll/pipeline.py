"""Between which operations registers stand: a number of operations in a row, then a register."""

from collections.abc import Sequence
from dataclasses import dataclass

from lowbit.rtl.unroll.circuit import Circuit, Constant, Count, Input, Shift, operands

_FREE = (Input, Constant, Shift, Count)
"""Operations that take no time of their own: wires, and what joins the logic behind it."""


@dataclass(frozen=True)
class Pipeline:
    """When values are there.

    Attributes:
        stage: of every value, in which clock it is computed, from 0.
        depths: of every value, operations in a row from the inputs.
        stages: how many there are; the registers of the results are behind the last.
    """

    stage: tuple[int, ...]
    depths: tuple[int, ...]
    stages: int

    @property
    def depth(self) -> int:
        """Operations in a row from the inputs to the results."""
        return max(self.depths, default=0)


def pipelined(circuit: Circuit, wanted: Sequence[int], each: int | None) -> Pipeline:
    """Return the stages of a circuit.

    Args:
        circuit: all values.
        wanted: the results.
        each: operations between registers; None for one stage.
    """
    depths: list[int] = []
    for operation in circuit.operations:
        before = max((depths[value] for value in operands(operation)), default=0)
        depths.append(before + (not isinstance(operation, _FREE)))
    alive = circuit.alive(wanted)
    depths = [depth if live else 0 for depth, live in zip(depths, alive, strict=True)]
    stages = [0 if each is None else max(0, depth - 1) // each for depth in depths]
    return Pipeline(tuple(stages), tuple(depths), max(stages, default=0) + 1)
