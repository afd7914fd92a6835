"""What each step becomes in C: one table. What is not in it, or would be float in between, is in the way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lowbit.blockers import Blocker, grouped
from lowbit.c99 import elements, encoders, extremes, layers, maps, pools, reals
from lowbit.c99.inputs import Whole, mean_of
from lowbit.c99.recoded import AddCodes, Recode, live, without_reals
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit
from lowbit.errors import EngineError, TooLargeError
from lowbit.ir import Graph
from lowbit.program import ProgramPlan, lengths_to_fix, steps
from lowbit.program.file import blockers as program_blockers
from lowbit.program.file import network_of
from lowbit.program.planner import plan

Emit = Callable[[Unit, Any, list[Stored], int], Stored]

EMITTERS: dict[type[steps.Step], Emit] = {
    steps.EncodePlanes: encoders.encode_ranks,
    steps.EncodeBytes: encoders.encode_ranks,
    steps.Rank: encoders.encode_ranks,
    steps.EncodeAffine: encoders.encode_affine,
    steps.Round: encoders.encode_round,
    steps.LookUp: elements.look_up,
    steps.LookUpEntries: elements.look_up_entries,
    steps.RankWords: elements.rank_words,
    steps.Decode: elements.decode,
    steps.DecodeWords: elements.decode_words,
    steps.AddWords: elements.add_words,
    steps.PlaneFullyConnected: layers.plane_fully_connected,
    steps.ByteFullyConnected: layers.byte_fully_connected,
    steps.WordFullyConnected: layers.word_fully_connected,
    steps.PlaneConvolution: layers.plane_convolution,
    steps.ByteConvolution: layers.byte_convolution,
    steps.WordConvolution: layers.word_convolution,
    steps.Arrange: maps.arrange,
    steps.Flatten: maps.flatten,
    steps.MaxPool: maps.max_pool,
    steps.AveragePool: pools.average_pool,
    Recode: encoders.recode,
    AddCodes: elements.add_codes,
    steps.AverageWords: maps.average_words,
    steps.Concatenate: maps.concatenate,
    steps.Gather: maps.gather,
    steps.Activate: reals.activate,
    steps.Clip: reals.clip,
    steps.Softmax: reals.softmax,
    steps.FindExtreme: extremes.find_extreme,
    steps.SortExtremes: extremes.sort_extremes,
}
"""By the dataclass of the step."""

ENCODERS = (steps.EncodePlanes, steps.EncodeBytes, steps.Rank, steps.EncodeAffine, steps.Round)
"""Steps that make codes of reals."""

REMEDY = "Quantize it so that codes go in: lowbit quantize; what stays float is named in its report."
FLOATS = "Let floats go in: --input float, without --integer-output."
FUNCTIONS = (
    "Between layers take a function that thresholds hold: ReLU, leaky or parametric ReLU, hard swish, hard"
    " sigmoid, bounds, sigmoid or tanh alone; and average what a layer or its ReLU makes, no other function."
)
SUMS = 'Quantize it again with fixed-point sums: lowbit quantize --sums fixed (sums = "fixed" in a recipe).'


PLANE_PAIRS = 2
"""Layers of up to this many pairs of planes count bits: a word of a pair takes about as many instructions as
the products of six bytes that are not zero (`lowbit.c99.blocks`)."""

EXTREMES = (steps.FindExtreme, steps.SortExtremes)
"""Steps that compare reals, or scores."""

AT_ENDS = (steps.Activate, steps.Clip, steps.Softmax)
"""Steps on reals, which stand where codes are over."""

WORKING = (steps.Activate, steps.CombineConstant, steps.Clip)
"""Functions of one real."""

ON_INPUTS = (*ENCODERS, steps.Arrange, steps.Flatten, steps.Gather, steps.MaxPool, steps.AveragePool)
"""Steps that work on an input of integers."""


def blockers(graph: Graph) -> list[Blocker]:
    """Return what keeps a verified graph from C99: as the planner says it, and steps on floats."""
    if lengths_to_fix(graph):
        return program_blockers(graph)
    try:
        planned = without_reals(plan(graph, plane_pairs=PLANE_PAIRS))
    except (EngineError, TooLargeError):
        return program_blockers(graph)
    return grouped(refused(graph, planned))


def fixed_plan(graph: Graph) -> ProgramPlan:
    """Return the plan of a verified graph whose lengths are known.

    Raises:
        EngineError: what cannot be planned, all of it.
        UnsupportedError: lengths are open.
    """
    if lengths_to_fix(graph):
        network_of(graph)  # raises
    return without_reals(plan(graph, plane_pairs=PLANE_PAIRS))


def without_softmax(planned: ProgramPlan) -> ProgramPlan:
    """Return a plan without a softmax at the end, or before places of largest ones: order stays the same."""
    first = len(planned.inputs)
    made = {first + index: step for index, step in enumerate(planned.steps)}

    def before(number: int, axis: tuple[int, ...] | None = None) -> int:
        step = made.get(number)
        if not isinstance(step, steps.Softmax):
            return number
        lengths = step.outer, step.axis, step.inner
        return step.sources[0] if lengths == (axis or (1, step.axis, 1)) else number

    for number, step in made.items():
        if isinstance(step, steps.FindExtreme):
            lengths = step.outer, step.axis, step.inner
            made[number] = replace(step, sources=(before(step.sources[0], lengths),))
    numbers = tuple(before(number) for number in planned.numbers)
    last = max(numbers) - first + 1
    kept = tuple(made.values())[:last]
    return replace(planned, numbers=numbers, steps=kept, results=planned.results[:last])


def refused(
    graph: Graph, planned: ProgramPlan, whole: Whole | None = None, *, integers: bool = False
) -> Iterator[Blocker]:
    """Yield what of a program has no row in the table, and reals that stand where there are to be none.

    Args:
        graph: the network.
        planned: its plan.
        whole: the integers that go in, if any.
        integers: whether there are to be no reals at the end, either.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    called, used = _called(planned), live(planned)
    steps_used = {n: step for n, step in enumerate(planned.steps, len(planned.inputs)) if n in used}
    reasons = _Reasons(steps_used, {} if whole is None else {0: whole}, integers)
    for number, step in steps_used.items():
        node, value = makers.get(called[number]), called[number]
        name, operator = (value, "") if node is None else (node.name or value, node.op)
        for what, expected, found, remedy in reasons.of(number, step):
            yield Blocker(what, (name,), operator, expected, found, remedy)


_Reason = tuple[str, str, str, str]
"""What is wrong, what is expected, what is found, and what to do."""


class _Reasons:
    """Why steps have no place in generated C, asked in their order."""

    def __init__(self, found: dict[int, steps.Step], raw: dict[int, Whole], integers: bool) -> None:
        self._raw = raw  # inputs of integers, and what only moves or adds them, by number
        self._found = found
        self._hidden = _between_codes(found)
        self._real: set[int] = set()  # scores of layers, and what only moves them
        self._scores = integers and all(map(_has_row, found.values()))

    def of(self, number: int, step: steps.Step) -> Iterator[_Reason]:
        """Yield the reasons of one step."""
        kind = type(step).__name__
        if not _has_row(step):
            detail = f" {step.function}" if isinstance(step, steps.Activate) else ""
            remedy = self._remedy(step)
            what = f"C99 has no step {kind}{detail}, which works on floats"
            yield what, "layers, sums and pools of codes", "floats", remedy
        elif number in self._hidden:
            expected = "integers from the first encoder on"
            yield "floats stand between codes", expected, "floats", self._remedy(step)
        elif any(source in self._raw for source in step.sources):
            yield from self._on_integers(number, step)
        elif self._scores and isinstance(step, AT_ENDS):
            remedy = "Leave --integer-output out."
            yield f"the step {kind} makes floats of the scores", "scores as they are", "floats", remedy
        elif self._scores:
            yield from self._on_scores(number, step)

    def _remedy(self, step: steps.Step) -> str:
        """Return what helps where a step works on floats: fixed-point sums, if codes are what is summed."""
        if isinstance(step, steps.Combine) and step.operation != "add":
            return FUNCTIONS
        if isinstance(step, steps.Combine | steps.AveragePool | steps.Reduce):
            worked = any(self._is_worked(self._found.get(source)) for source in step.sources)
            return FUNCTIONS if worked else SUMS
        return FUNCTIONS if isinstance(step, WORKING) else REMEDY

    def _is_worked(self, step: steps.Step | None) -> bool:
        """Return whether a real is a function of one that no layer or decoder made as it is."""
        if isinstance(step, steps.Activate) and step.function in ("identity", "relu"):
            return self._is_worked(self._found.get(step.sources[0]))
        return isinstance(step, (*WORKING, steps.Combine))

    def _on_scores(self, number: int, step: steps.Step) -> Iterator[_Reason]:
        """Yield why a step does not read scores, and note those that it makes."""
        joined = self._real.intersection(step.sources)
        if len(joined) > 1:
            what = "scores of several layers are joined, and each layer has a scale of its own"
            yield what, "scores of one layer", f"of {len(joined)}", "Leave --integer-output out."
        if joined or isinstance(getattr(step, "ending", None), steps.RealEnding):
            self._real.add(number)

    def _on_integers(self, number: int, step: steps.Step) -> Iterator[_Reason]:
        """Yield why a step does not read an input of integers, and note what it makes of one."""
        whole = next(self._raw[source] for source in step.sources if source in self._raw)
        if not isinstance(step, ON_INPUTS):
            what = f"the step {type(step).__name__} reads an input of integers, before it is encoded"
            yield what, "an encoder first", "floats", FLOATS
            return
        if isinstance(step, steps.Gather) and not _fills(step, whole):
            what = "an input of integers is filled with a number that none of them stands for"
            yield what, "one of them", f"{step.fill:g}", FLOATS
        elif isinstance(step, ENCODERS):
            if not whole.decides(step):
                what = "a mean of integers lies at a step of the encoder: a float's last bit would decide"
                yield what, "steps between means", "one at a mean", FLOATS
            return
        means = mean_of(whole, step) if isinstance(step, steps.AveragePool) else whole
        if means is None:
            what = "means of integers are of windows that are not alike, or of numbers without an even grid"
            yield what, "whole windows of even numbers", "others", FLOATS
        self._raw[number] = means or whole


def _called(planned: ProgramPlan) -> dict[int, str]:
    """Return what each step makes by its name in the network, or what is made of it where it has none."""
    first = len(planned.inputs)
    found = {first + index: result.value for index, result in enumerate(planned.results)}
    for index, step in reversed(list(enumerate(planned.steps))):
        for source in step.sources:
            if source in found and not found[source]:
                found[source] = found[first + index]
    return found


def _rounds(step: steps.Step) -> bool:
    return isinstance(step, steps.Softmax) or (
        isinstance(step, steps.Activate) and step.function in reals.ROUNDED
    )


def _has_row(step: steps.Step) -> bool:
    """Return whether there is C of a step; a softmax has one, its logarithm none."""
    if isinstance(step, steps.Activate):
        return step.function in reals.FUNCTIONS
    return type(step) in EMITTERS and not (isinstance(step, steps.Softmax) and step.logarithm)


def _fills(step: steps.Gather, whole: Whole | None) -> bool:
    """Return whether what a step fills with, if it does, is one of the integers that go in."""
    filled = bool((step.places == steps.NOWHERE).any())
    return not filled or whole is None or np.float32(step.fill) in whole.reals


def _between_codes(found: dict[int, steps.Step]) -> set[int]:
    """Return the numbers of reals that an encoder reads though they are made of codes.

    So is what a function makes whose last bit differs from the engine's, if anything compares it.
    """
    rounded: set[int] = set()  # made by such a function
    coded: set[int] = set()  # made of codes, or codes, or of such a function
    hidden: set[int] = set()
    for number, step in found.items():
        if isinstance(step, (*ENCODERS, *EXTREMES)):
            hidden |= (coded if isinstance(step, ENCODERS) else rounded).intersection(step.sources)
        if _rounds(step) or rounded.intersection(step.sources):
            rounded.add(number)
        if isinstance(step, ENCODERS) or number in rounded or coded.intersection(step.sources):
            coded.add(number)
    return hidden
