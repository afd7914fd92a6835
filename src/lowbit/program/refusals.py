"""What the engine cannot run of a graph: found before work is done, and all of it said at once.

The engine runs one sample after another, so every value has the batch as its first axis, and fixed lengths
behind it. Operators have conditions of their own; the planner finds them and adds them to these.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod

from lowbit.blockers import Blocker, blocker_of, grouped, listed, remedies
from lowbit.errors import EngineError, LowbitError
from lowbit.ir import Graph, Node, Value
from lowbit.ir.graph import Shape

MAX_ELEMENTS = 1 << 24
"""Of one sample of a value: the engine's kMaxFeatures."""

REMEDY = "The reference evaluator runs it: lowbit.ir.evaluate, or lowbit eval and run --backend reference."

Refusal = tuple[Node | None, LowbitError]
"""What is wrong, and the node where it is."""


def refuse_all(refusals: Sequence[Refusal]) -> None:
    """Raise `EngineError` with everything that was found, if anything was."""
    if not refusals:
        return
    first = refusals[0][1]
    if len(refusals) == 1:
        raise EngineError(
            first.message,
            where=first.where,
            expected=first.expected,
            found=first.found,
            remedy=first.remedy or REMEDY,
        ) from first.__cause__
    blockers = blockers_of(refusals)
    raise EngineError(
        f"the engine does not run {len(refusals)} parts of this network",
        where=first.where,
        found=listed(blockers),
        remedy=remedies(blockers),
    )


def blockers_of(refusals: Iterable[Refusal]) -> list[Blocker]:
    """Return refusals by operator and reason."""
    found = []
    for node, error in refusals:
        name, operator = (error.where, "") if node is None else (node.name or node.outputs[0], node.op)
        found.append(replace(blocker_of(error, name, operator), remedy=error.remedy or REMEDY))
    return grouped(found)


def refused_ends(graph: Graph) -> Iterator[LowbitError]:
    """Yield what is wrong with inputs and outputs. An input that nothing reads does not count."""
    inputs = read_inputs(graph)
    if not inputs:
        yield _refusal(
            graph, graph.outputs[0], "an output that is a constant", "one made of samples", "constants"
        )
        return
    if len(inputs) != 1 or len(graph.outputs) != 1:
        yield EngineError(
            "the engine runs networks with one input and one output",
            where=graph.name,
            found=f"inputs {', '.join(inputs)}; outputs {', '.join(graph.outputs)}",
            remedy="Export one output, or evaluate it with the reference.",
        )
        return
    source, target = graph.value(inputs[0]), graph.value(graph.outputs[0])
    if source.dtype != "float32":
        yield _refusal(graph, source.name, "an input of other numbers", "float32", source.dtype)
    yield from _refused_shape(graph, source.name, source, source.shape[:1])
    if target.encoding is not None:
        yield _refusal(graph, target.name, "an output of codes", "floats: a Decode at the end", target.dtype)
    if target.data is not None or target.name in graph.inputs:
        yield _refusal(graph, target.name, "an output that no node makes", "a computed output", "another")


def refused_values(graph: Graph, node: Node, batch: Shape) -> Iterator[LowbitError]:
    """Yield what is wrong with the values that a node makes, where the network's input has that batch."""
    where = f"{node.name} ({node.op})"
    if len(node.outputs) != 1:
        yield _refusal(graph, where, "several results of one node", "one", str(len(node.outputs)))
    for name in node.outputs:
        value = graph.value(name)
        if value.dtype not in ("float32", "code", "code16"):
            yield _refusal(graph, where, f"numbers of type {value.dtype}", "float32", value.dtype)
        yield from _refused_shape(graph, where, value, batch)


def read_inputs(graph: Graph) -> tuple[str, ...]:
    """Return the inputs that a node reads, or that are outputs themselves."""
    read = {name for node in graph.nodes for name in node.inputs} | set(graph.outputs)
    return tuple(name for name in graph.inputs if name in read)


def _refused_shape(
    graph: Graph, where: str, value: Value, batch: Sequence[int | str]
) -> Iterator[LowbitError]:
    shape, lengths = value.shape, value.shape[1:]
    if not shape or tuple(shape[:1]) != tuple(batch):
        expected = f"[{', '.join(map(str, batch))}, …], as the input has it"
        yield _refusal(graph, where, "a change of the batch", expected, str(list(shape)))
    elif not all(isinstance(length, int) and length >= 1 for length in lengths):
        yield _refusal(
            graph,
            where,
            "open or empty lengths",
            "[n, …] with every length but the first known",
            str(list(shape)),
        )
    elif _product(lengths) > MAX_ELEMENTS:
        yield _refusal(
            graph, where, "such large values", f"at most {MAX_ELEMENTS} elements", str(list(shape))
        )


def _product(lengths: Iterable[int | str]) -> int:
    return prod(length for length in lengths if isinstance(length, int))


def _refusal(graph: Graph, where: str, what: str, expected: str, found: str) -> EngineError:
    return EngineError(
        f"the engine does not run {what}",
        where=f"{graph.name}/{where}",
        expected=expected,
        found=found,
        remedy=REMEDY,
    )
