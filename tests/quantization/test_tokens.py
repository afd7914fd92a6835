"""Layers of tokens: products of rows of any rank with a constant matrix are quantized as any layer is."""

import numpy as np
import pytest

import lowbit
from lowbit.engine import Program
from lowbit.errors import DataError
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.layers import layers_of
from lowbit.quantization import Plan, quantize


def network(shape: tuple[int, ...]) -> Graph:
    """Return fc1, an activation, fc2 beside it as a residual, a product of two activations, and a head."""
    random, width = np.random.default_rng(0), shape[-1]
    graph = Graph("tokens", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    for name, sizes in (("w1", (width, 12)), ("w2", (12, width)), ("w3", (width, 5))):
        graph.add_constant(name, random.normal(size=sizes) / np.sqrt(sizes[0]))
    graph.add_constant("b1", random.normal(size=12))
    graph.add_constant("b3", random.normal(size=5))
    graph.nodes = [
        Node("MatMul", ("x", "w1"), ("m1",), {}, "fc1"),
        Node("Add", ("b1", "m1"), ("a1",), {}, "bias1"),
        Node("Relu", ("a1",), ("h1",), {}, "act1"),
        Node("MatMul", ("h1", "w2"), ("m2",), {}, "fc2"),
        Node("Add", ("m2", "x"), ("sum",), {}, "residual"),
        Node("Mul", ("sum", "x"), ("gated",), {}, "gate"),
        Node("MatMul", ("gated", "w3"), ("m3",), {}, "head"),
        Node("Add", ("m3", "b3"), ("y",), {}, "bias3"),
    ]
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("shape", [(7, 8), (3, 4, 8)], ids=["rows", "maps"])
@pytest.mark.parametrize(
    ("plan", "least"),
    [
        (Plan("affine:8", "affine:8"), 30),
        (Plan("lq:4", "affine:8"), 15),
        (Plan("lq:2", "lq:2"), 3),
        (Plan("affine:8", "float"), 35),
    ],
    ids=str,
)
def test_they_get_low_bits_and_give_the_same_integers_everywhere(tmp_path, shape, plan, least):
    graph = network(shape)
    samples = np.random.default_rng(1).normal(size=(200, *shape)).astype(np.float32)
    low, report = quantize(graph, samples, plan)
    assert [layer.name for layer in report.layers] == ["fc1", "fc2", "head"]
    assert {layer.scheme for layer in layers_of(low) if layer.weight_bits < 32} == {plan.scheme}
    exact, found = evaluate(graph, {"x": samples})["y"], evaluate(low, {"x": samples})["y"]
    assert 10 * np.log10((exact**2).sum() / ((exact - found) ** 2).sum()) > least
    np.testing.assert_allclose(Program(low).run(samples), found, rtol=1e-5, atol=1e-5)
    for suffix in ("circle", "onnx"):
        write_model(low, tmp_path / f"net.{suffix}")
        again = evaluate(read_model(tmp_path / f"net.{suffix}"), {"x": samples})
        np.testing.assert_allclose(next(iter(again.values())), found, rtol=1e-5, atol=1e-5)


def test_a_layer_that_is_kept_stays_float():
    graph = network((7, 8))
    samples = np.random.default_rng(1).normal(size=(64, 7, 8)).astype(np.float32)
    plan = Plan("lq:4", "affine:8", layers={"head": {"weights": "float", "activations": "float"}})
    low, report = quantize(graph, samples, plan)
    assert [layer.name for layer in report.layers] == ["fc1", "fc2"]
    assert any(layer.scheme == "float" for layer in layers_of(low))


@pytest.mark.parametrize("by_name", [True, False])
def test_a_network_of_several_inputs_is_calibrated(by_name):
    graph = network((7, 8))
    graph.inputs = ("x", "m")
    graph.add(Value("m", "float32", ("n", 7, 1)))
    index = next(index for index, node in enumerate(graph.nodes) if node.name == "gate")
    graph.nodes[index] = Node("Mul", ("sum", "m"), ("gated",), {}, "gate")
    infer(graph)
    random = np.random.default_rng(2)
    x = random.normal(size=(300, 7, 8)).astype(np.float32)
    mask = (random.random((300, 7, 1)) < 0.8).astype(np.float32)
    low, report = lowbit.quantize(graph, {"m": mask, "x": x} if by_name else (x, mask), bits=8)
    assert report.checked and report.output_snr_db > 30
    assert len(report.layers) == 3 and low.inputs == ("x", "m")
    with pytest.raises(DataError, match="an array for each input: x, m"):
        lowbit.quantize(graph, {"x": x}, bits=8)
