"""A float network in fixed point, by rounding alone: one format for weights, biases and all values between.

Inputs are encoded once. A layer sums integers at full width and rounds once, as said in
`lowbit.ir.operators.fixed_point`; a function becomes a table; what only moves elements moves codes.
The last layer's sums are not rounded: they are the logits as they are. No samples are needed, and the same
network gives the same integers.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lowbit.blockers import Blocker, blocker_of, grouped, listed, remedies
from lowbit.errors import NumericError, UnsupportedError
from lowbit.ir import Graph, Node, Trait, Value, carried, has, infer, run_passes, verify
from lowbit.ir.activations import function_table
from lowbit.ir.graph import Array
from lowbit.ir.layers import activation_of, is_low_bit, is_product
from lowbit.ir.operators.registry import code_dtype
from lowbit.ir.passes import NORMAL_FORM
from lowbit.ir.reference import evaluate_node
from lowbit.schemes import FixedPoint

_REMEDY = "Networks with other operators are quantized with samples, in another scheme."


def to_fixed_point(graph: Graph, integer_bits: int, fraction_bits: int, rounding: str = "nearest") -> Graph:
    """Return a network of fully connected layers in fixed point.

    Args:
        graph: a float network of layers with constant weights, functions, sums and what moves elements.
        integer_bits: m of Qm.n, with the sign.
        fraction_bits: n.
        rounding: `nearest` (half up) or `floor` (truncation), of constants and of every layer.

    Raises:
        SchemeError: a format of more than 16 bits, or of none.
        NumericError: a constant is not finite, or beyond the format.
        UnsupportedError: an operator that has no fixed-point form.
    """
    encoding = FixedPoint(integer_bits, fraction_bits, rounding)
    work = _Work(run_passes(graph, NORMAL_FORM).graph, encoding)
    refuse(work.add_all(), graph.name)
    result = work.finished()
    infer(result)
    result.remove_unused()
    verify(result)
    return result


def blockers(graph: Graph) -> list[Blocker]:
    """Return what has no form in fixed point, whatever the format."""
    work = _Work(run_passes(graph, NORMAL_FORM).graph, FixedPoint(8, 8))
    return grouped(work.add_all())


def refuse(blockers: Sequence[Blocker], where: str) -> None:
    """Refuse a network for all of these.

    Raises:
        UnsupportedError: there are some.
    """
    if not blockers:
        return
    first = blockers[0]
    if len(blockers) == 1:
        place = f"{where}/{', '.join(first.nodes)}"
        raise UnsupportedError(first.what, where=place, expected=first.expected, found=first.found)
    raise UnsupportedError(
        f"{len(blockers)} nodes have no fixed-point form",
        where=where,
        expected=first.expected,
        found=listed(grouped(blockers)),
        remedy=remedies(blockers),
    )


class _Work:
    """The float network, and the one in fixed point that is being written."""

    def __init__(self, source: Graph, encoding: FixedPoint) -> None:
        self.source, self.encoding, self.dtype = source, encoding, code_dtype(encoding)
        self.graph = Graph(source.name, source.inputs, source.outputs, metadata=dict(source.metadata))
        self.codes: dict[str, str] = {}  # of values of the float network
        self._beyond: list[str] = []  # constants that the format has no codes for
        for name in source.inputs:
            self.graph.add(source.value(name))
            self.codes[name] = self._coded(name)
            self._append("Encode", f"{name}/encode", (name,), self.codes[name])
        self._biases = dict(_biased_products(source))

    def add_all(self) -> list[Blocker]:
        """Append all nodes and return those that have no form; codes that nobody makes stand for them."""
        refused = []
        for node in self.source.nodes:
            try:
                self.add(node)
            except UnsupportedError as error:
                refused.append(replace(blocker_of(error, node.name, node.op), remedy=error.remedy or _REMEDY))
                for name in node.outputs:
                    self._result(name)
        return refused

    def add(self, node: Node) -> None:
        """Append the fixed-point form of a node."""
        form = None if node.domain else self._form(node)
        if form is None:
            raise UnsupportedError(
                "this operator has no fixed-point form",
                where=f"{self.source.name}/{node.name}",
                expected="fully connected layers, sums, functions of single numbers, and what moves elements",
                found=node.op,
            )
        form(node)

    def _form(self, node: Node) -> Callable[[Node], None] | None:
        if is_product(node):
            return self._gemm if node.op == "Gemm" else self._product
        if has(node, Trait.CARRIES):
            return self._mover
        if has(node, Trait.ENDS_CLASSIFIER):
            return self._probabilities
        if node.op == "Add":
            return self._sum
        of_one = has(node, Trait.ELEMENTWISE) and all(map(self._is_constant, filter(None, node.inputs[1:])))
        return self._function if of_one else None

    def finished(self) -> Graph:
        """Return the graph, its outputs reals.

        Raises:
            NumericError: constants are beyond the format; all of them are named.
        """
        if self._beyond:
            levels = self.encoding.levels()[0]
            raise NumericError(
                f"constants are beyond what {self.encoding} holds, and would be clipped",
                where=self.source.name,
                expected=f"{levels[0]:g} to {levels[-1]:g}",
                found="; ".join(self._beyond),
                remedy="Give the format more bits before the point, or scale the network.",
            )
        for name in self.graph.outputs:
            if name in self.codes:
                self._real(name, name)
        return self.graph

    def _real(self, name: str, output: str) -> None:
        """Give the reals of a value: sums that need not be rounded for others, or codes decoded."""
        maker = self.graph.producer(self.codes[name])
        assert maker is not None
        readers = self.source.consumers(name)
        alone = len(readers) + (name in self.graph.outputs) == 1
        if is_low_bit(maker) and alone:
            position = self.graph.nodes.index(maker)
            self.graph.nodes[position] = Node(maker.op, maker.inputs, (output,), {}, maker.name, "lowbit")
        else:
            self._append("Decode", f"{name}/decode", (self.codes[name],), output)

    def _probabilities(self, node: Node) -> None:
        """Append what stays float: the end of a classifier."""
        if self.source.consumers(node.outputs[0]):
            raise UnsupportedError("probabilities can only be an output", where=node.name, found=node.op)
        reals = self.graph.fresh_name(f"{node.inputs[0]}/reals")
        self._real(node.inputs[0], reals)
        self.graph.nodes.append(Node(node.op, (reals,), node.outputs, dict(node.attributes), node.name))

    def _gemm(self, node: Node) -> None:
        attributes = dict(node.attributes)
        if attributes != {"transB": 1} or not self._is_constant(node.inputs[1]):
            raise UnsupportedError("a Gemm has to be y = x W^T + b", where=node.name, found=str(attributes))
        weights = self.source.constant(node.inputs[1])
        bias = self.source.constant(node.inputs[2]) if any(node.inputs[2:]) else np.zeros(len(weights))
        self._linear(node.name, node.inputs[0], weights, bias, node.outputs[0])

    def _product(self, node: Node) -> None:
        if not self._is_constant(node.inputs[1]):
            raise UnsupportedError("a product has to be with a constant", where=node.name)
        weights = self.source.constant(node.inputs[1]).T
        output = node.outputs[0]
        bias: Array = np.zeros(len(weights))
        if output in self._biases:
            total = self._biases[output]
            bias = next(self.source.constant(name) for name in total.inputs if self._is_constant(name))
            output = total.outputs[0]
        self._linear(node.name, node.inputs[0], weights, np.broadcast_to(bias, len(weights)), output)

    def _sum(self, node: Node) -> None:
        if node.outputs[0] in self.codes:  # a bias, which its product took
            return
        if any(self._is_constant(name) for name in node.inputs):
            raise UnsupportedError("a constant is added to no product", where=node.name)
        output = self._result(node.outputs[0])
        self._append("FixedAdd", node.name, tuple(self.codes[name] for name in node.inputs), output)

    def _function(self, node: Node) -> None:
        """Append the table of a function: what the reference says of every level, encoded."""
        name = activation_of(self.source, node)
        table = f"{name or node.name}.table"
        if table not in self.graph.values:
            data = function_table(self.encoding, name) if name else self._table(node)
            self.graph.add(Value(table, self.dtype, data.shape, data, self.encoding))
        inputs = (self.codes[node.inputs[0]], table)
        self._append("FixedLookup", node.name, inputs, self._result(node.outputs[0]))

    def _table(self, node: Node) -> Array:
        arrays = {name: self.source.constant(name) for name in filter(None, node.inputs[1:])}
        arrays[node.inputs[0]] = self.encoding.levels()[0].astype(np.float32)
        (values,) = evaluate_node(self.source, node, arrays)
        return self.encoding.encode(values)

    def _mover(self, node: Node) -> None:
        moved = carried(node)
        constants = node.inputs[len(moved) :]
        for name in filter(None, constants):
            self.graph.values.setdefault(name, self.source.value(name))
        output = self._result(node.outputs[0])
        inputs = (*(self._codes_of(name) for name in moved), *constants)
        self.graph.nodes.append(Node(node.op, inputs, (output,), dict(node.attributes), node.name))

    def _codes_of(self, name: str) -> str:
        """Return the codes of a value, a constant's among them."""
        if self._is_constant(name):
            return self._constant(name, self.source.constant(name))
        return self.codes[name]

    def _linear(self, name: str, source: str, weights: Array, bias: Array, output: str) -> None:
        constants = (self._constant(f"{name}/weights", weights), self._constant(f"{name}/bias", bias))
        self._append("Linear", name, (self.codes[source], *constants), self._result(output))

    def _constant(self, name: str, data: Array) -> str:
        if not np.isfinite(data).all():
            raise NumericError("a constant is not finite", where=name, expected="finite weights")
        beyond = self.encoding.saturates(data)
        if beyond.any():
            worst = np.abs(data).max()
            self._beyond.append(f"{int(beyond.sum())} of {name}, up to {worst:.6g}")
        codes = self.encoding.encode(np.ascontiguousarray(data))
        name = self.graph.fresh_name(name)
        return self.graph.add(Value(name, self.dtype, codes.shape, codes, self.encoding))

    def _result(self, name: str) -> str:
        self.codes[name] = self._coded(name)
        return self.codes[name]

    def _coded(self, name: str) -> str:
        codes = self.graph.fresh_name(f"{name}/codes")
        return self.graph.add(Value(codes, self.dtype, self.source.value(name).shape, None, self.encoding))

    def _append(self, op: str, name: str, inputs: tuple[str, ...], output: str) -> None:
        self.graph.nodes.append(Node(op, inputs, (output,), {}, self.graph.fresh_name(name), "lowbit"))

    def _is_constant(self, name: str) -> bool:
        return self.source.value(name).data is not None


def _biased_products(graph: Graph) -> list[tuple[str, Node]]:
    """Return products whose sum with a constant vector alone reads them, with that sum."""
    found = []
    for node in graph.nodes:
        readers = graph.consumers(node.outputs[0])
        if node.op != "MatMul" or [reader.op for reader in readers] != ["Add"]:
            continue
        other = next((name for name in readers[0].inputs if name != node.outputs[0]), node.outputs[0])
        data = graph.value(other).data  # None as well where the product is added to itself
        if data is not None and data.size in (1, data.shape[-1] if data.ndim else 1):
            found.append((node.outputs[0], readers[0]))
    return found
