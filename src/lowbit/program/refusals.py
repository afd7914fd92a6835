"""What the engine cannot run of a graph: found before work is done, and all of it said at once.

In the batched form of a program every value has the batch as its first axis, and fixed lengths behind it; in
the whole form all lengths are fixed. Operators have conditions of their own; the planner finds them and adds
them to these.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.blockers import Blocker, blocker_of, grouped, listed, remedies
from lowbit.errors import EngineError, LowbitError
from lowbit.ir import Graph, Node, Value
from lowbit.ir.graph import Shape

MAX_ELEMENTS = 1 << 24
"""Of one sample of a value: the engine's kMaxFeatures."""

EXACT = 1 << 24
"""The largest integer that float32 holds beside all smaller ones."""

NUMBERS = ("float32", "int64", "int32", "bool")
"""What inputs, outputs and values of a network may be; the engine holds all of them as float32."""

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
    if not read_inputs(graph):
        yield _refusal(
            graph, graph.outputs[0], "an output that is a constant", "one made of samples", "constants"
        )
    for name in read_inputs(graph):
        dtype = graph.value(name).dtype
        if dtype not in NUMBERS:
            yield _refusal(graph, name, "an input of other numbers", " or ".join(NUMBERS), dtype)
    for name in graph.outputs:
        dtype = graph.value(name).dtype
        if dtype not in NUMBERS:
            yield _refusal(graph, name, "an output of other numbers", " or ".join(NUMBERS), dtype)


def refused_inputs(graph: Graph, *, batched: bool) -> Iterator[LowbitError]:
    """Yield what is wrong with the shapes of inputs in a form."""
    names = read_inputs(graph)
    batch = graph.value(names[0]).shape[:1] if batched else None
    for name in names:
        yield from _refused_shape(graph, name, graph.value(name), batch)


def refused_values(graph: Graph, node: Node, batch: Shape | None) -> Iterator[LowbitError]:
    """Yield what is wrong with the values that a node makes, where the network's input has that batch.

    Args:
        graph: of the node.
        node: looked at.
        batch: the first axis of the input in the batched form; None in the whole one.
    """
    where = f"{node.name} ({node.op})"
    for name in filter(None, node.outputs):
        value = graph.value(name)
        if value.dtype not in (*NUMBERS, "code", "code16"):
            yield _refusal(graph, where, f"numbers of type {value.dtype}", " or ".join(NUMBERS), value.dtype)
        yield from _refused_shape(graph, where, value, batch)


def read_inputs(graph: Graph) -> tuple[str, ...]:
    """Return the inputs that a node reads, or that are outputs themselves."""
    read = {name for node in graph.nodes for name in node.inputs} | set(graph.outputs)
    return tuple(name for name in graph.inputs if name in read)


def as_reals(numbers: npt.NDArray[Any], where: str) -> npt.NDArray[np.float32]:
    """Return numbers as the engine holds them: float32, of integers exactly those up to 2^24.

    Raises:
        EngineError: larger ones.
    """
    if numbers.dtype.kind in "iu" and numbers.size and max(int(numbers.max()), -int(numbers.min())) > EXACT:
        raise EngineError(
            "integers are larger than the engine holds",
            where=where,
            expected=f"-{EXACT} to {EXACT}",
            found=f"{int(numbers.min())} to {int(numbers.max())}",
            remedy=REMEDY,
        )
    return np.ascontiguousarray(numbers, np.float32)


def _refused_shape(graph: Graph, where: str, value: Value, batch: Shape | None) -> Iterator[LowbitError]:
    shape, lengths = value.shape, value.shape if batch is None else value.shape[1:]
    if batch is not None and (not shape or tuple(shape[:1]) != tuple(batch)):
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
