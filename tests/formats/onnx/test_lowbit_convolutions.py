"""Convolution as ONNX: any runtime gives the reference's codes, and the file reads back equal."""

import numpy as np
import pytest

from lowbit.errors import ModelFormatError
from lowbit.formats.onnx import from_proto, to_proto
from lowbit.ir import Graph, Node, Value, evaluate, infer, to_text
from lowbit.quantization import Plan, quantize
from lowbit.schemes import Affine
from tests.formats.onnx.test_lowbit_files import assert_runs_and_reads_back, exposed, run_onnxruntime, samples
from tests.ir.networks import Convolution, lowbit_convnet

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

GEOMETRIES = {
    "same": Convolution(5),
    "valid": Convolution(5, pads=(0, 0, 0, 0)),
    "stride": Convolution(5, strides=(2, 1), pads=(0, 1, 1, 2)),
    "dilated": Convolution(5, dilations=(2, 1), pads=(2, 1, 2, 1)),
    "groups": Convolution(6, group=3),
    "depthwise": Convolution(6, group=6),
    "pointwise": Convolution(33, kernel=(1, 1), pads=(0, 0, 0, 0)),
}


@pytest.mark.parametrize("case", GEOMETRIES)
@pytest.mark.parametrize("weight_offset", [False, True])
def test_every_geometry(case: str, weight_offset: bool) -> None:
    layers = (GEOMETRIES[case], Convolution(3))
    assert_runs_and_reads_back(lowbit_convnet((6, 7, 8), layers, 2, 3, weight_offset=weight_offset))


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 63, 65])
def test_every_number_of_channels(channels: int) -> None:
    layers = (Convolution(channels), Convolution(3))
    graph = lowbit_convnet((channels, 3, 3), layers, 1, 1)
    assert_runs_and_reads_back(graph, also_onnx=channels == 33)


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_codes_pass_pools_and_reshapes(bits: int) -> None:
    """With three bits codes are not in the order of their levels."""
    layers = (Convolution(6, pool=True), Convolution(5, pool=True))
    graph = lowbit_convnet((2, 8, 8), layers, bits, 2, classes=3, seed=1)
    assert_runs_and_reads_back(graph, also_onnx=bits == 3)


@pytest.mark.parametrize("activation", ["none", "relu", "tanh", "sigmoid", "hardtanh"])
def test_every_activation(activation: str) -> None:
    graph = lowbit_convnet((3, 5, 5), (Convolution(4), Convolution(3)), 2, 2, activation=activation)
    assert_runs_and_reads_back(graph)


def test_affine_pixels() -> None:
    graph = lowbit_convnet((3, 6, 6), (Convolution(4), Convolution(3)), 2, 3)
    graph.update("x/codes", encoding=Affine(8, [0.02], [100]))
    assert_runs_and_reads_back(graph)


@pytest.mark.parametrize(
    "plan", [Plan(weight_bits=n, activation_bits=n, restarts=0) for n in (1, 3, 4, 8)], ids=str
)
def test_codes_pass_a_pool_of_the_whole_map(plan: Plan) -> None:
    random, x = np.random.default_rng(3), {"x": np.random.default_rng(4).standard_normal((24, 3, 5, 7), "f4")}
    graph = Graph("whole", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 5, 7))})
    for name, shape in {"w": (6, 3, 3, 3), "b": (6,), "v": (6, 4)}.items():
        graph.add_constant(name, random.standard_normal(shape, "f4"))
    graph.nodes = [
        Node("Conv", ("x", "w", "b"), ("c",), {}, "conv"),
        Node("Relu", ("c",), ("r",), {}, "relu"),
        Node("GlobalMaxPool", ("r",), ("p",), {}, "pool"),
        Node("Flatten", ("p",), ("f",), {}, "flatten"),
        Node("Gemm", ("f", "v"), ("y",), {}, "fc"),
    ]
    infer(graph)
    low, _ = quantize(graph, x["x"], plan)
    (pool,) = (node for node in low.nodes if node.op == "GlobalMaxPool")
    assert low.value(pool.inputs[0]).encoding is not None
    expected = evaluate(low, x)["y"]
    np.testing.assert_array_equal(evaluate(from_proto(to_proto(low)), x)["y"], expected)
    np.testing.assert_allclose(run_onnxruntime(to_proto(low), x)["y"], expected, rtol=1e-5, atol=1e-5)


def test_wide_sums_become_products_of_float64() -> None:
    """Sums beyond 2^24, of which convolutions in float32 lose units."""
    graph = lowbit_convnet((600, 5, 5), (Convolution(1, kernel=(5, 5), pads=(0, 0, 0, 0)),), 2, 4)
    graph.update("x/codes", encoding=Affine(8, [0.02], [128]))
    x = {"x": 9 * np.random.default_rng(0).standard_normal((3, 600, 5, 5), "f4")}
    model = to_proto(graph)
    assert "ConvolutionPlanesToFloats" in {function.name for function in model.functions}
    expected = evaluate(graph, x)["y"]
    np.testing.assert_array_equal(run_onnxruntime(model, x)["y"], expected)
    np.testing.assert_array_equal(evaluate(from_proto(model), x)["y"], expected)


def test_a_damaged_shape_is_refused() -> None:
    model = to_proto(lowbit_convnet((3, 5, 5), (Convolution(4),)))
    for attribute in model.graph.node[1].attribute:
        if attribute.name == "weights_shape":
            attribute.ints[1] = 2
    with pytest.raises(ModelFormatError, match="weights_shape"):
        from_proto(model)


def test_an_open_batch_stays_open() -> None:
    graph = lowbit_convnet((3, 5, 5), (Convolution(4),))
    again = from_proto(to_proto(graph))
    assert again.value("x").shape == ("n", 3, 5, 5) and to_text(again) == to_text(graph)
    x = samples(graph, 3)
    found = run_onnxruntime(exposed(graph), x)["y"]
    np.testing.assert_allclose(found, evaluate(graph, x)["y"], rtol=1e-5, atol=1e-5)


def affine_convnet(layer: Convolution, *, coded: bool = True, zero_points: tuple[int, ...] = (128,)) -> Graph:
    """Return Encode, Convolution, MaxPool of codes, Decode; or a convolution that gives floats."""
    random, rows = np.random.default_rng(0), (layer.outputs, *layer.kernel, 6 // layer.group)
    graph = Graph("affine", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 6, 7, 8))})
    graph.add(Value("q", "code", (), None, Affine(8, [0.02], [100])))
    points = np.resize(zero_points, layer.outputs)
    weights = Affine(8, random.uniform(0.01, 0.02, layer.outputs), points)
    graph.add(Value("w", "code", rows, random.integers(0, 256, rows).astype(np.uint8), weights))
    graph.add_constant("b", random.integers(-5000, 5000, layer.outputs), "int32")
    attributes = {key: item for key, item in layer.attributes("none").items() if key != "activation"}
    graph.nodes = [
        Node("Encode", ("x",), ("q",), {}, "encode", "lowbit"),
        Node("Convolution", ("q", "w", "b"), ("c" if coded else "y",), attributes, "conv", "lowbit"),
    ]
    if coded:
        for name in ("c", "p"):
            graph.add(Value(name, "code", (), None, Affine(8, [0.05], [90])))
        size = {"kernel_shape": (2, 2), "strides": (2, 2)}
        graph.nodes.append(Node("MaxPool", ("c",), ("p",), size, "pool"))
        graph.nodes.append(Node("Decode", ("p",), ("y",), {}, "decode", "lowbit"))
    infer(graph)
    return graph


@pytest.mark.parametrize("case", ["same", "stride", "dilated", "groups", "depthwise"])
@pytest.mark.parametrize("coded", [False, True])
def test_8_bit_convolutions(case: str, coded: bool) -> None:
    assert_runs_and_reads_back(affine_convnet(GEOMETRIES[case], coded=coded))


@pytest.mark.parametrize("case", ["same", "stride", "groups"])
@pytest.mark.parametrize("coded", [False, True])
def test_zero_points_may_differ_by_output(case: str, coded: bool) -> None:
    graph = affine_convnet(GEOMETRIES[case], coded=coded, zero_points=(128, 127, 0, 255))
    assert_runs_and_reads_back(graph)
