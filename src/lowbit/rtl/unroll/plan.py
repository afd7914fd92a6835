"""Everything that the generator of an unrolled engine needs to know."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lowbit.rtl.array.network import ArrayNetwork
from lowbit.rtl.array.scores import ScorePlan, plan_scores
from lowbit.rtl.integers import Range
from lowbit.rtl.primitives.target import Target
from lowbit.rtl.unroll.circuit import Circuit, Sum
from lowbit.rtl.unroll.endings import Number, times
from lowbit.rtl.unroll.forecast import check_size
from lowbit.rtl.unroll.lowering import Unrolled, numbers_of, unrolled
from lowbit.rtl.unroll.pipeline import Pipeline, pipelined
from lowbit.rtl.unroll.sharing import bits_of


@dataclass(frozen=True, eq=False)
class UnrollPlan:
    """See the module; make one with `plan_unroll`.

    Attributes:
        network: the integers.
        target: the family.
        whole: whether a beat is a picture and its results; else bytes come and words go one by one.
        made: the circuit, and what each stage has added to it.
        results: values of the scores, and of the class.
        scores: what is known of the scores.
        pipeline: where registers are.
    """

    network: ArrayNetwork
    target: Target
    whole: bool
    made: Unrolled
    results: tuple[int, ...]
    scores: ScorePlan
    pipeline: Pipeline

    @property
    def circuit(self) -> Circuit:
        """All values."""
        return self.made.circuit

    @property
    def picture_bytes(self) -> int:
        """Bytes of a picture."""
        channels, rows, columns = self.network.shape
        return channels * rows * columns

    @property
    def input_bits(self) -> int:
        """Bits of a number of the picture, as the circuit takes it."""
        return 8 if self.whole else max(1, int(self.network.pixels.max()).bit_length())

    @property
    def cycles_per_image(self) -> int:
        """Clocks from one picture to the next."""
        return 1 if self.whole else max(self.picture_bytes, len(self.results))

    def adders(self, stage: str) -> tuple[int, int]:
        """Return the adders of a stage, and their bits."""
        alive = self._alive
        sums = [
            value
            for value in self.made.added[stage]
            if alive[value] and isinstance(self.circuit.operations[value], Sum)
        ]
        shifts = [self.circuit.operations[value].right_shift for value in sums]  # type: ignore[union-attr]
        bits = [
            bits_of(self.circuit.ranges[value]) - shift for value, shift in zip(sums, shifts, strict=True)
        ]
        return len(sums), sum(bits)

    @cached_property
    def _alive(self) -> list[bool]:
        return self.circuit.alive(self.results)


def plan_unroll(
    network: ArrayNetwork,
    target: Target = "xc7",
    *,
    whole: bool = True,
    pipeline: int | None = None,
    most: int,
) -> UnrollPlan:
    """Return the plan of an engine.

    Args:
        network: the integers.
        target: the family.
        whole: see `UnrollPlan`.
        pipeline: operations in a row between registers; None for none but those of the results.
        most: look-up tables that there are.

    Raises:
        PlanError: it is forecast to be larger than that, before any work is done.
    """
    check_size(network, most)
    made = unrolled(network, bytes_in=whole)
    circuit, numbers = made.circuit, numbers_of(made, network)
    scores = _score_plan(circuit, network, numbers)
    before = len(circuit)
    words = [
        _line(circuit, number, number.gain, int(offset))
        for number, offset in zip(numbers, scores.offsets, strict=True)
    ]
    ranks = [
        _line(circuit, number, int(multiplier), int(constant), ranks=True)
        for number, multiplier, constant in zip(numbers, scores.multipliers, scores.constants, strict=False)
    ]
    results = (*words, _first_largest(circuit, ranks))
    made.added["scores"] = range(before, len(circuit))
    return UnrollPlan(network, target, whole, made, results, scores, pipelined(circuit, results, pipeline))


def _score_plan(circuit: Circuit, network: ArrayNetwork, numbers: Sequence[Number]) -> ScorePlan:
    addends = np.concatenate([np.resize(head.addend, len(head.scale)) for head in network.heads])
    constants = np.array([number.constant for number in numbers], np.int64)
    gains = [number.gain << number.term.shift if number.term else 1 for number in numbers]
    return plan_scores(
        tuple(_signed_range(circuit, number) for number in numbers),
        (1,) * len(numbers),
        np.array(gains, np.int64),
        constants + addends,
        network.scale,
        network.bias,
        network.heads[0].stage,
        ranked=network.ranked,
    )


def _signed_range(circuit: Circuit, number: Number) -> Range:
    """Return the range of a term without its shift."""
    if number.term is None:
        return Range(0, 0)
    found = circuit.ranges[number.term.value]
    return found if number.term.sign > 0 else Range(-found.high, -found.low)


def _line(circuit: Circuit, number: Number, gain: int, constant: int, *, ranks: bool = False) -> int:
    """Return ``gain * term + constant``; of ranks, the term is one without its shift."""
    if number.term is None or not gain:
        return circuit.constant(constant)
    product = times(circuit, number.term.value, gain)
    moved = product if ranks else circuit.shift(product, number.term.shift)
    return circuit.offset(moved, constant, minus=number.term.sign < 0)


def _first_largest(circuit: Circuit, ranks: Sequence[int]) -> int:
    """Return the number of the first of the largest ranks."""
    best = [(rank, circuit.constant(number)) for number, rank in enumerate(ranks)]
    while len(best) > 1:
        pairs = [_better(circuit, *best[at : at + 2]) for at in range(0, len(best) - 1, 2)]
        best = pairs + best[len(pairs) * 2 :]
    return best[0][1]


def _better(circuit: Circuit, one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    above = circuit.greater(other[0], one[0])
    return circuit.larger(one[0], other[0]), circuit.choice(above, other[1], one[1])
