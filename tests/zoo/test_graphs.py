"""Graphs of the zoo: what they compute, that they are the same every time, and that files keep them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lowbit.backends.onnxruntime import session
from lowbit.errors import GraphError, UnsupportedError
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, evaluate
from lowbit.planes import unpack
from lowbit.schemes import LearnedBasis
from lowbit.zoo import NETWORKS, binary_graph, float_graph, parameter_count, random_weights
from lowbit.zoo.architecture import (
    Activation,
    Architecture,
    BatchNormalization,
    Convolution,
    Flatten,
    Linear,
    SeparableTransform,
)
from lowbit.zoo.binary_graph import PIXEL

SMALL = [name for name in NETWORKS if parameter_count(NETWORKS[name]) < 600_000 or name == "cnv"]


BINARY = [name for name in NETWORKS if "lst" not in name]


def pictures(name: str, count: int = 2, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return samples in [0, 1]."""
    return np.random.default_rng(seed).random((count, *NETWORKS[name].input_shape), np.float32)


@pytest.mark.parametrize(
    ("name", "build"), [(name, float_graph) for name in NETWORKS] + [(name, binary_graph) for name in BINARY]
)
def test_every_network_runs(name: str, build: object) -> None:
    graph = build(NETWORKS[name])  # type: ignore[operator]
    logits = evaluate(graph, {"x": pictures(name)})["logits"]
    assert logits.shape == (2, 10) and np.isfinite(logits).all()
    assert 0.1 < logits.std() < 100  # signals neither vanish nor grow
    assert graph.value("x").shape[0] == "n"


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in BINARY])
def test_layers_of_rows_have_no_binary_form(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{name}-binary/fc1"):
        binary_graph(NETWORKS[name])


def test_the_separable_transform_is_its_formula() -> None:
    description = Architecture("lst", (7, 5), (SeparableTransform(3),))
    weights, x = random_weights(description, seed=4), np.random.default_rng(1).normal(size=(2, 7, 5))
    found = evaluate(float_graph(description, weights), {"x": x.astype(np.float32)})["logits"]
    rows = np.tanh(x @ weights["fc1.weight"].T + weights["fc1.bias"])
    columns = np.tanh(rows.transpose(0, 2, 1) @ weights["fc2.weight"].T + weights["fc2.bias"])
    np.testing.assert_allclose(found, columns.transpose(0, 2, 1), atol=1e-5)


@pytest.mark.parametrize("name", BINARY)
def test_a_binary_network_has_only_binary_layers(name: str) -> None:
    graph = binary_graph(NETWORKS[name])
    layers = [node for node in graph.nodes if node.op in ("Convolution", "Linear")]
    described = [key for key, array in random_weights(NETWORKS[name]).items() if array.ndim > 1]
    assert len(layers) == len(described)
    assert not any(node.op in ("Conv", "Gemm", "Relu", "Tanh") for node in graph.nodes)
    bits = [graph.value(node.inputs[0]).encoding.bits for node in layers]  # type: ignore[union-attr]
    assert bits == [8] + [1] * (len(layers) - 1)
    assert all(graph.value(node.inputs[1]).encoding.bits == 1 for node in layers)  # type: ignore[union-attr]


@pytest.mark.parametrize("build", [float_graph, binary_graph])
def test_a_seed_gives_the_same_graph(build: object) -> None:
    first, again, other = (build(NETWORKS["lenet"], seed=seed) for seed in (3, 3, 4))  # type: ignore[operator]
    assert constants(first) == constants(again) != constants(other)


def constants(graph: Graph) -> dict[str, bytes]:
    """Return every constant's bytes."""
    return {name: value.data.tobytes() for name, value in graph.values.items() if value.data is not None}


@pytest.mark.parametrize("suffix", [".onnx", ".txt"])
@pytest.mark.parametrize("name", SMALL)
def test_files_keep_the_float_network(name: str, suffix: str, tmp_path: Path) -> None:
    graph, x = float_graph(NETWORKS[name]), pictures(name)
    write_model(graph, tmp_path / f"net{suffix}")
    back = read_model(tmp_path / f"net{suffix}")
    wanted = evaluate(graph, {"x": x})["logits"]
    # Readers fold constants, so the last bit may differ.
    np.testing.assert_allclose(evaluate(back, {"x": x})["logits"], wanted, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("suffix", [".txt", ".circle", ".onnx"])
@pytest.mark.parametrize("name", sorted({*SMALL} & {*BINARY}))
def test_files_keep_the_binary_network_exactly(name: str, suffix: str, tmp_path: Path) -> None:
    graph, x = binary_graph(NETWORKS[name]), pictures(name)
    write_model(graph, tmp_path / f"net{suffix}")
    back = read_model(tmp_path / f"net{suffix}")
    found = evaluate(back, {back.inputs[0]: x})[back.outputs[0]]
    np.testing.assert_array_equal(found, evaluate(graph, {"x": x})["logits"])


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_agrees_on_the_float_network(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph, x = float_graph(NETWORKS[name]), pictures(name, count=1)
    write_model(graph, tmp_path / "net.onnx")
    wanted = evaluate(graph, {"x": x})["logits"]
    found = session(tmp_path / "net.onnx").run(None, {"x": x})[0]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("name", sorted({*SMALL} & {*BINARY}))
def test_onnxruntime_agrees_on_the_binary_network(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph, x = binary_graph(NETWORKS[name]), pictures(name, count=1)
    write_model(graph, tmp_path / "net.onnx")
    ready = session(tmp_path / "net.onnx")
    found = ready.run(None, {ready.get_inputs()[0].name: x})[0]
    np.testing.assert_allclose(found, evaluate(graph, {"x": x})["logits"], atol=1e-5)


def test_weights_are_used_and_checked() -> None:
    description = NETWORKS["lenet"]
    weights = random_weights(description, seed=5)
    assert constants(float_graph(description, weights)) == constants(float_graph(description, seed=5))
    with pytest.raises(GraphError, match=r"lenet/fc2\.weight"):
        float_graph(description, weights | {"fc2.weight": np.zeros((3, 3))})
    del weights["conv1.bias"]
    with pytest.raises(GraphError, match=r"lenet/conv1\.bias.*nothing"):
        float_graph(description, weights)


def test_pixels_keep_their_codes() -> None:
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(PIXEL.encode(codes.astype(np.float32) / np.float32(255)), codes)
    np.testing.assert_allclose(PIXEL.decode(codes), codes / 255, atol=1e-7)


# A channel each: usual, a negative factor, a factor of zero.
NORM = {
    "norm1.weight": np.array([0.7, -1.3, 0.0]),
    "norm1.bias": np.array([0.2, -0.1, 0.4]),
    "norm1.running_mean": np.array([0.5, -0.3, 0.1]),
    "norm1.running_var": np.array([0.9, 1.4, 1.0]),
}


def test_normalization_and_sign_are_folded_exactly() -> None:
    """The folded network against the formula: binary weights, convolution, normalization, sign, product."""
    layers = (
        *(Convolution(3, padding=1, bias=True), BatchNormalization(), Activation()),
        *(Flatten(), Linear(4)),
    )
    description = Architecture("one", (2, 5, 5), layers)
    weights = random_weights(description, seed=2) | NORM
    x = np.random.default_rng(1).integers(0, 256, (6, 2, 5, 5)) / 255
    graph = binary_graph(description, weights)
    found = evaluate(graph, {"x": x.astype(np.float32)})["logits"]

    signs = np.where(_convolved(x, _binarized(weights["conv1.weight"]), weights) >= 0, 1.0, -1.0)
    wanted = signs.reshape(6, -1) @ _binarized(weights["fc1.weight"]).T + weights["fc1.bias"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def _binarized(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    size = np.abs(weight.astype(np.float64)).reshape(len(weight), -1).mean(axis=1)
    return np.where(weight >= 0, 1.0, -1.0) * size.reshape(-1, *[1] * (weight.ndim - 1))


def _convolved(
    x: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], given: dict[str, npt.NDArray[np.float32]]
) -> npt.NDArray[np.float64]:
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    sums = np.einsum("nchwij,ocij->nohw", windows, weight) + given["conv1.bias"][:, None, None]
    gamma, beta, mean, variance = (given[key][:, None, None] for key in NORM)
    return np.asarray((sums - mean) / np.sqrt(variance + 1e-5) * gamma + beta)


def test_zero_is_plus_one() -> None:
    description = Architecture("zero", (2,), (Linear(1), Activation(), Linear(1, bias=False)))
    weights = {"fc1.weight": [[1, -1]], "fc1.bias": [0], "fc2.weight": [[1]]}
    graph = binary_graph(description, weights)
    assert evaluate(graph, {"x": np.array([[0.6, 0.6]], np.float32)})["logits"] == 1


def test_packed_weights_are_the_signs() -> None:
    description = NETWORKS["lenet"]
    weights = random_weights(description)
    value = binary_graph(description, weights).value("conv2.weight")
    assert value.shape == (16, 5, 5, 6) and value.data is not None
    assert isinstance(value.encoding, LearnedBasis)
    bits = unpack(np.asarray(value.data, np.uint32), 150).reshape(16, 5, 5, 6)
    np.testing.assert_array_equal(bits, weights["conv2.weight"].transpose(0, 2, 3, 1) >= 0)
