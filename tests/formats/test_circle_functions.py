"""Activations, pads, pools, reshapes and lines in ``.circle``: read back equal, and the same in LiteRT."""

from collections import Counter

import numpy as np
import pytest

from lowbit.backends.litert import interpreter as interpreter_of
from lowbit.engine import Program
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.writer import content_of
from lowbit.ir import Graph, Node, Value, evaluate, infer, run_passes, verify
from lowbit.ir.graph import Attribute
from lowbit.ir.passes import ENGINE_FORM
from lowbit.quantization import Plan, quantize
from tests.ir.channels_last import channels_last, samples

INT8 = Plan(scheme="affine", weight_bits=8, activation_bits=8)
LQ2 = Plan(weight_bits=2, activation_bits=2)
Attributes = dict[str, Attribute]

ACTIVATIONS: dict[str, tuple[str, Attributes, tuple[object, ...]]] = {
    "relu6": ("Clip", {}, (np.float32(0), np.float32(6))),
    "hardtanh": ("Clip", {}, (np.float32(-1), np.float32(1))),
    "clip": ("Clip", {}, (np.float32(-0.5), np.float32(2.5))),
    "from below": ("Clip", {}, (np.float32(0.25),)),
    "from above": ("Clip", {}, (None, np.float32(0.25))),
    "prelu": ("PRelu", {}, (np.linspace(0.1, 0.4, 4).reshape(4, 1, 1),)),
    "prelu of one": ("PRelu", {}, (np.float32(0.3).reshape(1),)),
    "leaky": ("LeakyRelu", {"alpha": 0.25}, ()),
    "elu": ("Elu", {}, ()),
    "elu of two": ("Elu", {"alpha": 2.0}, ()),
    "hardswish": ("HardSwish", {}, ()),
    "hardsigmoid": ("HardSigmoid", {"alpha": 0.25, "beta": 0.5}, ()),
}
POOLS: list[tuple[str, Attributes]] = [
    ("MaxPool", {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),  # ResNet
    ("MaxPool", {"kernel_shape": (2, 3), "pads": (1, 0, 0, 2)}),
    ("AveragePool", {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "count_include_pad": 1}),
    (
        "AveragePool",
        {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1), "count_include_pad": 1},
    ),
    ("AveragePool", {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),
    ("AveragePool", {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}),
    ("AveragePool", {"kernel_shape": (2, 3), "pads": (0, 2, 1, 0)}),
]
FLATTENS: dict[str, tuple[str, Attributes, list[int] | None]] = {
    "flatten": ("Flatten", {}, None),
    "0, -1": ("Reshape", {}, [0, -1]),
    "-1, length": ("Reshape", {}, [-1, 144]),
    "0, length": ("Reshape", {}, [0, 144]),
    "0, 0, -1": ("Reshape", {}, [0, 0, -1]),
}


def network(
    op: str,
    attributes: Attributes,
    constants: tuple[object, ...] = (),
    *,
    behind: bool = True,
    batch: int | str = "n",
) -> Graph:
    """Return conv, the operator, then another conv where ``behind``, and a Flatten."""
    random = np.random.default_rng(1)
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", (batch, 3, 8, 8))})
    for name, shape in {"w": (4, 3, 3, 3), "b": (4,), "v": (2, 4, 3, 3), "c": (2,)}.items():
        graph.add_constant(name, random.normal(size=shape) / 2)
    names = ["" if data is None else graph.add_constant(f"k{n}", data) for n, data in enumerate(constants)]
    graph.nodes = [
        Node("Conv", ("x", "w", "b"), ("conv",), {}, "conv"),
        Node(op, ("conv", *names), ("f",), attributes, "function"),
        *([Node("Conv", ("f", "v", "c"), ("d",), {}, "conv2")] if behind else []),
        Node("Flatten", ("d" if behind else "f",), ("y",), {}, "flat"),
    ]
    infer(graph)
    verify(graph)
    return graph


def litert(content: bytes, x: np.ndarray) -> np.ndarray:
    """Return what LiteRT makes of each sample."""
    pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = interpreter_of(content)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    rows = []
    for sample in x:
        interpreter.set_tensor(source, sample[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target)[0].copy())
    return np.stack(rows)


def check(graph: Graph, *, foreign: bool = True, tolerance: float = 1e-5) -> Graph:
    """Check that the file means the same, here and in LiteRT; return the graph read back."""
    x = samples(graph, 5, 2)
    (expected,) = evaluate(graph, {"x": x}).values()
    found = read_content(bytes(content_of(graph)), "net.circle")
    verify(found)
    (again,) = evaluate(found, {"x": x}).values()
    np.testing.assert_allclose(again, expected, rtol=tolerance, atol=tolerance)
    assert bytes(content_of(found)) == bytes(content_of(found)), "and again"
    if foreign:
        content = bytes(content_of(graph, tflite=True))
        np.testing.assert_allclose(litert(content, x), expected, rtol=1e-4, atol=1e-4)
    return found


def counted(graph: Graph) -> Counter[str]:
    return Counter(node.op for node in graph.nodes)


@pytest.mark.parametrize("case", ACTIVATIONS)
@pytest.mark.parametrize("behind", [False, True])
def test_activations(case: str, behind: bool) -> None:
    op, attributes, constants = ACTIVATIONS[case]
    graph = network(op, attributes, constants, behind=behind)
    found = check(graph)
    if case not in ("elu of two", "hardsigmoid"):
        assert counted(found)[op] == 1 and len(found.nodes) == len(graph.nodes), "one operator stays one"


@pytest.mark.parametrize("plan", [INT8, LQ2], ids=["affine:8", "lq:2"])
@pytest.mark.parametrize("case", ACTIVATIONS)
def test_activations_of_quantized_networks(case: str, plan: Plan) -> None:
    op, attributes, constants = ACTIVATIONS[case]
    graph = network(op, attributes, constants)
    low, _ = quantize(graph, samples(graph, 64), plan)
    found = check(low, foreign=False)
    np.testing.assert_allclose(
        Program(found).run(samples(graph, 4)), Program(low).run(samples(graph, 4)), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("op", "attributes"), POOLS)
def test_pads_of_pools(op: str, attributes: Attributes) -> None:
    found = check(network(op, attributes, behind=False))
    assert counted(found)[op] == 1 and not counted(found)["Pad"]


@pytest.mark.parametrize("plan", [INT8, LQ2], ids=["affine:8", "lq:2"])
@pytest.mark.parametrize(("op", "attributes"), POOLS[:3])
def test_pads_of_pools_of_codes(op: str, attributes: Attributes, plan: Plan) -> None:
    graph = network(op, attributes)
    low, _ = quantize(graph, samples(graph, 64), plan)
    found = check(low, foreign=False)
    pooled = next(node for node in found.nodes if node.op == op)
    assert found.value(pooled.outputs[0]).encoding == low.value(pooled.outputs[0]).encoding


@pytest.mark.parametrize("case", FLATTENS)
@pytest.mark.parametrize("batch", ["n", 1])
def test_flattens(case: str, batch: int | str) -> None:
    op, attributes, target = FLATTENS[case]
    graph = network("Relu", {}, behind=False, batch=batch)
    shape = () if target is None else (graph.add_constant("target", target, "int64"),)
    graph.nodes[-1] = Node(op, ("f", *shape), ("y",), attributes, "flat")
    infer(graph)
    if batch == "n":
        check(graph)
        check(run_passes(graph, ENGINE_FORM).graph)
    else:
        read_content(bytes(content_of(graph)), "net.circle")


def test_one_target_for_two_shapes() -> None:
    graph = network("Relu", {}, behind=False)
    graph.add_constant("target", [0, -1], "int64")
    graph.add_constant("u", np.ones((2, 36)))
    graph.nodes[-1:] = [
        Node("Reshape", ("f", "target"), ("all",), {}, "all"),
        Node("GlobalMaxPool", ("f",), ("most",), {}, "most"),
        Node("Reshape", ("most", "target"), ("few",), {}, "few"),
        Node("Concat", ("all", "few"), ("y",), {"axis": 1}, "y"),
    ]
    infer(graph)
    check(graph)


@pytest.mark.parametrize("fill", [0.0, -1.5])
def test_a_pad_that_nothing_takes_over(fill: float) -> None:
    graph = network("Relu", {}, behind=False)
    graph.add_constant("pads", [0, 0, 1, 0, 0, 0, 2, 1], "int64")
    graph.add_constant("fill", np.float32(fill))
    graph.nodes[1] = Node("Pad", ("conv", "pads", "fill"), ("f",), {}, "pad")
    infer(graph)
    assert counted(check(graph))["Pad"] == 1


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_networks_that_keep_channels_last(seed: int, lines: bool) -> None:
    graph = channels_last(seed, lines=lines)
    found = check(graph, tolerance=1e-4)
    assert found.value("x").shape == graph.value("x").shape
    moved = [node for node in found.nodes if node.op == "Transpose"]
    assert len(moved) <= 1 and all(node.inputs == ("x",) for node in moved)


@pytest.mark.parametrize("plan", [INT8, LQ2], ids=["affine:8", "lq:2"])
@pytest.mark.parametrize("lines", [False, True])
def test_quantized_networks_that_keep_channels_last(lines: bool, plan: Plan) -> None:
    for seed in range(2):
        graph = channels_last(seed, lines=lines)
        low, _ = quantize(graph, samples(graph, 64), plan)
        check(low, foreign=False, tolerance=1e-4)


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool", "GlobalAveragePool"])
def test_volumes_are_in_the_words_of_the_graph(op: str) -> None:
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2, 5, 5, 5))})
    attributes = {} if op.startswith("Global") else {"kernel_shape": (2, 2, 2), "pads": (1, 0, 1, 0, 1, 0)}
    graph.nodes = [Node(op, ("x",), ("y",), attributes, "pool")]
    infer(graph)
    content = bytes(content_of(graph))
    assert f"onnx.{op}".encode() in content
    pool = read_content(content, "volumes").nodes[0]
    assert pool.op == op and dict(pool.attributes).items() >= attributes.items()
