"""Passes of convolutional networks: each keeps the function, and refuses what would change it."""

from collections.abc import Sequence

import numpy as np
import pytest

from lowbit.errors import NumericError
from lowbit.ir import Graph, Node, Value, evaluate, infer, run_passes, verify
from lowbit.ir.graph import Attribute
from lowbit.ir.passes import (
    NORMAL_FORM,
    Pass,
    fold_batchnorm,
    fold_pads,
    is_convolution,
    order_pools,
    split_batchnorm,
)
from tests.ir.networks import float_convnet

RANDOM = np.random.default_rng(0)
CHANNELS = 3


def network(
    *steps: tuple[str, tuple[np.ndarray, ...], dict[str, Attribute]], channels: int = CHANNELS
) -> Graph:
    """Return a chain of operators from ``x [n, channels, 7, 6]`` to ``y``; constants follow the data."""
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", channels, 7, 6))})
    current = "x"
    for index, (op, constants, attributes) in enumerate(steps):
        names = [
            graph.add_constant(f"c{index}_{number}", array, "int64" if array.dtype.kind == "i" else "float32")
            for number, array in enumerate(constants)
        ]
        output = "y" if index == len(steps) - 1 else f"v{index}"
        graph.nodes.append(Node(op, (current, *names), (output,), attributes, f"{op}{index}"))
        current = output
    infer(graph)
    verify(graph)
    return graph


def conv(outputs: int = CHANNELS, bias: bool = True, **attributes: Attribute) -> tuple:
    weights = RANDOM.normal(size=(outputs, CHANNELS, 3, 3))
    return "Conv", (weights, RANDOM.normal(size=outputs)) if bias else (weights,), attributes


def norm(channels: int = CHANNELS, positive: bool = False) -> tuple:
    scale = RANDOM.uniform(0.5, 2, channels) * (1 if positive else np.where(np.arange(channels) % 2, -1, 1))
    mean, shift = RANDOM.normal(size=(2, channels))
    return "BatchNormalization", (scale, shift, mean, RANDOM.uniform(0.1, 2, channels)), {"epsilon": 1e-3}


def pad(*edges: int, value: float = 0.0, mode: str = "constant") -> tuple:
    """Return a Pad by top, left, bottom, right."""
    pads = np.array([0, 0, *edges[:2], 0, 0, *edges[2:]], np.int64)
    return "Pad", (pads, np.array(value)), {"mode": mode}


RELU = ("Relu", (), {})
POOL = ("MaxPool", (), {"kernel_shape": (2, 2), "strides": (2, 2)})


def ops_after(graph: Graph, passes: Sequence[Pass]) -> list[str]:
    """Return the operators after passes that must not change the function."""
    after = run_passes(graph, passes).graph
    x = np.random.default_rng(1).normal(size=(2, *graph.value("x").shape[1:])).astype(np.float32)
    before, found = (evaluate(one, {"x": x})[graph.outputs[0]] for one in (graph, after))
    np.testing.assert_allclose(found, before, rtol=1e-5, atol=1e-5)
    return [node.op for node in after.nodes]


@pytest.mark.parametrize("bias", [False, True])
def test_normalization_goes_into_the_convolution(bias: bool) -> None:
    graph = network(conv(5, bias, pads=(1, 1, 1, 1)), norm(5), RELU)
    assert ops_after(graph, [fold_batchnorm]) == ["Conv", "Relu"]
    folded = run_passes(graph, [fold_batchnorm]).graph
    assert is_convolution(folded, folded.nodes[0]) and folded.nodes[0].name == "Conv0"


def test_normalization_goes_into_a_matrix_product() -> None:
    flat = 3 * 7 * 6
    layer = ("Gemm", (RANDOM.normal(size=(4, flat)), RANDOM.normal(size=4)), {"transB": 1})
    assert ops_after(network(("Flatten", (), {}), layer, norm(4)), [fold_batchnorm]) == ["Flatten", "Gemm"]


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 1, 1), (1,), ()])
def test_constants_per_channel_go_into_the_convolution(shape: tuple[int, ...]) -> None:
    constants = [RANDOM.uniform(0.5, 2, shape) for _ in range(4)]
    steps = [(op, (array,), {}) for op, array in zip(("Mul", "Add", "Sub", "Div"), constants, strict=True)]
    assert ops_after(network(conv(), *steps), [fold_batchnorm]) == ["Conv"]


@pytest.mark.parametrize("shape", [(6,), (7, 1), (3, 7, 6)])
def test_constants_along_other_axes_stay(shape: tuple[int, ...]) -> None:
    graph = network(conv(pads=(1, 1, 1, 1)), ("Mul", (RANDOM.normal(size=shape),), {}))
    assert ops_after(graph, [fold_batchnorm]) == ["Conv", "Mul"]


def test_a_layer_that_is_read_twice_keeps_its_weights() -> None:
    graph = network(conv(), norm())
    graph.outputs = ("y", "v0")
    assert [node.op for node in run_passes(graph, [fold_batchnorm]).graph.nodes] == [
        "Conv",
        "BatchNormalization",
    ]


def test_normalization_that_stands_alone_becomes_arithmetic() -> None:
    assert ops_after(network(norm(), RELU), [fold_batchnorm, split_batchnorm]) == ["Mul", "Add", "Relu"]


def test_a_variance_that_is_not_positive_is_refused() -> None:
    op, (scale, shift, mean, variance), attributes = norm()
    with pytest.raises(NumericError, match=r"a variance is not positive.*channel 1"):
        bad = np.where(np.arange(CHANNELS) == 1, -1.0, variance)
        run_passes(network(conv(), (op, (scale, shift, mean, bad), attributes)), [fold_batchnorm])


def test_zeros_go_into_the_convolution() -> None:
    graph = network(pad(0, 1, 2, 3), conv(pads=(1, 0, 0, 1)))
    assert ops_after(graph, [fold_pads]) == ["Conv"]
    assert run_passes(graph, [fold_pads]).graph.nodes[0].attributes["pads"] == (1, 1, 2, 4)


@pytest.mark.parametrize(
    "padding", [pad(1, 1, 1, 1, value=0.5), pad(1, 1, 1, 1, mode="edge"), pad(-1, 0, 0, 0)]
)
def test_other_padding_stays(padding: tuple) -> None:
    assert ops_after(network(padding, conv()), [fold_pads]) == ["Pad", "Conv"]


def test_zeros_of_channels_stay() -> None:
    channels = ("Pad", (np.array([0, 1, 0, 0, 0, 0, 0, 0], np.int64),), {})
    assert ops_after(network(channels, conv(), channels=2), [fold_pads]) == ["Pad", "Conv"]


def test_zeros_before_a_mean_are_counted() -> None:
    pool = ("AveragePool", (), {"kernel_shape": (3, 3)})
    graph = network(pad(1, 1, 1, 1), pool)
    assert ops_after(graph, [fold_pads]) == ["AveragePool"]
    own = ("AveragePool", (), {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)})
    assert ops_after(network(pad(1, 1, 1, 1), own), [fold_pads]) == ["Pad", "AveragePool"]
    counted = ("AveragePool", (), {**own[2], "count_include_pad": 1})
    assert ops_after(network(pad(1, 1, 1, 1), counted), [fold_pads]) == ["AveragePool"]


def test_zeros_before_a_maximum_need_a_map_without_negatives() -> None:
    pool = ("MaxPool", (), {"kernel_shape": (2, 2)})
    assert ops_after(network(pad(1, 1, 0, 0), pool), [fold_pads]) == ["Pad", "MaxPool"]
    assert ops_after(network(RELU, pad(1, 1, 0, 0), pool), [fold_pads]) == ["Relu", "MaxPool"]
    assert ops_after(network(RELU, pad(2, 1, 0, 0), pool), [fold_pads]) == ["Relu", "Pad", "MaxPool"]
    sixes = ("Clip", (np.array(0.0), np.array(6.0)), {})
    assert ops_after(network(sixes, pad(0, 0, 1, 1), pool), [fold_pads]) == ["Clip", "MaxPool"]
    ones = ("Clip", (np.array(-1.0), np.array(1.0)), {})
    assert ops_after(network(ones, pad(0, 0, 1, 1), pool), [fold_pads]) == ["Clip", "Pad", "MaxPool"]


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("Relu", {}),
        ("Tanh", {}),
        ("Sigmoid", {}),
        ("Sign", {}),
        ("LeakyRelu", {"alpha": 0.1}),
        ("Elu", {}),
        ("HardSigmoid", {}),
    ],
)
def test_monotone_functions_come_before_the_pool(op: str, attributes: dict[str, Attribute]) -> None:
    graph = network(conv(), POOL, (op, (), attributes))
    assert ops_after(graph, [order_pools]) == ["Conv", op, "MaxPool"]


@pytest.mark.parametrize("step", [("HardSwish", (), {}), ("LeakyRelu", (), {"alpha": -0.1}), norm()])
def test_other_functions_stay_behind_the_pool(step: tuple) -> None:
    assert ops_after(network(conv(), POOL, step), [order_pools]) == ["Conv", "MaxPool", step[0]]


def test_a_pool_that_is_read_twice_stays() -> None:
    graph = network(conv(), POOL, RELU)
    graph.outputs = ("y", "v1")
    assert [node.op for node in run_passes(graph, [order_pools]).graph.nodes] == ["Conv", "MaxPool", "Relu"]


def test_a_whole_network_in_normal_form() -> None:
    found = ops_after(float_convnet(), NORMAL_FORM)
    assert "Pad" not in found and "BatchNormalization" not in found
    assert found[:3] == ["Conv", "Relu", "MaxPool"]


def test_normal_form() -> None:
    steps = [pad(1, 1, 1, 1), conv(5), POOL, norm(5, positive=True), ("GlobalMaxPool", (), {}), RELU]
    assert ops_after(network(*steps), NORMAL_FORM) == ["Conv", "Relu", "MaxPool", "GlobalMaxPool"]
