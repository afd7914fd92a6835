"""The stages of a deployed graph: a function for each operator, from the outputs back to the picture.

Every value of codes that a stage makes is a stream; so are the sums of a layer whose output is real. Between
those sums, or codes that become reals, and the next codes stand functions of single elements, which one
`Recode` is; maxima, joins and moves among reals work on the codes behind them instead, which are the same:
encode(max(x)) = max(encode(x)).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np
import numpy.typing as npt

from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.activations import saturation
from lowbit.ir.graph import Array
from lowbit.ir.layers import is_low_bit, is_product
from lowbit.ir.operators.fixed_point import mean_codes
from lowbit.ir.passes.order_pools import is_monotone
from lowbit.ir.reference import evaluate_node
from lowbit.ir.window import Axis, Window
from lowbit.rtl.array import blockers as said
from lowbit.rtl.array.endings import Ending, Meaning, Scaled, Steps, ending_of, runs
from lowbit.rtl.array.functions import (
    Reals,
    clips_alone,
    ending_of_nodes,
    is_function,
    parameters_of,
    reals_of_codes,
    reals_of_layer,
)
from lowbit.rtl.array.layers import Constants, constants_of, ending_of_layer, stage_of
from lowbit.rtl.array.network import PICTURE, Add, Concat, Pool, Recode, Scores, Shape, Stage, point
from lowbit.rtl.array.schedule import WINDOW_REMEDY, WINDOWS, is_read
from lowbit.schemes import Encoding, FixedPoint

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WIDEST_TABLE = 8
"""Bits of codes that functions other than clips may end in."""


@dataclass(frozen=True)
class Stream:
    """What a stage gives: its name, and channels, rows and columns."""

    stage: str
    shape: Shape


class Lowering:
    """Makes stages of a graph.

    Args:
        graph: verified, its outputs scores.
        dry: whether refusals are collected, in `errors`, and nothing is computed of weights.
    """

    def __init__(self, graph: Graph, *, dry: bool) -> None:
        self.graph, self.dry = graph, dry
        self.stages: list[Stage] = []
        self.errors: list[UnsupportedError] = []
        self.encoder: tuple[Node, ...] = ()
        self._made: dict[object, Stream] = {}
        self._names: set[str] = set()

    def head(self, name: str) -> Scores:
        """Return what an output of the network is: sums of a layer, or codes that are decoded."""
        node = self._before_moves(name)
        if node is not None and node.op == "Decode":
            stream = self.codes(node.inputs[0])
            scale, bias, addend = (*self._decoded(node), np.zeros(1, np.int64))
        elif node is not None and is_low_bit(node) and self.graph.value(node.outputs[0]).encoding is None:
            stream = self.sums(node)
            scale, bias, addend = self._scaled(node)
        else:
            why = "a last layer with a real output", self._called(node), said.last(self.graph, node)
            self.refuse(node, *why) if node is None else self._refused(node, why)
            return Scores(PICTURE, np.ones(1), np.zeros(1), np.zeros(1, np.int64))
        if stream.shape[1:] != (1, 1):
            self.refuse(node, "one score per class", f"maps {stream.shape}", said.ONE_SCORE)
        channels = stream.shape[0]
        scale, bias = np.resize(scale, channels), np.resize(bias, channels)
        return Scores(stream.stage, scale, bias, np.resize(addend, channels))

    def codes(self, name: str) -> Stream:
        """Return the stream of the ranks of a value of codes."""
        if name not in self._made:
            node = self.graph.producer(name)
            if node is None:
                self.refuse(None, "an encoder of pixels first", f"codes as input: {name}")
                return self._stand_in(name)
            self._made[name] = self._codes(name, node)
        return self._made[name]

    def _codes(self, name: str, node: Node) -> Stream:
        if has(node, Trait.KEEPS_ORDER):
            self._check_order(node)
            return self.codes(node.inputs[0])
        if node.op == "Encode":
            return self.coded(node.inputs[0], (node,))
        if node.op in _CODES:
            return _CODES[node.op](self, node)
        if has(node, Trait.ELEMENTWISE) and self.graph.value(node.inputs[0]).encoding is not None:
            return self.function_of_codes(node)
        return self._refused(node, said.operators(self.graph, node, _CODES))

    def coded(self, name: str, nodes: tuple[Node, ...]) -> Stream:
        """Return the stream of the ranks that functions and an encoder make of a real value."""
        key = (name, tuple(self._key(node) for node in nodes))
        if key not in self._made:
            self._made[key] = self._coded(name, nodes)
        return self._made[key]

    def _coded(self, name: str, nodes: tuple[Node, ...]) -> Stream:
        graph, node = self.graph, self.graph.producer(name)
        if node is None:
            return self._picture(name, nodes)
        if has(node, Trait.KEEPS_ORDER):
            self._check_order(node)
            return self.coded(node.inputs[0], nodes)
        if node.op == "Decode":
            return self._recoded(
                self.codes(node.inputs[0]), nodes, lambda: reals_of_codes(self.encoding(node))
            )
        if is_low_bit(node):
            return self._recoded(self.sums(node), nodes, lambda: self._reals(node))
        if is_function(graph, node):
            (source,) = (
                each for each in dict.fromkeys(node.inputs) if each and graph.values[each].data is None
            )
            return self.coded(source, (node, *nodes))
        if has(node, Trait.COMPARES) and has(node, Trait.POOL) and len(node.inputs) == 1:
            if not all(is_monotone(graph, each) for each in nodes[:-1]):
                return self._refused(nodes[0], said.FALLING)
            return self._pool(node, self.coded(node.inputs[0], nodes), self.encoding_of(nodes[-1].outputs[0]))
        if has(node, Trait.CARRIES) and not has(node, Trait.MOVES) and node.attributes.get("axis") == 1:
            parts = [self.coded(part, nodes) for part in node.inputs]
            return self._join(node, parts, self.encoding_of(nodes[-1].outputs[0]).bits)
        return self._refused(node, said.operators(graph, node, _CODES))

    def sums(self, node: Node) -> Stream:
        """Return the stream of the sums of a layer."""
        key = ("sums", node.name, node.outputs)
        if key not in self._made:
            self._made[key] = self.layer(node, None)
        return self._made[key]

    def layer(self, node: Node, target: Encoding | None) -> Stream:
        """Add a layer, and what makes ranks of its sums."""
        source = self._read(node)
        if source is None:
            return self._stand_in(node.outputs[0])
        window = self.window(node, source.shape)
        shape = (int(self.graph.value(node.inputs[1]).shape[0]), window[0].outputs, window[1].outputs)
        if self.dry:
            return Stream(node.name, shape)
        constants = constants_of(self.graph, node, source.shape, window)
        ending = ending_of_layer(self.graph, node, constants) if target is not None else None
        if target is not None and ending is None:
            self.refuse(node, "a rounding that a multiplication can be proven equal to", str(target))
        few = (
            ending if isinstance(ending, Steps) and target is not None and constants.is_few(target) else None
        )
        thresholds = None if few is None else few.thresholds
        name = self.add(lambda name: stage_of(name, node, constants, thresholds, source.stage), node.name)
        if target is None or few is not None:
            return Stream(name, shape)
        assert ending is not None
        return self._recode(f"{node.name}/codes", Stream(name, shape), window, ending)

    def _read(self, node: Node) -> Stream | None:
        """Return what a layer reads, or None where it cannot."""
        value, node_is_product = self.graph.value(node.inputs[0]), is_product(node)
        if value.encoding is None:
            self._refused(node, said.reads_floats())
            return None
        self._check_encoding(node, value.encoding)
        source = self.codes(node.inputs[0])
        lengths = tuple(value.shape[1:])
        wanted: tuple[object, ...] = (prod(source.shape),) if node_is_product else source.shape
        if lengths != wanted:
            self.refuse(node, f"an input [n, {', '.join(map(str, wanted))}]", str(lengths))
            return None
        return source

    def _check_encoding(self, node: Node, encoding: Encoding) -> None:
        if encoding.channels != 1 or not encoding.snapped:
            self.refuse(node, "codes of one set of integer levels", str(encoding), said.FREE)

    def window(self, node: Node, shape: Shape) -> Window:
        """Return the window of a layer or pool, which must see some of the map everywhere."""
        if is_product(node):
            return point(1, 1)

        def numbers(name: str, default: tuple[int, ...]) -> tuple[int, ...]:
            return cast(tuple[int, ...], node.attributes.get(name) or default)

        weighted = len(node.inputs) > 1  # then the kernel is that of the weights, whether it is said or not
        kernel = cast(tuple[int, ...], self.graph.value(node.inputs[1]).shape[1:3]) if weighted else ()
        kernel = kernel or numbers("kernel_shape", shape[1:])
        pads, strides, dilations = (
            numbers("pads", (0,) * 4),
            numbers("strides", (1, 1)),
            numbers("dilations", (1, 1)),
        )
        axes = zip(shape[1:], kernel, strides, pads[:2], pads[2:], dilations, strict=True)
        rows, columns = (Axis(*axis) for axis in axes)
        if not is_read((rows, columns)):
            self.refuse(node, WINDOWS, f"{rows} and {columns}", WINDOW_REMEDY)
            return point(*shape[1:])
        return rows, columns

    def _pool(self, node: Node, source: Stream, encoding: Encoding) -> Stream:
        if len(self.graph.value(node.inputs[0]).shape) != 4:
            return self._refused(node, said.MAPS)
        window = self.window(node, source.shape)
        name = self.add(
            lambda name: Pool(name, source.shape[0], encoding.bits, window, (source.stage,)), node.name
        )
        return Stream(name, (source.shape[0], window[0].outputs, window[1].outputs))

    def pool_of_codes(self, node: Node) -> Stream:
        """Add a pool that takes the largest."""
        return self._pool(node, self.codes(node.inputs[0]), self.encoding(node))

    def average(self, node: Node) -> Stream:
        """Add a sum of ranks, and the mean that is rounded once."""
        source = self.codes(node.inputs[0])
        window = self.window(node, source.shape)
        shape = (source.shape[0], window[0].outputs, window[1].outputs)
        before, after = (
            self.encoding(node).as_fixed_point(),
            self.encoding_of(node.outputs[0]).as_fixed_point(),
        )
        if before is None or after is None:
            return self._refused(node, said.AVERAGE)
        name = self.add(
            lambda name: Pool(name, shape[0], before.bits, window, (source.stage,), sums=True), node.name
        )
        padded = bool(node.attributes.get("count_include_pad", 0))

        def ending() -> Ending:
            return self._ending(node, ending_of(_mean(window, before, after, padded)))

        return self._recode_of(f"{node.name}/mean", Stream(name, shape), window, ending)

    def add_codes(self, node: Node) -> Stream:
        """Add a sum of two maps of fixed point."""
        one, other = (self.codes(name) for name in node.inputs)
        if one.shape != other.shape:
            self.refuse(node, "two maps of one shape", f"{one.shape} and {other.shape}", said.BRANCH)
        x, y = (self.encoding_of(name).as_fixed_point() for name in node.inputs)
        target = self.encoding_of(node.outputs[0]).as_fixed_point()
        assert x is not None and y is not None and target is not None  # the operator has looked
        shift = x.fraction_bits - target.fraction_bits
        half = (1 << shift >> 1) if shift > 0 and target.rounds_to_nearest else 0
        up, down = max(-shift, 0), max(shift, 0)
        addend = ((x.least + y.least) << up) + half - (target.least << down)
        low, high = saturation(target, str(node.attributes.get("activation", "none")))
        ending = Scaled(
            np.full((1, 1, 1), 1 << up),
            np.full((1, 1, 1), addend),
            down,
            high - target.least,
            low - target.least,
        )
        sources, bits = (one.stage, other.stage), (x.bits, y.bits)
        name = self.add(
            lambda name: Add(name, one.shape[0], bits, point(*one.shape[1:]), ending, sources), node.name
        )
        return Stream(name, one.shape)

    def join_codes(self, node: Node) -> Stream:
        """Add a join of channels."""
        if node.attributes.get("axis") != 1:
            return self._refused(node, said.JOIN)
        return self._join(node, [self.codes(name) for name in node.inputs], self.encoding(node).bits)

    def _join(self, node: Node, parts: list[Stream], bits: int) -> Stream:
        sizes = {part.shape[1:] for part in parts}
        if len(sizes) > 1:
            self.refuse(node, "maps of one size", ", ".join(str(part.shape) for part in parts), said.JOIN[2])
        channels, window = tuple(part.shape[0] for part in parts), point(*parts[0].shape[1:])
        sources = tuple(part.stage for part in parts)
        name = self.add(lambda name: Concat(name, channels, window, bits, sources), node.name)
        return Stream(name, (sum(channels), *parts[0].shape[1:]))

    def function_of_codes(self, node: Node) -> Stream:
        """Add a function of codes, such as a table."""
        source, name = self.codes(node.inputs[0]), node.inputs[0]
        order = self.encoding_of(name).code_of_rank()[0]
        ranks = np.argsort(self.encoding_of(node.outputs[0]).code_of_rank()[0].astype(np.intp))
        constants = {each: self.graph.values[each].data for each in node.inputs[1:] if each}
        if any(data is None for data in constants.values()):
            return self._refused(node, said.operators(self.graph, node, _CODES))

        def rank(numbers: Integers, rows: npt.NDArray[np.intp]) -> Integers:
            codes = order[np.clip(numbers, 0, len(order) - 1)]
            made = evaluate_node(self.graph, node, {**cast(dict[str, Array], constants), name: codes})[0]
            return ranks[made.astype(np.intp)]

        def ending() -> Ending:
            ones = np.ones(1)
            return self._ending(
                node, runs(Meaning(rank, ones, ones, len(ranks) - 1, 0, len(order) - 1, (1, 1, 1)))
            )

        if self.dry:
            ending()
        return self._recode_of(node.name, source, point(*source.shape[1:]), ending)

    def _recoded(self, source: Stream, nodes: tuple[Node, ...], reals: Callable[[], Reals]) -> Stream:
        """Add what makes ranks of numbers that are reals in the graph."""
        channels = source.shape[0]
        for node in nodes:
            try:
                parameters_of(self.graph, node, channels)
            except ValueError as error:
                return self._refused(
                    node, (f"constants of one number, or of {channels} channels", str(error), "")
                )
        encoder, stage = nodes[-1], self._stage(source.stage)
        window = point(*source.shape[1:]) if stage is None else stage.window
        clips = all(clips_alone(self.graph, node) for node in nodes[:-1])
        if self.encoding_of(encoder.outputs[0]).bits > WIDEST_TABLE and not clips:
            return self._refused(encoder, said.WIDE)

        def ending() -> Ending | None:
            return ending_of_nodes(self.graph, reals(), nodes, channels)

        if self.dry and not all(is_monotone(self.graph, node) for node in nodes[:-1]) and not self.errors:
            self._ending(encoder, ending())
        return self._recode_of(encoder.name, source, window, lambda: self._ending(encoder, ending()))

    def _stage(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    def _ending(self, node: Node, ending: Ending | None) -> Ending:
        if ending is None:
            expected = "codes that a multiplication, or 255 thresholds, can be proven equal to"
            self.refuse(node, expected, "neither", said.WIDE[2])
            return Steps(np.zeros((1, 1, 1, 1), np.int64))
        return ending

    def _recode_of(self, name: str, source: Stream, window: Window, ending: Callable[[], Ending]) -> Stream:
        if self.dry:
            return Stream(name, source.shape)
        return self._recode(name, source, window, ending())

    def _recode(self, name: str, source: Stream, window: Window, ending: Ending) -> Stream:
        made = self.add(lambda name: Recode(name, source.shape[0], window, ending, (source.stage,)), name)
        return Stream(made, source.shape)

    def _picture(self, name: str, nodes: tuple[Node, ...]) -> Stream:
        """Return the picture, whose bytes become ranks by a table."""
        known = [self._key(node) for node in self.encoder]
        if self.encoder and known != [self._key(node) for node in nodes]:
            self.refuse(
                nodes[-1], "one encoder of pixels", f"another one: {self.encoder[-1].name}", said.INPUT
            )
        self.encoder = nodes
        encoder = nodes[-1]
        encoding, value = self.encoding_of(encoder.outputs[0]), self.graph.value(encoder.outputs[0])
        if encoding.bits > 8 or encoding.channels != 1:
            self.refuse(encoder, "codes of 1 to 8 bits", str(encoding), said.INPUT)
        shape = as_map(tuple(value.shape[1:]))
        if shape is None:
            self.refuse(encoder, "one input [n, c, h, w] or [n, features]", str(value.shape), said.INPUT)
        for node in nodes:
            try:
                parameters_of(self.graph, node, int(value.shape[1]))
            except ValueError as error:
                self.refuse(node, "constants of channels", str(error), said.INPUT)
        return Stream(PICTURE, shape or (1, 1, 1))

    def add(self, make: Callable[[str], Stage], name: str) -> str:
        """Add a stage and return its name, which is unique."""
        found, count = name, 1
        while found in self._names or found == PICTURE:
            count += 1
            found = f"{name}_{count}"
        self._names.add(found)
        if not self.dry:
            self.stages.append(make(found))
        return found

    def encoding(self, node: Node) -> Encoding:
        """Return the encoding of what a node reads."""
        return self.encoding_of(node.inputs[0])

    def encoding_of(self, name: str) -> Encoding:
        """Return the encoding of a value of codes."""
        encoding = self.graph.value(name).encoding
        assert encoding is not None
        return encoding

    def refuse(self, node: Node | None, expected: str, found: str, remedy: str = "") -> None:
        """Refuse a node."""
        where = (node.name or node.op) if node else self.graph.name
        error = UnsupportedError(
            "the array engine does not run this network",
            where=where,
            expected=expected,
            found=found,
            remedy=remedy or said.REMEDY,
        )
        if not self.dry:
            raise error
        self.errors.append(error)

    def _refused(self, node: Node, why: tuple[str, str, str]) -> Stream:
        """Refuse a node, look on behind it, and return what may stand for it."""
        expected, found, remedy = why
        self.refuse(node, expected, found or self._called(node), remedy)
        for name in node.inputs:
            if name and self.graph.values[name].data is None:
                self._look(name)
        return self._stand_in(node.outputs[0])

    def _look(self, name: str) -> None:
        """Find what else is refused behind a value."""
        node = self.graph.producer(name)
        if node is None or ("look", name) in self._made:
            return
        self._made["look", name] = self._stand_in(name)
        if self.graph.value(name).encoding is not None:
            self.codes(name)
        elif node.op == "Decode":
            self.codes(node.inputs[0])
        elif is_low_bit(node):
            self.sums(node)
        elif has(node, Trait.MOVES) or has(node, Trait.COMPARES) or is_function(self.graph, node):
            for source in node.inputs:
                if source and self.graph.values[source].data is None:
                    self._look(source)
        else:
            self._refused(node, said.operators(self.graph, node, _CODES))

    def _stand_in(self, name: str) -> Stream:
        return Stream(PICTURE, as_map(tuple(self.graph.value(name).shape[1:])) or (1, 1, 1))

    def _called(self, node: Node | None) -> str:
        return "nothing" if node is None else node.op

    def _before_moves(self, name: str) -> Node | None:
        node = self.graph.producer(name)
        while node is not None and has(node, Trait.KEEPS_ORDER):
            node = self.graph.producer(node.inputs[0])
        return node

    def _check_order(self, node: Node) -> None:
        before, after = (self.graph.value(name).shape for name in (node.inputs[0], node.outputs[0]))
        lengths = [[length for length in shape[1:] if length != 1] for shape in (before, after)]
        if before[0] != after[0] or not (lengths[0] == lengths[1] or len(lengths[1]) <= 1):
            expected = "reshapes that add or drop axes of one, or flatten a sample"
            self.refuse(node, expected, f"{before} to {after}")

    def _key(self, node: Node) -> object:
        """Return what tells functions and encoders apart: encoders by what they do."""
        if node.op != "Encode":
            return node.name, node.outputs
        constants = tuple(self.graph.constant(name).tobytes() for name in node.inputs[1:] if name)
        return str(self.encoding_of(node.outputs[0]).to_dict()), constants

    def _reals(self, node: Node) -> Reals:
        constants = self._constants(node)
        activation = str(node.attributes.get("activation", "none"))
        return reals_of_layer(constants.layer, constants.bias, constants.levels, activation)

    def _constants(self, node: Node) -> Constants:
        source = self.codes(node.inputs[0])
        return constants_of(self.graph, node, source.shape, self.window(node, source.shape))

    def _scaled(self, node: Node) -> tuple[Floats, Floats, Integers]:
        """Return scale and bias of the scores that a layer's sums are, and what is added first."""
        if str(node.attributes.get("activation", "none")) != "none":
            self.refuse(node, "scores without an activation", str(node.attributes["activation"]), said.SCORES)
        if self.dry:
            return np.ones(1), np.zeros(1), np.zeros(1, np.int64)
        constants = self._constants(node)
        layer = constants.layer
        return layer.scale, constants.bias[0, 0], layer.addend

    def _decoded(self, node: Node) -> tuple[Floats, Floats]:
        """Return scale and bias of the scores that the ranks of codes are."""
        encoding = self.encoding(node)
        reals = encoding.decode(encoding.code_of_rank()[0]).reshape(-1)
        scale, bias = _line(encoding)
        ranks = np.arange(len(reals))
        if not np.array_equal((scale * ranks + bias).astype(np.float32), reals):
            self.refuse(node, "codes whose levels lie evenly", str(encoding), said.SCORES)
        return np.array([scale]), np.array([bias])


def _line(encoding: Encoding) -> tuple[float, float]:
    """Return scale and bias of levels by rank, if they lie evenly."""
    levels = np.asarray(encoding.integer_levels()[0], np.int64)[encoding.code_of_rank()[0].astype(np.intp)]
    scale, offset = float(encoding.integer_scale()[0]), float(encoding.integer_offset()[0])
    step = int(levels[1] - levels[0]) if len(levels) > 1 else 1
    return scale * step, scale * int(levels[0]) + offset


def _mean(window: Window, before: FixedPoint, after: FixedPoint, padded: bool) -> Meaning:
    """Return what a sum of ranks becomes that is a mean of fixed point, by border class."""
    rows, columns = (axis.classes()[1].sum(axis=1) for axis in window)
    valid = np.multiply.outer(rows, columns).astype(np.int64)
    taps = window[0].kernel * window[1].kernel
    counts = np.full_like(valid, taps) if padded else valid
    offsets, each = before.least * valid.reshape(-1), counts.reshape(-1)

    def rank(numbers: Integers, at: npt.NDArray[np.intp]) -> Integers:
        sums = numbers + offsets[at, None]
        return np.asarray(mean_codes(sums, each[at, None], before.fraction_bits, after), np.int64)

    slope = 2.0 ** (after.fraction_bits - before.fraction_bits) / each
    start = offsets * slope - after.least - (0 if after.rounds_to_nearest else 0.5)
    most = taps * ((1 << before.bits) - 1)
    return Meaning(rank, slope, start, (1 << after.bits) - 1, 0, most, (*valid.shape, 1))


def as_map(lengths: tuple[int | str, ...]) -> Shape | None:
    """Return the shape ``(c, h, w)`` of a sample; features are channels of a single pixel."""
    if len(lengths) not in (1, 3) or not all(isinstance(length, int) for length in lengths):
        return None
    return cast(Shape, lengths if len(lengths) == 3 else (lengths[0], 1, 1))


def _layer_of_codes(lowering: Lowering, node: Node) -> Stream:
    return lowering.layer(node, lowering.encoding_of(node.outputs[0]))


_CODES: Mapping[str, Callable[[Lowering, Node], Stream]] = {
    "Convolution": _layer_of_codes,
    "Linear": _layer_of_codes,
    "MaxPool": Lowering.pool_of_codes,
    "GlobalMaxPool": Lowering.pool_of_codes,
    "AveragePool": Lowering.average,
    "GlobalAveragePool": Lowering.average,
    "FixedAdd": Lowering.add_codes,
    "FixedLookup": Lowering.function_of_codes,
    "Concat": Lowering.join_codes,
}
"""Operators that give codes, and what becomes of them."""
