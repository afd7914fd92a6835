"""What each step becomes in C: one table. What is not in it, or would be float in between, is in the way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lowbit.blockers import Blocker, grouped
from lowbit.c99 import elements, layers, maps, pools, reals
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
    steps.EncodePlanes: elements.encode_ranks,
    steps.EncodeBytes: elements.encode_ranks,
    steps.Rank: elements.encode_ranks,
    steps.EncodeAffine: elements.encode_affine,
    steps.Round: elements.encode_round,
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
    Recode: elements.recode,
    AddCodes: elements.add_codes,
    steps.AverageWords: maps.average_words,
    steps.Concatenate: maps.concatenate,
    steps.Gather: maps.gather,
    steps.Activate: reals.activate,
    steps.Clip: reals.clip,
    steps.Softmax: reals.softmax,
}
"""By the dataclass of the step."""

ENCODERS = (steps.EncodePlanes, steps.EncodeBytes, steps.Rank, steps.EncodeAffine, steps.Round)
"""Steps that make codes of reals."""

REMEDY = "Quantize it again so that codes go in: lowbit quantize; what stays float is named in its report."
FLOATS = "Let floats go in: --input float, without --integer-output."
SUMS = 'Quantize it again with fixed-point sums: lowbit quantize --sums fixed (sums = "fixed" in a recipe).'


PLANE_PAIRS = 2
"""Layers of up to this many pairs of planes count bits: a word of a pair takes about as many instructions as
the products of six bytes that are not zero (`lowbit.c99.blocks`)."""

AT_ENDS = (steps.Activate, steps.Clip, steps.Softmax)
"""Steps on reals, which stand where codes are over."""

SUMMING = (steps.Combine, steps.AveragePool, steps.Reduce)
"""Steps on reals that a plan with fixed-point sums has none of."""

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
    """Return a plan whose outputs are what a softmax at the end is made of: that has the same order."""
    first = len(planned.inputs)
    makers = dict(enumerate(planned.steps, first))
    numbers = []
    for number in planned.numbers:
        step = makers[number]
        ends = isinstance(step, steps.Softmax) and step.outer == step.inner == 1
        numbers.append(step.sources[0] if ends else number)
    kept = replace(planned, numbers=tuple(numbers))
    last = max(numbers) - first + 1
    return replace(kept, steps=kept.steps[:last], results=kept.results[:last])


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
    hidden, called = _between_codes(planned), _called(planned)
    raw, used = {} if whole is None else {0: whole}, live(planned)
    for number, step in enumerate(planned.steps, len(planned.inputs)):
        if number not in used:
            continue
        node, value = makers.get(called[number]), called[number]
        name, operator = (value, "") if node is None else (node.name or value, node.op)
        kind = type(step).__name__
        if not _has_row(step):
            remedy = SUMS if isinstance(step, SUMMING) else REMEDY
            detail = f" {step.function}" if isinstance(step, steps.Activate) else ""
            what = f"C99 has no step {kind}{detail}, which works on floats"
            yield Blocker(what, (name,), operator, "layers, sums and pools of codes", "floats", remedy)
        elif number in hidden:
            what = "floats stand between codes"
            yield Blocker(what, (name,), operator, "integers from the first encoder on", "floats", REMEDY)
        elif raw.keys() & {*step.sources} and not isinstance(step, ON_INPUTS):
            what = f"the step {kind} reads an input of integers, before it is encoded"
            yield Blocker(what, (name,), operator, "an encoder first", "floats", FLOATS)
        elif isinstance(step, steps.Gather) and not _fills(step, raw.get(step.sources[0])):
            what = "an input of integers is filled with a number that none of them stands for"
            yield Blocker(what, (name,), operator, "one of them", f"{step.fill:g}", FLOATS)
        elif integers and isinstance(step, AT_ENDS):
            what = f"the step {kind} makes floats of the scores"
            yield Blocker(
                what, (name,), operator, "scores as they are", "floats", "Leave --integer-output out."
            )
        elif isinstance(step, ENCODERS):
            if step.sources[0] in raw and not raw[step.sources[0]].decides(step):
                what = "a mean of integers lies at a step of the encoder: a float's last bit would decide"
                yield Blocker(what, (name,), operator, "steps between means", "one at a mean", FLOATS)
        elif isinstance(step, steps.AveragePool) and step.sources[0] in raw:
            means = mean_of(raw[step.sources[0]], step)
            if means is None:
                what = (
                    "means of integers are of windows that are not alike, or of numbers without an even grid"
                )
                yield Blocker(what, (name,), operator, "whole windows of even numbers", "others", FLOATS)
            raw[number] = means or raw[step.sources[0]]
        elif raw.keys() & {*step.sources}:
            raw[number] = raw[step.sources[0]]


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


def _between_codes(planned: ProgramPlan) -> set[int]:
    """Return the numbers of reals that an encoder reads though they are made of codes.

    So is what a function makes whose last bit differs from the engine's.
    """
    first = len(planned.inputs)
    makers: dict[int, steps.Step] = {first + index: step for index, step in enumerate(planned.steps)}
    coded: set[int] = set()  # made of codes, or codes, or of such a function
    for number, step in makers.items():
        if isinstance(step, ENCODERS) or _rounds(step) or any(source in coded for source in step.sources):
            coded.add(number)
    return {
        source
        for step in makers.values()
        if isinstance(step, ENCODERS)
        for source in step.sources
        if source in coded
    }
