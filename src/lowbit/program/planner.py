"""Plans a graph: which operation of the engine runs each node, with constants ready at load.

One table keyed by operator. Weights of low-bit layers stay packed: nothing here unpacks them unless
the int8 path was chosen.
"""

from collections.abc import Callable
from math import inf
from typing import NoReturn

import numpy as np

from lowbit.errors import EngineError
from lowbit.ir import Graph, Node, Value, run_passes
from lowbit.ir.passes import fold_constants, fuse_linear, is_linear
from lowbit.program.layers import affine_layer, lq_layer
from lowbit.program.representation import MOVES, PLANE_BITS, Bytes, byte_of_code, plane_values
from lowbit.program.steps import ProgramPlan, Step
from lowbit.schemes import Affine, Encoding

Lower = Callable[["Planner", Node], None]


def plan(graph: Graph, plane_pairs: int = PLANE_BITS**2) -> ProgramPlan:
    """Return the program of a verified graph.

    Args:
        graph: with one input and one output.
        plane_pairs: layers of up to this many pairs of planes (bits of input times weights) count bits,
            the others sum bytes; the integers are the same, and kernels decide which is faster.

    Raises:
        EngineError: an operator, shape or encoding that the engine does not run, naming the node.
    """
    if any(node.op in ("MatMul", "Identity", "Gemm") and not is_linear(graph, node) for node in graph.nodes):
        graph = run_passes(graph, [fold_constants, fuse_linear]).graph
    _require_one(graph)
    planner = Planner(graph, plane_values(graph, plane_pairs))
    for node in graph.nodes:
        planner.lower(node)
    source, target = graph.value(graph.inputs[0]), graph.value(graph.outputs[0])
    if target.encoding is not None:
        raise EngineError("the output is codes", where=target.name, expected="floats", remedy="Add a Decode.")
    return ProgramPlan(
        source.shape, target.shape, tuple(planner.steps), planner.numbers[target.name], planner.codes
    )


class Planner:
    """The steps so far, and the number of every value that has one."""

    def __init__(self, graph: Graph, planes: frozenset[str]) -> None:
        self.graph, self.planes = graph, planes
        self.steps: list[Step] = []
        self.numbers = {graph.inputs[0]: 0}
        self.codes: dict[str, Bytes] = {}

    def lower(self, node: Node) -> None:
        """Add the steps of one node."""
        lowering = _LOWERINGS.get((node.domain, node.op))
        if lowering is None:
            self.refuse(node, f"the operator {node.op}")
        lowering(self, node)

    def add(self, node: Node, operation: str, why: str = "", /, **constants: object) -> None:
        """Add a step whose sources are the node's computed inputs and whose result is its output."""
        sources = tuple(self.numbers[name] for name in node.inputs if name in self.numbers)
        self.steps.append(Step(operation, sources, constants, node.outputs[0], why))
        self.numbers[node.outputs[0]] = len(self.steps)
        self._remember_codes(node.outputs[0])

    def alias(self, node: Node) -> None:
        """Let the node's output be its input."""
        self.numbers[node.outputs[0]] = self.numbers[node.inputs[0]]
        self._remember_codes(node.outputs[0])

    def refuse(self, node: Node, what: str) -> NoReturn:
        """Raise `EngineError` for a node."""
        raise EngineError(
            f"the engine does not run {what}",
            where=f"{self.graph.name}/{node.name} ({node.op})",
            expected=", ".join(sorted({name for _, name in _LOWERINGS})),
            remedy="Run it with --backend reference.",
        )

    def encoding(self, name: str) -> Encoding:
        """Return the encoding of a value that must have one."""
        encoding = self.graph.value(name).encoding
        assert encoding is not None  # verified
        return encoding

    def _remember_codes(self, name: str) -> None:
        """Note how what lies in memory becomes codes: planes hold them, bytes have a table."""
        encoding = self.graph.value(name).encoding
        if encoding is None or name in self.planes:
            return
        byte = byte_of_code(encoding, name)
        table = np.zeros(int(byte.max()) + 1, np.uint8)
        table[byte] = np.arange(len(byte))
        self.codes[name] = table


def _encode(planner: Planner, node: Node) -> None:
    name = node.outputs[0]
    encoding = planner.encoding(name)
    given = [planner.graph.constant(name) for name in node.inputs[1:] if name]
    if isinstance(encoding, Affine) and not given:
        scale, zero = float(encoding.scale[0]), float(encoding.zero_point[0])
        planner.add(node, "encode_affine", scale=scale, zero=zero, top=float((1 << encoding.bits) - 1))
        return
    thresholds = given[0] if given else encoding.thresholds()[0]
    codes = encoding.code_of_rank()[0]
    if name in planner.planes:
        planner.add(node, "encode_planes", thresholds=thresholds, table=codes)
    else:
        planner.add(node, "encode_bytes", thresholds=thresholds, table=byte_of_code(encoding, name)[codes])


def _decode(planner: Planner, node: Node) -> None:
    encoding = planner.encoding(node.inputs[0])
    if node.inputs[0] in planner.planes:
        planner.add(node, "decode", table=encoding.decode(np.arange(1 << encoding.bits)))
        return
    byte = byte_of_code(encoding, node.inputs[0])
    table = np.zeros(256, np.float32)
    table[byte] = encoding.decode(np.arange(len(byte)))
    planner.add(node, "decode", table=table)


def _lq(planner: Planner, node: Node) -> None:
    operation, constants, why = lq_layer(planner.graph, node, planner.planes)
    planner.add(node, operation, why, **constants)
    _activate_output(planner, node)


def _activate_output(planner: Planner, node: Node) -> None:
    """Add the activation of a layer whose output stays float."""
    activation = str(node.attributes.get("activation", "none"))
    if activation == "none" or planner.graph.value(node.outputs[0]).encoding is not None:
        return
    operation, constants = _FUNCTIONS[activation]
    step = Step(operation, (len(planner.steps),), constants, node.outputs[0])
    planner.steps.append(step)
    planner.numbers[node.outputs[0]] = len(planner.steps)


def _affine(planner: Planner, node: Node) -> None:
    planner.add(node, "byte_fully_connected", "8-bit codes", **affine_layer(planner.graph, node))


def _gemm(planner: Planner, node: Node) -> None:
    if not is_linear(planner.graph, node):
        planner.refuse(node, "a product of two computed values")
    weights, bias = (np.ascontiguousarray(planner.graph.constant(name)) for name in node.inputs[1:])
    planner.add(node, "float_fully_connected", weights=weights, bias=bias)


def _activation(planner: Planner, node: Node) -> None:
    source, target = (planner.graph.value(name) for name in (node.inputs[0], node.outputs[0]))
    if source.encoding is None:
        operation, constants = _FUNCTIONS[node.op.lower()]
        planner.add(node, operation, **constants)
        return
    planner.add(node, "look_up", table=_code_table(planner, node, source, target))


def _code_table(planner: Planner, node: Node, source: Value, target: Value) -> object:
    """Return the output byte of every input byte, by the reference evaluator itself."""
    from lowbit.ir.reference import evaluate_node

    before, after = planner.encoding(source.name), planner.encoding(target.name)
    codes = np.arange(1 << before.bits, dtype=np.uint8)
    (result,) = evaluate_node(planner.graph, node, {source.name: codes})
    table = np.zeros(256, np.uint8)
    table[byte_of_code(before, source.name)] = byte_of_code(after, target.name)[result.astype(np.intp)]
    return table


def _clip(planner: Planner, node: Node) -> None:
    bounds = [*node.inputs[1:], "", ""][:2]
    low, high = (
        float(planner.graph.constant(name)) if name else default
        for name, default in zip(bounds, (-inf, inf), strict=True)
    )
    planner.add(node, "clip", low=low, high=high)


def _arithmetic(planner: Planner, node: Node) -> None:
    operation = _ARITHMETIC[node.op]
    shapes = [planner.graph.value(name).shape for name in node.inputs]
    computed = [name in planner.numbers for name in node.inputs]
    if all(computed) and shapes[0] == shapes[1]:
        planner.add(node, "combine", operation=operation)
        return
    if sum(computed) != 1 or (not computed[0] and node.op in ("Sub", "Div")):
        planner.refuse(node, "this form of arithmetic")
    index = computed.index(True)
    length = shapes[index][1:]
    constant = planner.graph.constant(node.inputs[1 - index])
    if constant.ndim and constant.shape[0] != 1 and constant.ndim == len(shapes[index]):
        planner.refuse(node, "a constant for each sample")
    row = np.broadcast_to(constant.reshape(constant.shape[-len(length) :]), [int(n) for n in length])
    planner.add(
        node, "combine_constant", row=np.ascontiguousarray(row.reshape(-1), np.float32), operation=operation
    )


def _softmax(planner: Planner, node: Node) -> None:
    shape, axis = planner.graph.value(node.inputs[0]).shape, node.attributes.get("axis", -1)
    if len(shape) != 2 or axis not in (-1, 1):
        planner.refuse(node, "a softmax over anything but the last of two axes")
    planner.add(node, "softmax", logarithm=node.op == "LogSoftmax")


def _move(planner: Planner, node: Node) -> None:
    before, after = (planner.graph.value(name).shape for name in (node.inputs[0], node.outputs[0]))
    if before[0] != after[0]:
        planner.refuse(node, "a change of the batch")
    planner.alias(node)


def _require_one(graph: Graph) -> None:
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise EngineError(
            "the engine runs networks with one input and one output",
            where=graph.name,
            found=f"inputs {', '.join(graph.inputs)}; outputs {', '.join(graph.outputs)}",
            remedy="Run it with --backend reference, or export one output.",
        )


# Activations on floats, by the name that a layer gives them and an operator has in lower case.
_FUNCTIONS: dict[str, tuple[str, dict[str, object]]] = {
    "relu": ("clip", {"low": 0.0, "high": inf}),
    "relu6": ("clip", {"low": 0.0, "high": 6.0}),
    "hardtanh": ("clip", {"low": -1.0, "high": 1.0}),
    "tanh": ("activate", {"function": "tanh"}),
    "sigmoid": ("activate", {"function": "sigmoid"}),
}
_ARITHMETIC = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}

_LOWERINGS: dict[tuple[str, str], Lower] = {
    ("lowbit", "Encode"): _encode,
    ("lowbit", "Decode"): _decode,
    ("lowbit", "LQFullyConnected"): _lq,
    ("lowbit", "AffineFullyConnected"): _affine,
    ("", "Gemm"): _gemm,
    ("", "Clip"): _clip,
    **dict.fromkeys([("", "Relu"), ("", "Tanh"), ("", "Sigmoid")], _activation),
    **dict.fromkeys([("", name) for name in _ARITHMETIC], _arithmetic),
    **dict.fromkeys([("", "Softmax"), ("", "LogSoftmax")], _softmax),
    **dict.fromkeys([("", name) for name in MOVES], _move),
}
