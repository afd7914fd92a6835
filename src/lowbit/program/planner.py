"""Plans a graph: which operation of the engine runs each node, with constants ready at load.

What each operator becomes is in `lowbit.program.lowerings`.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from lowbit.blockers import Blocker
from lowbit.budget import check_budget
from lowbit.errors import EngineError, GraphError, LowbitError, TooLargeError, UnsupportedError
from lowbit.ir import Graph, Node, run_passes
from lowbit.ir.graph import Array, Shape
from lowbit.ir.passes import MAP_FORM, Pass, expansion, fold_pads, fuse_linear, stack_maps
from lowbit.program.layers import Rows, columns_by_pixels
from lowbit.program.layout import Layout, entries_of_code, layout_of
from lowbit.program.lowerings import LOWERINGS, is_lowered, lowering_of
from lowbit.program.open_lengths import example_of, lengths_to_fix
from lowbit.program.recoded import recoded
from lowbit.program.refusals import (
    REMEDY,
    Refusal,
    as_reals,
    blockers_of,
    read_inputs,
    refuse_all,
    refused_ends,
    refused_inputs,
    refused_values,
)
from lowbit.program.representation import PLANE_PAIRS
from lowbit.program.samples import SEVERAL, Samples, is_open, with_samples
from lowbit.program.steps import (
    Activate,
    Arrange,
    CodeTable,
    Combine,
    Concatenate,
    Constant,
    Flatten,
    Gather,
    GroupedFullyConnected,
    Operation,
    Port,
    ProgramPlan,
    Result,
    Step,
)
from lowbit.schemes import Encoding

Lengths = tuple[int, int, int]
Places = npt.NDArray[np.int64]


def plan(graph: Graph, *, plane_pairs: int = PLANE_PAIRS) -> ProgramPlan:
    """Return the program of a verified graph: the same on every machine.

    Values lie in planes wherever that is possible; the engine makes bytes of them at load, where that is
    faster with its kernels.

    Args:
        graph: with any number of inputs and outputs.
        plane_pairs: layers of up to this many pairs of planes (bits of input times weights) count bits, the
            others multiply bytes: for a machine that is known, as a microcontroller is.

    Raises:
        EngineError: operators, shapes or encodings that the engine does not run: all of them, by node.
        TooLargeError: its constants would take more than the memory budget.
    """
    planner, refusals = _planned(graph, plane_pairs)
    refuse_all(refusals)
    assert planner is not None  # nothing was refused
    return planner.finished(graph)


def blockers(graph: Graph) -> list[Blocker]:
    """Return what keeps the engine from a verified graph: a planning whose steps nobody runs.

    What is refused at its ends is all that is said then, since behind them nothing has a place to begin. A
    network of open lengths is planned for each shape that it is given; here it is planned for one.
    """
    example = example_of(graph) if lengths_to_fix(graph) else graph
    try:
        return blockers_of(_planned(example or graph)[1])
    except (EngineError, TooLargeError) as error:
        return blockers_of([(None, error)])


def _planned(graph: Graph, pairs: int = PLANE_PAIRS) -> tuple["Planner | None", list[Refusal]]:
    """Return the steps in the batched form, where it has all, or in the whole one, and what is refused."""
    planner, refusals = _lowered(graph, pairs, batched=True)
    if refusals:
        whole, others = _lowered(graph, pairs, batched=False)
        if len(others) <= len(refusals):
            return whole, others
    return planner, refusals


def _lowered(graph: Graph, pairs: int, *, batched: bool) -> tuple["Planner | None", list[Refusal]]:
    try:
        form = _rewritten(graph) if batched else _whole(graph, 1)
    except (EngineError, GraphError, UnsupportedError) as error:
        return None, [(None, error)]
    ends = list(refused_ends(form)) or list(refused_inputs(form, batched=batched))
    refused: list[Refusal] = [(None, error) for error in ends]
    if refused:
        return None, refused
    layout = layout_of(form, pairs, batched=batched)
    planner = Planner(form, layout, batched=batched, samples=None if batched else _samples(graph, form))
    return planner, planner.lowered_all()


def _samples(graph: Graph, form: Graph) -> Samples:
    """Return where samples lie: by the shapes of several, or by names where a shape is of one alone."""
    if not is_open(graph):
        return Samples({}, apart=True)
    with contextlib.suppress(LowbitError):
        found = Samples.of(form, _whole(graph, SEVERAL))
        return found if found.apart else replace(found, apart=_apart_as_written(graph, form, found))
    with contextlib.suppress(LowbitError):
        return Samples.of(form, _rewritten(graph, [stack_maps]))
    return Samples({}, apart=False)


def _apart_as_written(graph: Graph, form: Graph, found: Samples) -> bool:
    """Return whether a network keeps samples apart before it is rewritten.

    For one sample, a Transpose that moves nothing but its axis is gone, and a Reshape that stood behind it
    seems to mix samples. Every value of the form has to be known among several samples all the same.
    """
    computed = {name for node in form.nodes for name in node.outputs if name}
    if not computed <= found.axes.keys():
        return False
    return Samples.of(with_samples(graph, 1), with_samples(graph, SEVERAL)).apart


def _whole(graph: Graph, samples: int) -> Graph:
    """Return the graph with that many samples, in the form that the engine has operators for."""
    return _rewritten(with_samples(graph, samples), [stack_maps])


def _rewritten(graph: Graph, more: Sequence[Pass] = ()) -> Graph:
    """Return the graph in the form that the engine has operators for.

    Raises:
        EngineError: there is none, because shapes are not what networks have.
    """
    try:
        return run_passes(graph, [*MAP_FORM, fuse_linear, fold_pads, expansion(is_lowered), *more]).graph
    except (GraphError, UnsupportedError) as error:
        facts = {"where": error.where, "expected": error.expected, "found": error.found, "remedy": REMEDY}
        raise EngineError(f"the network has no form for the engine: {error.message}", **facts) from error


class Planner:
    """The steps so far, and the number of every value that has one.

    A value lies flat, in the order of its shape, or as a map, channels innermost; either form is made of
    the other where a step asks for it. A lowering sees the axes of what one row of a run holds
    (`sample_shape`): without the batch in the batched form, all of them in the whole one. It names an axis
    along which it mixes elements by `axis`, which knows where samples lie.

    Attributes:
        graph: planned.
        layout: the form of every value of codes.
        batched: whether the first axis of every value is the batch.
        steps: in order.
        results: what they make.
        numbers: of values that lie flat.
        maps: of values that lie as maps.
        lengths: channels, height and width of what lies as a map, though its shape may be flat.
        codes: see `ProgramPlan`.
        recoded: what is coded without floats.
    """

    def __init__(
        self, graph: Graph, layout: Layout, *, batched: bool = True, samples: Samples | None = None
    ) -> None:
        self.graph, self.layout, self.batched = graph, layout, batched
        self.recoded = recoded(graph, layout)
        self.steps: list[Step] = []
        self.results: list[Result] = []
        self._samples = samples or Samples({}, apart=True)
        self._mixes = not self._samples.apart
        self._inputs = read_inputs(graph)
        self.numbers = {name: number for number, name in enumerate(self._inputs)}
        self.maps: dict[str, int] = {}
        self.lengths: dict[str, Lengths] = {}
        self.codes: dict[str, CodeTable] = {}
        self._tables: dict[tuple[int, str, bytes], CodeTable] = {}
        self._batch, self._taken = graph.value(self._inputs[0]).shape[:1] if batched else None, 0

    def finished(self, graph: Graph) -> ProgramPlan:
        """Return the plan, when all nodes have their steps; `graph` is the one that it was made of."""
        numbers: list[int] = []
        for name in graph.outputs:
            numbers.append(self._result(name, numbers))
        inputs, outputs = (
            tuple(self._port(graph, name) for name in names) for names in (self._inputs, graph.outputs)
        )
        ones = all(port.lengths[:1] == (1,) for port in (*inputs, *outputs))
        by_rows = self.batched or (ones and not self._mixes and self._rows_follow(graph))
        made = (tuple(self.steps), tuple(self.results), tuple(numbers), self.codes)
        return ProgramPlan(inputs, outputs, *made, self.batched, by_rows)

    def _port(self, graph: Graph, name: str) -> Port:
        value = graph.value(name)
        return Port(name, value.dtype, value.shape, self.sample_shape(name))

    def _rows_follow(self, graph: Graph) -> bool:
        """Return whether outputs have as many samples as inputs, each at the same place."""
        shapes = [graph.value(name).shape for name in (*self._inputs, *graph.outputs)]
        if is_open(graph) and not all(isinstance(shape[0], str) for shape in shapes):
            return False
        ends = [self._samples.axes.get(name, frozenset()) for name in (*self._inputs, *graph.outputs)]
        return all(axes == ends[0] and axes <= {0} for axes in ends)

    def _result(self, name: str, taken: Sequence[int]) -> int:
        """Return the number of an output: of a step of its own where it only is an input, or one already."""
        number = self.flat(name)
        fresh = number >= len(self._inputs) and number not in taken
        return number if fresh else self._emit(Activate("identity"), (number,), name)

    def sample_shape(self, name: str) -> tuple[int, ...]:
        """Return the axes of what one row of a run holds of a value."""
        shape = self.graph.value(name).shape
        return tuple(int(length) for length in (shape[1:] if self.batched else shape))

    def axis(self, node: Node, name: str, axis: int) -> int:
        """Return which axis of `sample_shape` an axis of a value is, for an operator that mixes along it.

        Where samples lie along it, a run of the whole form is one sample.

        Raises:
            EngineError: samples lie along it, in the batched form.
        """
        rank = len(self.graph.value(name).shape)
        axis %= max(rank, 1)
        if self.batched and axis == 0:
            self.refuse(node, "what mixes samples")
        self._mixes |= axis in self._samples.axes.get(name, ())
        return axis - 1 if self.batched else axis

    def lowered_all(self) -> list[Refusal]:
        """Add the steps of all nodes that something reads, and return what is refused."""
        nodes = [node for node in self.graph.nodes if node.outputs[0] not in self.recoded.hidden]
        return [(node, error) for node in nodes for error in self.lowered(node)]

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
            self.numbers.update(dict.fromkeys(filter(None, node.outputs), 0))
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

    def add_flat(self, node: Node, step: Step, *names: str, output: int = 0) -> None:
        """Add a step that makes one of a node's outputs of values laid flat, computed or constant.

        Args:
            node: whose output it makes.
            step: with the lengths of all axes that it needs.
            names: what it reads, in this order.
            output: which one.
        """
        sources = tuple(self.flat(name) for name in names)
        self.numbers[node.outputs[output]] = self._emit(step, sources, node.outputs[output])

    def put(
        self, node: Node, step: Step, sources: tuple[int, ...], output: int = 0, *, on_map: bool = False
    ) -> None:
        """Add a step that makes one of a node's outputs, flat or as a map, of values by their numbers."""
        name = node.outputs[output]
        number = self._emit(step, sources, name)
        if on_map:
            lengths = self.map_lengths(name) or self.lengths[node.inputs[0]]  # a map by another shape
            self.maps[name], self.lengths[name] = number, lengths
        else:
            self.numbers[name] = number

    def inner(self, step: Step, sources: tuple[int, ...]) -> int:
        """Add a step whose result is no value of the graph; return its number."""
        return self._append(step, sources, Result("", ()))

    def constant(self, data: Array, name: str) -> int:
        """Return the number of a value that is these numbers; an error would name them so."""
        return self.inner(Constant(as_reals(data, f"{self.graph.name}/{name}").reshape(-1)), ())

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
        name, lengths = node.outputs[0], self.map_lengths(node.outputs[0])
        if self.shape(left) == self.shape(right):
            self.add_elementwise(node, Combine(operation))
            return
        by_channel = lengths is not None and self.map_lengths(right) == (lengths[0], 1, 1)
        second = self.map(right) if by_channel else self._spread(node, right)
        number = self._emit(Combine(operation), (self._spread(node, left), second), name)
        self._put(name, number)

    def add_codes(self, node: Node, step: Step) -> None:
        """Add a step on codes: as they lie if shapes are equal, else flat, repeated as broadcasting does."""
        if all(self.shape(name) == self.shape(node.outputs[0]) for name in node.inputs):
            self.add_elementwise(node, step)
            return
        sources = tuple(self._spread_flat(name, node.outputs[0]) for name in node.inputs)
        self.numbers[node.outputs[0]] = self._emit(step, sources, node.outputs[0])

    def _spread_flat(self, name: str, target: str) -> int:
        before, after = self.sample_shape(name), self.sample_shape(target)
        source = self.flat(name)
        if before == after:
            return source
        places = np.broadcast_to(np.arange(prod(before)).reshape(before), after)
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
        """Add the step that moves the axes of a node's input; in the batched form the batch stays first."""
        source, name = node.inputs[0], node.outputs[0]
        axes = tuple(axis - 1 for axis in order[1:]) if self.batched else order
        if self.graph.value(source).encoding is None:
            self._put(name, self._gather(source, name, self._places(source).transpose(axes)))
            return
        lengths = self.sample_shape(source)
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
        lengths, array = self.sample_shape(name), np.asarray(constant)
        row = np.broadcast_to(self._fitted(node, array, lengths), lengths)
        if name in self.maps:
            row = row.reshape(self.lengths[name]).transpose(1, 2, 0)
        return _once(np.asarray(row))

    def _fitted(self, node: Node, array: Array, lengths: tuple[int, ...]) -> Array:
        """Return a constant with as many axes as one sample has, each of its length or one."""
        if array.ndim > len(lengths) and any(
            length != 1 for length in array.shape[: array.ndim - len(lengths)]
        ):
            self.refuse(node, "a constant for each sample")
        shaped = array.reshape(
            (1,) * (len(lengths) - array.ndim) + array.shape[max(array.ndim - len(lengths), 0) :]
        )
        if any(have not in (1, length) for have, length in zip(shaped.shape, lengths, strict=True)):
            self.refuse(node, "a constant that is larger than the value")
        return shaped

    def add_layer(self, node: Node, step: Rows, why: str = "") -> None:
        """Add a fully connected step. A map without gaps is read as it lies, by weights in its order."""
        name = node.inputs[0]
        flattened = len(self.sample_shape(name)) == 1 or not self.batched
        flattened = flattened and not isinstance(step, GroupedFullyConnected)  # groups follow its order
        if name not in self.maps or name in self.numbers or not flattened or not self._dense(name):
            self.add(node, step, why)
            return
        ordered = columns_by_pixels(step, self.lengths[name])
        self.numbers[node.outputs[0]] = self._emit(ordered, (self.maps[name],), node.outputs[0], why)

    def join(self, node: Node, axis: int) -> None:
        """Add the concatenation of the node's inputs: of the channels of maps, else laid flat."""
        name = node.outputs[0]
        if axis == 1 and self.map_lengths(name):
            sources = tuple(self.map(source) for source in node.inputs)
            self.result_map(node, self._emit(Concatenate(), sources, name))
            return
        number = self._emit(Concatenate(), tuple(self.flat(source) for source in node.inputs), name)
        places = self._joined_places(node, axis).reshape(-1)
        if (places[1:] < places[:-1]).any():
            number = self._emit(Gather(places.astype(np.uint32), len(places)), (number,), name)
        self.numbers[name] = number

    def placed(self, node: Node, names: tuple[str, ...]) -> tuple[int, list[Places]]:
        """Return the number of one value that holds several, and where the elements of each lie in it.

        One float that lies as a map stays one.
        """
        if len(names) == 1:
            if self.graph.value(names[0]).encoding is None:
                if names[0] not in self.maps:
                    return self.flat(names[0]), [self._places(names[0])]
                return self.maps[names[0]], [self._places(names[0])]
            shape = self.sample_shape(names[0])
            return self.flat(names[0]), [np.arange(prod(shape)).reshape(shape)]
        numbers = tuple(self.flat(name) for name in names)
        found, first = [], 0
        for name in names:
            shape = self.sample_shape(name)
            found.append(first + np.arange(prod(shape)).reshape(shape))
            first += prod(shape)
        return self._emit(Concatenate(), numbers, node.outputs[0]), found

    def add_gathered(
        self, node: Node, number: int, places: Places, *, output: int = 0, fill: float = 0.0
    ) -> None:
        """Add the step that makes an output of elements of a value; -1 is what is filled.

        Where the node's first input is a float that lies as a map, so does the output if it can be one.
        """
        name, source = node.outputs[output], node.inputs[0]
        lengths = self.map_lengths(name)
        if lengths and source in self.maps and self.graph.value(source).encoding is None:
            ordered = places.reshape(lengths).transpose(1, 2, 0).reshape(-1)
            self.maps[name] = self._emit(Gather(ordered.astype(np.uint32), *lengths, fill), (number,), name)
            self.lengths[name] = lengths
            return
        step = Gather(places.reshape(-1).astype(np.uint32), places.size, fill=fill)
        self.numbers[name] = self._emit(step, (number,), name)

    def _joined_places(self, node: Node, axis: int) -> npt.NDArray[np.intp]:
        """Return where each element of a concatenation lies in its parts, laid flat one after another."""
        parts, first = [], 0
        for source in node.inputs:
            shape = self.sample_shape(source)
            parts.append(first + np.arange(prod(shape)).reshape(shape))
            first += prod(shape)
        return np.concatenate(parts, axis=axis - 1 if self.batched else axis)

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
        """Return the number of a value laid flat; a constant becomes a value here."""
        if not self.computed(name):
            self.numbers[name] = self._emit(Constant(self._numbers(name)), (), name)
        if name not in self.numbers:
            self.numbers[name] = self._emit(Flatten(), (self.maps[name],), name)
        return self.numbers[name]

    def map(self, name: str, lengths: Lengths | None = None) -> int:
        """Return the number of a value as a map, of the given channels, height and width or its own."""
        lengths = lengths or self._lengths(name)
        if name not in self.maps or self.lengths[name] != lengths:
            source = self.flat(name)
            self.maps[name] = self._emit(Arrange(*lengths), (source,), name)
            self.lengths[name] = lengths
        return self.maps[name]

    def _numbers(self, name: str) -> npt.NDArray[np.float32]:
        """Return a constant as a value has it; in the batched form it is the same for every sample."""
        value = self.graph.value(name)
        rows_differ = self.batched and value.shape[:1] != (1,)
        if value.data is None or value.encoding is not None or rows_differ or not value.data.size:
            raise EngineError(
                "the engine reads a constant only where it expects one",
                where=f"{self.graph.name}/{name}",
                expected="the input, or the result of a node",
                remedy=REMEDY,
            )
        return as_reals(value.data, f"{self.graph.name}/{name}").reshape(-1)

    def _dense(self, name: str) -> bool:
        """Return whether a map's pixels follow each other without padding."""
        channels, height, width = self.lengths[name]
        unit = 1 if self.graph.value(name).encoding is None else _UNITS[self.layout.form(name)]
        return channels % unit == 0 or height * width == 1

    def _lengths(self, name: str) -> Lengths:
        lengths = self.map_lengths(name)
        if lengths is None:
            raise EngineError(
                "the engine runs maps of two axes",
                where=name,
                expected="[n, channels, height, width]",
                found=str(self.shape(name)),
                remedy=REMEDY,
            )
        return lengths

    def map_lengths(self, name: str) -> Lengths | None:
        """Return channels, height and width of a value that can lie as a map."""
        shape = self.graph.value(name).shape
        if len(shape) != 4 or not (self.batched or shape[0] == 1):
            return None
        channels, height, width = (int(length) for length in shape[1:])
        return channels, height, width

    def _put(self, name: str, number: int) -> None:
        """Note that a step made a value in its own order: as a map where it can be one."""
        if self.map_lengths(name):
            self.maps[name], self.lengths[name] = number, self._lengths(name)
        else:
            self.numbers[name] = number

    def _spread(self, node: Node, name: str) -> int:
        """Return the number of a value repeated to the shape of a node's output."""
        target = node.outputs[0]
        self._check_batches(node, name, target)
        if self.sample_shape(name) == self.sample_shape(target):
            return self.map(name) if self.map_lengths(target) else self.flat(name)
        return self._gather(name, target, np.broadcast_to(self._places(name), self.sample_shape(target)))

    def operand(self, node: Node, name: str) -> int:
        """Return the number of an operand as it is, computed or constant, laid flat.

        Raises:
            EngineError: a constant that differs for the samples of the batched form.
        """
        if self.computed(name):
            return self.flat(name)
        data, rank = self.graph.constant(name), len(self.shape(node.outputs[0]))
        if self.batched and data.ndim >= rank and data.shape[:1] != (1,):
            self.refuse(node, "a constant for each sample")
        return self.constant(data, name)

    def is_map(self, name: str) -> bool:
        """Return whether a value can lie as a map."""
        return self.map_lengths(name) is not None

    def spread(self, node: Node, name: str) -> int:
        """Return the number of an operand, computed or constant, repeated to the shape of a node's output.

        It lies flat.
        """
        target = node.outputs[0]
        if not self.computed(name):
            lengths = self.sample_shape(target)
            numbers = self._fitted(node, self.graph.constant(name), lengths)
            spread = as_reals(np.broadcast_to(numbers, lengths), f"{self.graph.name}/{name}")
            return self._emit(Constant(spread.reshape(-1)), (), target)
        self._check_batches(node, name, target)
        return self._spread_flat(name, target)

    def _check_batches(self, node: Node, name: str, target: str) -> None:
        """Refuse a value that broadcasting would not lay sample by sample over another."""
        before, after = self.shape(name), self.shape(target)
        if self.batched and (len(before) != len(after) or before[0] != after[0]) and self.computed(name):
            self.refuse(node, "values whose batches do not match")

    def _places(self, name: str) -> npt.NDArray[np.intp]:
        """Return where every element of a sample lies, in the shape of the sample."""
        shape = self.sample_shape(name)
        if name not in self.maps:
            return np.arange(prod(shape)).reshape(shape)
        channels, height, width = self.lengths[name]
        order = np.arange(prod(shape)).reshape(height, width, channels).transpose(2, 0, 1)
        return order.reshape(shape)

    def _gather(self, source: str, target: str, places: npt.NDArray[np.intp]) -> int:
        """Add the step that takes elements from these places into another value; return its number."""
        channels, height, width = places.size, 0, 0
        lengths = self.map_lengths(target)
        if lengths and self.graph.value(source).encoding is None:
            (channels, height, width), places = lengths, places.reshape(lengths).transpose(1, 2, 0)
        on_map = source in self.maps and self.graph.value(source).encoding is None
        number = self.maps[source] if on_map else self.flat(source)
        step = Gather(places.reshape(-1).astype(np.uint32), channels, height, width)
        return self._emit(step, (number,), target)

    def _emit(self, step: Step, sources: tuple[int, ...], value: str, why: str = "") -> int:
        number = self._append(step, sources, Result(value, self.sample_shape(value), why))
        self._remember_codes(value)
        return number

    def _append(self, step: Step, sources: tuple[int, ...], result: Result) -> int:
        self._taken += step.nbytes
        check_budget(self._taken, self.graph.name, "the program's constants")
        self.steps.append(replace(step, sources=sources))
        self.results.append(result)
        return len(self._inputs) + len(self.steps) - 1

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
        # Words have up to 128 KB of them, and many values the same.
        made = CodeTable(least, table)
        self.codes[name] = self._tables.setdefault((least, table.dtype.char, table.tobytes()), made)


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
