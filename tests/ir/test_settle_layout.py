"""Networks that keep channels last lose their transpositions, and compute what they did."""

import numpy as np
import pytest

from lowbit.engine import Program
from lowbit.errors import LowbitError
from lowbit.formats.onnx.reader import from_proto
from lowbit.ir import Graph, Node, Value, evaluate, infer, run_passes, verify
from lowbit.ir.passes import ENGINE_FORM, MAP_FORM, lines_to_maps, settle_layout
from lowbit.ir.passes.arrangement import composed, plain, regrouped, transposed
from lowbit.quantization import Plan, quantize
from tests.conformance.odd_graphs.families import draw
from tests.ir.channels_last import TO_NCHW, TO_NHWC, channels_last, samples

SEEDS = range(10)
PLANS = {
    "lq:2": Plan(weight_bits=2, activation_bits=2),
    "affine:8": Plan(scheme="affine", weight_bits=8, activation_bits=8),
    "pow2:4": Plan(scheme="pow2", weight_bits=4, activation_bits=4),
}


def counted(graph: Graph, op: str) -> int:
    return sum(node.op == op for node in graph.nodes)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_transposition_is_left_at_the_input(seed: int, lines: bool) -> None:
    graph = channels_last(seed, lines=lines)
    settled = run_passes(graph, ENGINE_FORM).graph
    x = samples(graph, 3, seed)
    (before,), (after,) = (evaluate(g, {"x": x}).values() for g in (graph, settled))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    assert settled.inputs == graph.inputs and settled.outputs == graph.outputs
    assert settled.value("x").shape == graph.value("x").shape, "the input keeps its declared shape"
    moved = [node for node in settled.nodes if node.op == "Transpose"]
    assert all(node.inputs == ("x",) for node in moved) and len(moved) <= 1
    assert counted(settled, "Squeeze") == counted(settled, "Unsqueeze") == 0
    assert run_passes(settled, MAP_FORM).modified == (), "settled is settled"
    np.testing.assert_allclose(Program(graph).run(x), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("scheme", PLANS)
def test_every_layer_is_quantized_and_runs(scheme: str, lines: bool) -> None:
    for seed in range(2):
        graph = channels_last(seed, lines=lines)
        low, report = quantize(graph, samples(graph, 64), PLANS[scheme])
        layers = counted(graph, "Conv") + counted(graph, "MatMul")
        assert len(report.layers) == layers and counted(low, "Conv") == counted(low, "Gemm") == 0
        x = samples(graph, 4, 9)
        (expected,) = evaluate(low, {"x": x}).values()
        np.testing.assert_allclose(Program(low).run(x), expected, rtol=1e-4, atol=1e-4)


def test_a_transposed_output_gets_its_layout_back() -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 4, 5))})
    graph.nodes = [
        Node("Relu", ("x",), ("r",), {}, "r"),
        Node("Transpose", ("r",), ("t",), {"perm": TO_NHWC}, "t"),
        Node("Sigmoid", ("t",), ("y",), {}, "y"),
    ]
    infer(graph)
    settled = run_passes(graph, [settle_layout]).graph
    assert [node.op for node in settled.nodes] == ["Relu", "Sigmoid", "Transpose"]
    x = samples(graph, 2)
    np.testing.assert_array_equal(evaluate(settled, {"x": x})["y"], evaluate(graph, {"x": x})["y"])
    np.testing.assert_allclose(Program(graph).run(x), evaluate(graph, {"x": x})["y"], rtol=1e-6)


def test_there_and_back_leaves_nothing_and_keeps_names() -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 4, 5))})
    graph.nodes = [
        Node("Relu", ("x",), ("r",), {}, "r"),
        Node("Transpose", ("r",), ("t",), {"perm": TO_NHWC}, "t"),
        Node("Transpose", ("t",), ("u",), {"perm": TO_NCHW}, "u"),
        Node("GlobalMaxPool", ("u",), ("y",), {}, "pool"),
    ]
    infer(graph)
    settled = run_passes(graph, [settle_layout]).graph
    assert [(node.name, node.inputs) for node in settled.nodes] == [("r", ("x",)), ("pool", ("r",))]


def test_what_needs_another_layout_keeps_its_transposition() -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 4))})
    graph.add_constant("w", np.ones((3, 2)))
    graph.nodes = [
        Node("Relu", ("x",), ("r",), {}, "r"),
        Node("Transpose", ("r",), ("t",), {"perm": (0, 2, 1)}, "t"),
        Node("MatMul", ("t", "w"), ("y",), {}, "y"),
    ]
    infer(graph)
    assert run_passes(graph, [settle_layout]).modified == ()


def test_pads_before_a_transposition_come_behind_it() -> None:
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 5, 6, 3))})
    graph.add_constant("pads", [0, 1, 0, 0, 0, 2, 1, 0], "int64")
    graph.add_constant("w", np.random.default_rng(0).normal(size=(4, 3, 3, 3)))
    graph.nodes = [
        Node("Pad", ("x", "pads"), ("p",), {}, "p"),
        Node("Transpose", ("p",), ("t",), {"perm": TO_NCHW}, "t"),
        Node("Conv", ("t", "w"), ("c",), {}, "c"),
        Node("Flatten", ("c",), ("y",), {}, "y"),
    ]
    infer(graph)
    settled = run_passes(graph, ENGINE_FORM).graph
    assert [node.op for node in settled.nodes] == ["Transpose", "Conv", "Flatten"]
    assert settled.nodes[1].attributes["pads"] == (1, 0, 2, 1)
    x = samples(graph, 2)
    expected = evaluate(graph, {"x": x})["y"]
    np.testing.assert_allclose(evaluate(settled, {"x": x})["y"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(Program(graph).run(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "BatchNormalization"])
def test_lines_become_maps_of_height_one(op: str) -> None:
    random = np.random.default_rng(1)
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 4, 9))})
    names = {"Conv": {"w": (6, 2, 3), "b": (6,)}, "BatchNormalization": dict.fromkeys("sbmv", (4,))}.get(
        op, {}
    )
    inputs = [graph.add_constant(name, random.uniform(0.5, 1, shape)) for name, shape in names.items()]
    window = {"pads": (1, 0), "strides": (2,)}
    attributes = {
        "Conv": {**window, "dilations": (2,), "group": 2},
        "MaxPool": {**window, "kernel_shape": (3,)},
    }
    attributes["AveragePool"] = {"kernel_shape": (3,), "pads": (1, 1), "count_include_pad": 1}
    graph.nodes = [Node(op, ("x", *inputs), ("y",), attributes.get(op, {}), "op")]
    infer(graph)
    verify(graph)
    maps = run_passes(graph, [lines_to_maps]).graph
    assert [node.op for node in maps.nodes] == ["Unsqueeze", op, "Squeeze"]
    x = random.normal(size=(2, 4, 9)).astype(np.float32)
    np.testing.assert_array_equal(evaluate(maps, {"x": x})["y"], evaluate(graph, {"x": x})["y"])


def test_arrangements() -> None:
    source = ("n", 2, 3, 4)
    last = transposed(plain(4), TO_NHWC)
    assert last == ((0,), (2,), (3,), (1,))
    flat = regrouped(last, source, ("n", 24))
    assert flat == ((0,), (2, 3, 1))
    assert regrouped(flat, source, ("n", 3, 1, 8)) == ((0,), (2,), (), (3, 1))
    assert regrouped(flat, source, ("n", 4, 6)) is None, "that would split an axis"
    assert regrouped(flat, source, (24, "n")) is None
    assert regrouped(plain(4), ("n", 2, 1, 1), ("n", 2)) == ((0,), (1, 2, 3))
    assert composed(last, last, source, source) == plain(4)
    assert composed(plain(4), last, ("n", 3, 4, 2), source) == ((0,), (3,), (1,), (2,))
    assert composed(plain(2), flat, ("n", 24), source) is None, "that would split an axis"


@pytest.mark.parametrize("seed", [*range(20), 21001970])
@pytest.mark.parametrize("family", ["transposed", "flatten", "dense"])
def test_a_value_that_keeps_its_name_keeps_its_meaning(family: str, seed: int) -> None:
    pytest.importorskip("onnxruntime")
    drawn = draw(family, seed)
    if drawn is None:
        pytest.skip("no network")
    try:
        graph = from_proto(drawn.model)
    except LowbitError:
        pytest.skip("refused by name")
    settled = run_passes(graph, MAP_FORM).graph
    random = np.random.default_rng(seed)
    shapes = [[n if isinstance(n, int) else 2 for n in graph.value(name).shape] for name in graph.inputs]
    x = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in zip(graph.inputs, shapes, strict=True)
    }
    seen: list[dict[str, np.ndarray]] = []
    for network in (graph, settled):
        seen.append({})
        evaluate(network, x, seen[-1].__setitem__)
    before, after = seen
    for name in before.keys() & after.keys():
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-5, err_msg=name)
