"""Plans a graph: which operation of the engine runs each node, with constants ready at load.

What each operator becomes is in `lowbit.program.lowerings`.
"""

from dataclasses import replace
from math import prod
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from lowbit.blockers import Blocker
from lowbit.budget import check_budget
from lowbit.errors import EngineError, GraphError, LowbitError, TooLargeError, UnsupportedError
from lowbit.ir import Graph, Node, run_passes
from lowbit.ir.graph import Shape
from lowbit.ir.passes import MAP_FORM, expansion, fold_pads, fuse_linear
from lowbit.program.layers import Rows, columns_by_pixels
from lowbit.program.layout import Layout, entries_of_code, layout_of
from lowbit.program.lowerings import LOWERINGS, is_lowered, lowering_of
from lowbit.program.refusals import (
    REMEDY,
    Refusal,
    blockers_of,
    read_inputs,
    refuse_all,
    refused_ends,
    refused_values,
)
from lowbit.program.steps import (
    Activate,
    Arrange,
    CodeTable,
    Combine,
    Concatenate,
    Flatten,
    Gather,
    Operation,
    ProgramPlan,
    Result,
    Step,
)
from lowbit.schemes import Encoding

Lengths = tuple[int, int, int]


def plan(graph: Graph) -> ProgramPlan:
    """Return the program of a verified graph: the same on every machine.

    Values lie in planes wherever that is possible; the engine makes bytes of them at load, where that is
    faster with its kernels.

    Args:
        graph: with one input and one output.

    Raises:
        EngineError: operators, shapes or encodings that the engine does not run: all of them, by node.
        TooLargeError: its constants would take more than the memory budget.
    """
    graph = _rewritten(graph)
    refuse_all(_refused_outside(graph))
    planner = Planner(graph, layout_of(graph))
    refuse_all(planner.lowered_all())
    source, target = graph.value(read_inputs(graph)[0]), graph.value(graph.outputs[0])
    output = planner.result(target.name)
    steps, results = tuple(planner.steps), tuple(planner.results)
    return ProgramPlan(source.shape, target.shape, steps, results, output, planner.codes)


def blockers(graph: Graph) -> list[Blocker]:
    """Return what keeps the engine from a verified graph: a planning whose steps nobody runs.

    What is refused at its ends is all that is said then, since behind them nothing has a place to begin.
    """
    try:
        graph = _rewritten(graph)
        found = _refused_outside(graph) or Planner(graph, layout_of(graph)).lowered_all()
    except (EngineError, TooLargeError) as error:
        found = [(None, error)]
    return blockers_of(found)


def _refused_outside(graph: Graph) -> list[Refusal]:
    return [(None, error) for error in refused_ends(graph)]


def _rewritten(graph: Graph) -> Graph:
    """Return the graph in the form that the engine has operators for.

    Raises:
        EngineError: there is none, because shapes are not what networks have.
    """
    try:
        return run_passes(graph, [*MAP_FORM, fuse_linear, fold_pads, expansion(is_lowered)]).graph
    except (GraphError, UnsupportedError) as error:
        facts = {"where": error.where, "expected": error.expected, "found": error.found, "remedy": REMEDY}
        raise EngineError(f"the network has no form for the engine: {error.message}", **facts) from error


class Planner:
    """The steps so far, and the number of every value that has one.

    A value lies flat, in the order of its shape, or as a map, channels innermost; either form is made of
    the other where a step asks for it.

    Attributes:
        graph: planned.
        layout: the form of every value of codes.
        steps: in order.
        results: what they make.
        numbers: of values that lie flat.
        maps: of values that lie as maps.
        lengths: channels, height and width of what lies as a map, though its shape may be flat.
        codes: see `ProgramPlan`.
    """

    def __init__(self, graph: Graph, layout: Layout) -> None:
        self.graph, self.layout = graph, layout
        self.steps: list[Step] = []
        self.results: list[Result] = []
        source = read_inputs(graph)[0]
        self.numbers = {source: 0}
        self.maps: dict[str, int] = {}
        self.lengths: dict[str, Lengths] = {}
        self.codes: dict[str, CodeTable] = {}
        self._batch, self._taken = graph.value(source).shape[:1], 0

    def lowered_all(self) -> list[Refusal]:
        """Add the steps of all nodes, and return what is refused."""
        return [(node, error) for node in self.graph.nodes for error in self.lowered(node)]

    def lowered(self, node: Node) -> list[LowbitError]:
        """Add the steps of one node, or return why there are none; what is behind it is still looked at."""
        refusals = list(refused_values(self.graph, node, self._batch))
        if not refusals:
            try:
                self.lower(node)
            except TooLargeError:
                raise
            except (LowbitError, *_FOREIGN) as error:
                refusals.append(self._named(node, error))
        if refusals:
            self.numbers.update(dict.fromkeys(node.outputs, 0))
        return refusals

    def _named(self, node: Node, error: Exception) -> LowbitError:
        """Return an error of ours that names the node."""
        where = f"{self.graph.name}/{node.name} ({node.op})"
        if not isinstance(error, LowbitError):
            found = f"{type(error).__name__}: {error}"
            named = EngineError("the engine cannot plan this node", where=where, found=found, remedy=REMEDY)
            named.__cause__ = error
            return named
        facts = {"expected": error.expected, "found": error.found, "remedy": error.remedy or REMEDY}
        return EngineError(error.message, where=where, **facts)

    def lower(self, node: Node) -> None:
        """Add the steps of one node."""
        lowering = lowering_of(self.graph, node)
        if lowering is None:
            self.refuse(node, f"the operator {node.op}")
        lowering(self, node)

    def computed(self, name: str) -> bool:
        """Return whether a value is made by a step, or is the input."""
        return name in self.numbers or name in self.maps

    def add(self, node: Node, step: Step, why: str = "") -> None:
        """Add a step on the node's computed inputs, laid flat."""
        sources = tuple(self.flat(name) for name in node.inputs if self.computed(name))
        self.numbers[node.outputs[0]] = self._emit(step, sources, node.outputs[0], why)

    def add_map(self, node: Node, step: Step, why: str = "") -> None:
        """Add a step on the node's first input, as a map."""
        self.result_map(node, self._emit(step, (self.map(node.inputs[0]),), node.outputs[0], why))

    def add_elementwise(self, node: Node, step: Step) -> None:
        """Add a step that leaves every element where it is: on maps where an input lies as one."""
        names = [name for name in node.inputs if self.computed(name)]
        first = next((name for name in names if name in self.maps), "")
        if not first:
            self.add(node, step)
            return
        sources = tuple(self.map(name, self.lengths[first]) for name in names)
        self.maps[node.outputs[0]] = self._emit(step, sources, node.outputs[0])
        self.lengths[node.outputs[0]] = self.lengths[first]

    def add_combined(self, node: Node, left: str, right: str, operation: Operation) -> None:
        """Add a step on two values; what is smaller than the result is repeated as broadcasting does.

        A number for each channel of a map serves for every pixel as it lies.
        """
        name, shape = node.outputs[0], self.shape(node.outputs[0])
        if self.shape(left) == self.shape(right):
            self.add_elementwise(node, Combine(operation))
            return
        by_channel = len(shape) == 4 and self.shape(right) == (*shape[:2], 1, 1)
        second = self.map(right) if by_channel else self._spread(node, right)
        number = self._emit(Combine(operation), (self._spread(node, left), second), name)
        self._put(name, number)

    def add_codes(self, node: Node, step: Step) -> None:
        """Add a step on codes laid flat, each repeated as broadcasting does."""
        sources = tuple(self._spread_flat(name, node.outputs[0]) for name in node.inputs)
        self.numbers[node.outputs[0]] = self._emit(step, sources, node.outputs[0])

    def _spread_flat(self, name: str, target: str) -> int:
        before, after = self.shape(name), self.shape(target)
        if before == after:
            return self.flat(name)
        lengths = tuple(int(length) for length in after[1:])
        source = self.flat(name)
        places = np.broadcast_to(np.arange(prod(int(n) for n in before[1:])).reshape(before[1:]), lengths)  # type: ignore[arg-type]
        return self._emit(Gather(places.reshape(-1).astype(np.uint32), places.size), (source,), target)

    def add_spread(self, node: Node, source: str) -> None:
        """Let a node's output begin as one of its inputs, repeated as broadcasting does."""
        name = node.outputs[0]
        if self.shape(source) != self.shape(name):
            self._put(name, self._spread(node, source))
        elif source in self.maps:
            self.maps[name], self.lengths[name] = self.maps[source], self.lengths[source]
        else:
            self.numbers[name] = self.flat(source)

    def add_transposed(self, node: Node, order: tuple[int, ...]) -> None:
        """Add the step that moves the axes of a node's input, the batch staying first."""
        source, name = node.inputs[0], node.outputs[0]
        axes = tuple(axis - 1 for axis in order[1:])
        if self.graph.value(source).encoding is None:
            self._put(name, self._gather(source, name, self._places(source).transpose(axes)))
            return
        lengths = [int(length) for length in self.shape(source)[1:]]
        self.flat(source)  # bytes of a map have gaps between its pixels
        places = np.arange(prod(lengths)).reshape(lengths).transpose(axes)
        self.numbers[name] = self._gather(source, name, places)

    def shape(self, name: str) -> Shape:
        """Return the shape of a value."""
        return self.graph.value(name).shape

    def append(self, node: Node, step: Step) -> None:
        """Add a step that replaces the node's output by a function of it."""
        name = node.outputs[0]
        where = self.maps if name in self.maps else self.numbers
        where[name] = self._emit(step, (where[name],), name)

    def row(self, node: Node, name: str, constant: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return a node's constant spread over one sample of a value, in the order in which that lies.

        What is the same for all leading positions is given once: the step repeats it.
        """
        lengths, array = tuple(int(length) for length in self.shape(name)[1:]), np.asarray(constant)
        if array.ndim > len(lengths) and any(
            length != 1 for length in array.shape[: array.ndim - len(lengths)]
        ):
            self.refuse(node, "a constant for each sample")
        shaped = array.reshape(
            (1,) * (len(lengths) - array.ndim) + array.shape[max(array.ndim - len(lengths), 0) :]
        )
        if any(have not in (1, length) for have, length in zip(shaped.shape, lengths, strict=True)):
            self.refuse(node, "a constant that is larger than the value")
        row = np.broadcast_to(shaped, lengths)
        if name in self.maps:
            row = row.reshape(self.lengths[name]).transpose(1, 2, 0)
        return _once(np.asarray(row))

    def add_layer(self, node: Node, step: Rows, why: str = "") -> None:
        """Add a fully connected step. A map without gaps is read as it lies, by weights in its order."""
        name = node.inputs[0]
        if name not in self.maps or name in self.numbers or not self._dense(name):
            self.add(node, step, why)
            return
        ordered = columns_by_pixels(step, self.lengths[name])
        self.numbers[node.outputs[0]] = self._emit(ordered, (self.maps[name],), node.outputs[0], why)

    def join(self, node: Node, axis: int) -> None:
        """Add the concatenation of the node's inputs: of the channels of maps, else laid flat."""
        name = node.outputs[0]
        if (len(self.shape(name)), axis) == (4, 1):
            sources = tuple(self.map(source) for source in node.inputs)
            self.result_map(node, self._emit(Concatenate(), sources, name))
            return
        number = self._emit(Concatenate(), tuple(self.flat(source) for source in node.inputs), name)
        places = self._joined_places(node, axis).reshape(-1)
        if (places[1:] < places[:-1]).any():
            number = self._emit(Gather(places.astype(np.uint32), len(places)), (number,), name)
        self.numbers[name] = number

    def _joined_places(self, node: Node, axis: int) -> npt.NDArray[np.intp]:
        """Return where each element of a concatenation lies in its parts, laid flat one after another."""
        parts, first = [], 0
        for source in node.inputs:
            shape = tuple(int(length) for length in self.shape(source)[1:])
            parts.append(first + np.arange(prod(shape)).reshape(shape))
            first += prod(shape)
        return np.concatenate(parts, axis=axis - 1)

    def result_map(self, node: Node, number: int) -> None:
        """Note that a step made the node's output as a map."""
        name = node.outputs[0]
        self.maps[name], self.lengths[name] = number, self._lengths(name)

    def alias(self, node: Node) -> None:
        """Let the node's output be its input, laid flat or as the map that it was."""
        source, target = node.inputs[0], node.outputs[0]
        if source not in self.maps:
            self.numbers[target] = self.flat(source)
        else:
            self.maps[target], self.lengths[target] = self.maps[source], self.lengths[source]
        self._remember_codes(target)

    def flat(self, name: str) -> int:
        """Return the number of a value laid flat."""
        if not self.computed(name):
            raise EngineError(
                "the engine reads a constant only where it expects one",
                where=f"{self.graph.name}/{name}",
                expected="the input, or the result of a node",
                remedy=REMEDY,
            )
        if name not in self.numbers:
            self.numbers[name] = self._emit(Flatten(), (self.maps[name],), name)
        return self.numbers[name]

    def result(self, name: str) -> int:
        """Return the number of the network's result: of a step of its own where it only is the input."""
        number = self.flat(name)
        return number or self._emit(Activate("identity"), (number,), name)

    def map(self, name: str, lengths: Lengths | None = None) -> int:
        """Return the number of a value as a map, of the given channels, height and width or its own."""
        lengths = lengths or self._lengths(name)
        if name not in self.maps or self.lengths[name] != lengths:
            source = self.flat(name)
            self.maps[name] = self._emit(Arrange(*lengths), (source,), name)
            self.lengths[name] = lengths
        return self.maps[name]

    def _dense(self, name: str) -> bool:
        """Return whether a map's pixels follow each other without padding."""
        channels, height, width = self.lengths[name]
        unit = 1 if self.graph.value(name).encoding is None else _UNITS[self.layout.form(name)]
        return channels % unit == 0 or height * width == 1

    def _lengths(self, name: str) -> Lengths:
        shape = self.graph.value(name).shape
        if len(shape) != 4 or not all(isinstance(length, int) for length in shape[1:]):
            raise EngineError(
                "the engine runs maps of two axes",
                where=name,
                expected="[n, channels, height, width]",
                found=str(shape),
                remedy=REMEDY,
            )
        channels, height, width = (int(length) for length in shape[1:])
        return channels, height, width

    def _put(self, name: str, number: int) -> None:
        """Note that a step made a value in its own order: as a map where it has four axes."""
        if len(self.shape(name)) == 4:
            self.maps[name], self.lengths[name] = number, self._lengths(name)
        else:
            self.numbers[name] = number

    def _spread(self, node: Node, name: str) -> int:
        """Return the number of a value repeated to the shape of a node's output."""
        before, after = self.shape(name), self.shape(node.outputs[0])
        if before == after:
            return self.map(name) if len(after) == 4 else self.flat(name)
        if len(before) != len(after) or before[0] != after[0]:
            self.refuse(node, "values whose batches do not match")
        lengths = tuple(int(length) for length in after[1:])
        return self._gather(name, node.outputs[0], np.broadcast_to(self._places(name), lengths))

    def _places(self, name: str) -> npt.NDArray[np.intp]:
        """Return where every element of a sample lies, in the shape of the sample."""
        shape = tuple(int(length) for length in self.shape(name)[1:])
        if name not in self.maps:
            return np.arange(prod(shape)).reshape(shape)
        channels, height, width = self.lengths[name]
        order = np.arange(prod(shape)).reshape(height, width, channels).transpose(2, 0, 1)
        return order.reshape(shape)

    def _gather(self, source: str, target: str, places: npt.NDArray[np.intp]) -> int:
        """Add the step that takes elements from these places into another value; return its number."""
        channels, height, width = places.size, 0, 0
        if places.ndim == 3 and self.graph.value(source).encoding is None:
            (channels, height, width), places = self._lengths(target), places.transpose(1, 2, 0)
        on_map = source in self.maps and self.graph.value(source).encoding is None
        number = self.maps[source] if on_map else self.flat(source)
        step = Gather(places.reshape(-1).astype(np.uint32), channels, height, width)
        return self._emit(step, (number,), target)

    def _emit(self, step: Step, sources: tuple[int, ...], value: str, why: str = "") -> int:
        self._taken += step.nbytes
        check_budget(self._taken, self.graph.name, "the program's constants")
        shape = tuple(int(length) for length in self.graph.value(value).shape[1:])
        self.steps.append(replace(step, sources=sources))
        self.results.append(Result(value, shape, why))
        self._remember_codes(value)
        return len(self.steps)

    def refuse(self, node: Node, what: str) -> NoReturn:
        """Raise `EngineError` for a node."""
        raise EngineError(
            f"the engine does not run {what}",
            where=f"{self.graph.name}/{node.name} ({node.op})",
            expected=", ".join(sorted({name for _, name in LOWERINGS})),
            remedy=REMEDY,
        )

    def encoding(self, name: str) -> Encoding:
        """Return the encoding of a value that must have one."""
        encoding = self.graph.value(name).encoding
        assert encoding is not None  # verified
        return encoding

    def _remember_codes(self, name: str) -> None:
        """Note how what lies in memory becomes codes: planes hold them, bytes and words have a table."""
        encoding = self.graph.value(name).encoding
        form = self.layout.form(name)
        if encoding is None or form == "planes":
            return
        entries, codes = entries_of_code(encoding, form, name), encoding.code_of_rank().dtype
        least = int(entries.min())
        table = np.zeros(int(entries.max()) - least + 1, codes)
        table[entries - least] = np.arange(len(entries))
        self.codes[name] = CodeTable(least, table)


def _once(row: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Return what every repetition along leading axes has, if it is worth a loop or one number; else all."""
    kept = row
    while kept.ndim and (kept.strides[0] == 0 or len(kept) == 1):
        kept = kept[0]
    chosen = kept if kept.size == 1 or kept.size >= _TILE else row
    return np.ascontiguousarray(chosen.reshape(-1), np.float32)


_UNITS = {"planes": 32, "bytes": 4, "words": 2}  # channels of a pixel are whole multiples

_TILE = 32  # numbers of a constant that are worth a loop of their own

# What NumPy and Python raise for what a lowering did not expect.
_FOREIGN = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError)
