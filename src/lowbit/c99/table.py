"""What each step becomes in C: one table. What is not in it, or would be float in between, is in the way."""

from collections.abc import Callable, Iterator
from typing import Any

from lowbit.blockers import Blocker, grouped
from lowbit.c99 import elements, layers, maps
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit
from lowbit.errors import EngineError, TooLargeError
from lowbit.ir import Graph
from lowbit.program import ProgramPlan, lengths_to_fix, steps
from lowbit.program.file import blockers as program_blockers
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
    steps.AverageWords: maps.average_words,
    steps.Concatenate: maps.concatenate,
    steps.Gather: maps.gather,
    steps.Activate: maps.copy,
    steps.Clip: elements.clip,
}
"""By the dataclass of the step."""

ENCODERS = (steps.EncodePlanes, steps.EncodeBytes, steps.Rank, steps.EncodeAffine, steps.Round)
"""Steps that make codes of reals."""

REMEDY = "Quantize it again so that codes go in: lowbit quantize; what stays float is named in its report."
SUMS = 'Quantize it again with fixed-point sums: lowbit quantize --sums fixed (sums = "fixed" in a recipe).'


def blockers(graph: Graph) -> list[Blocker]:
    """Return what keeps a verified graph from C99: as the planner says it, and steps on floats."""
    if lengths_to_fix(graph):
        return program_blockers(graph)
    try:
        planned = plan(graph)
    except (EngineError, TooLargeError):
        return program_blockers(graph)
    return grouped(refused(graph, planned))


def refused(graph: Graph, planned: ProgramPlan) -> Iterator[Blocker]:
    """Yield what of a program has no row in the table, and reals that stand between codes."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    hidden = _between_codes(planned)
    first = len(planned.inputs)
    for index, (step, result) in enumerate(zip(planned.steps, planned.results, strict=True)):
        node = makers.get(result.value)
        name, operator = (result.value, "") if node is None else (node.name or result.value, node.op)
        if type(step) not in EMITTERS or (isinstance(step, steps.Activate) and step.function != "identity"):
            remedy = SUMS if isinstance(step, steps.Combine) and step.operation == "add" else REMEDY
            what = f"C99 has no step {type(step).__name__}, which works on floats"
            yield Blocker(what, (name,), operator, "layers, sums and pools of codes", "floats", remedy)
        elif first + index in hidden:
            what = "floats stand between codes"
            yield Blocker(what, (name,), operator, "integers from the first encoder on", "floats", REMEDY)


def _between_codes(planned: ProgramPlan) -> set[int]:
    """Return the numbers of reals that are made of codes, and that an encoder makes codes of again."""
    first = len(planned.inputs)
    makers: dict[int, steps.Step] = {first + index: step for index, step in enumerate(planned.steps)}
    coded: set[int] = set()  # made of codes, or codes
    for number, step in makers.items():
        if isinstance(step, ENCODERS) or any(source in coded for source in step.sources):
            coded.add(number)
    return {
        source
        for step in makers.values()
        if isinstance(step, ENCODERS)
        for source in step.sources
        if source in coded
    }
