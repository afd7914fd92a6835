"""A module and its graph give the same codes: in torch, the reference, the engine, and ONNX Runtime."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from lowbit.backends.onnxruntime import session  # noqa: E402
from lowbit.engine import Program  # noqa: E402
from lowbit.errors import UnsupportedError  # noqa: E402
from lowbit.formats import read_model, write_model  # noqa: E402
from lowbit.ir import Graph, evaluate  # noqa: E402
from lowbit.nn import Conv2d, LayerPlan, Linear, Network, Plan, reestimate_batchnorm, to_graph  # noqa: E402
from lowbit.zoo import NETWORKS, float_graph, random_weights  # noqa: E402

Floats = npt.NDArray[np.float32]


def trained_like(model: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Return the model in eval mode, with statistics that fit and normalizations of either sign."""
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias, 0, 0.3)
    reestimate_batchnorm(model, [torch.rand(20, *shape)])
    return model.eval()


def logits_of(model: nn.Module, x: Floats) -> Floats:
    with torch.no_grad():
        return np.asarray(model(torch.from_numpy(x)).numpy())


def graphs_of(graph: Graph, x: Floats, folder: Path) -> Iterator[tuple[str, Floats]]:
    yield "reference", np.asarray(evaluate(graph, {"x": x})["logits"])
    yield "engine", np.asarray(Program(graph).run(x))
    if any(node.op.startswith("Pow2") for node in graph.nodes):
        write_model(graph, folder / "model.circle")  # ONNX does not carry them
        yield "circle", np.asarray(evaluate(read_model(folder / "model.circle"), {"x": x})["logits"])
        return
    write_model(graph, folder / "model.onnx")
    yield "read again", np.asarray(evaluate(read_model(folder / "model.onnx"), {"x": x})["logits"])
    yield "ONNX Runtime", session(folder / "model.onnx").run(None, {"x": x})[0]


def codes_of(graph: Graph, x: Floats) -> dict[str, npt.NDArray[np.generic]]:
    """Return the codes that every low-bit layer reads."""
    readers = {node.inputs[0]: node.name for node in graph.nodes if node.op in ("Convolution", "Linear")}
    found: dict[str, npt.NDArray[np.generic]] = {}

    def observe(name: str, array: npt.NDArray[np.generic]) -> None:
        if name in readers:
            found[readers[name]] = array

    evaluate(graph, {"x": x}, observe)
    return found


def torch_codes(model: nn.Module, x: Floats) -> dict[str, npt.NDArray[np.generic]]:
    """Return the ranks of what every quantized layer reads."""
    found: dict[str, npt.NDArray[np.generic]] = {}

    def hook(name: str, layer: Conv2d | Linear) -> None:
        def before(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            steps = torch.from_numpy(layer.input_quantizer.thresholds())
            found[name] = torch.bucketize(inputs[0], steps).numpy()

        layer.register_forward_pre_hook(before)

    for name, module in model.named_modules():
        if isinstance(module, Conv2d | Linear) and module.input_quantizer is not None:
            hook(name, module)
    logits_of(model, x)
    return found


@pytest.mark.parametrize(
    ("name", "before"),
    [
        *((name, "identity") for name in ("lenet", "alexnet-fashion", "densenet-fashion")),
        *((name, before) for name in ("vgg-fashion", "resnet20-fashion") for before in ("hardtanh", "prelu")),
    ],
)
def test_binary_networks_give_the_same_codes(name: str, before: str, tmp_path: Path) -> None:
    architecture = NETWORKS[name]
    binary = LayerPlan("binary", "binary", before_sign=before)
    model = Network(architecture, Plan({"*": binary, "first": LayerPlan(), "last": LayerPlan()}))
    model = trained_like(model, architecture.input_shape)
    graph = to_graph(model, architecture.input_shape)
    x = np.random.default_rng(0).random((4, *architecture.input_shape), np.float32)
    wanted, codes = logits_of(model, x), torch_codes(model, x)
    for layer, array in codes_of(graph, x).items():
        assert (array == codes[layer]).all(), layer
    for backend, found in graphs_of(graph, x, tmp_path):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max(), err_msg=backend)
        assert (found.argmax(1) == wanted.argmax(1)).all()


@pytest.mark.parametrize(
    "name", ["mlp", "vgg-fashion", "resnet20-fashion", "densenet-fashion", "lst2", "reslst"]
)
def test_float_networks_become_the_zoo_s_graph(name: str) -> None:
    architecture, weights = NETWORKS[name], random_weights(NETWORKS[name], seed=1)
    model = Network(architecture).train()
    model.load_state_dict({key: torch.from_numpy(array) for key, array in weights.items()}, strict=False)
    graph = to_graph(model, architecture.input_shape)
    assert model.training
    wanted = float_graph(architecture, weights)
    assert [node.op for node in graph.nodes] == [node.op for node in wanted.nodes]
    assert {key for key in wanted.values if "." in key and wanted.values[key].data is not None} == {
        key for key, value in graph.values.items() if value.data is not None
    }
    x = np.random.default_rng(0).random((2, *architecture.input_shape), np.float32)
    np.testing.assert_array_equal(evaluate(graph, {"x": x})["logits"], evaluate(wanted, {"x": x})["logits"])


def test_a_tie_at_zero_is_plus_one_behind_a_layer_too(tmp_path: Path) -> None:
    model = nn.Sequential(
        Linear(2, 3, bias=False, weight="binary", activation="binary", scale="one"),
        Linear(3, 2, weight="binary", activation="binary", scale="one"),
    ).eval()
    graph, x = to_graph(model, (2,)), np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [0, -0.0]], np.float32)
    wanted = logits_of(model, x)
    assert 0 in logits_of(model[0], x)  # sums of two signs: the test is of ties
    for backend, found in graphs_of(graph, x, tmp_path):
        np.testing.assert_array_equal(found, wanted, err_msg=backend)


def test_a_channel_whose_normalization_is_zero_stays_constant(tmp_path: Path) -> None:
    model = nn.Sequential(
        Conv2d(3, 4, 3, padding=1, weight="binary", activation="binary"),
        nn.BatchNorm2d(4),
        Conv2d(4, 2, 3, weight="binary", activation="binary"),
        nn.Flatten(),
    ).eval()
    nn.init.zeros_(model[1].weight)
    model[1].bias.data = torch.tensor([1.0, -1.0, 0.5, -0.5])
    graph, x = to_graph(model, (3, 5, 5)), np.random.default_rng(1).normal(size=(3, 3, 5, 5)).astype("f4")
    wanted = logits_of(model, x)
    for backend, found in graphs_of(graph, x, tmp_path):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=backend)


class _Strange(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "branch":
            return x if x.sum() > 0 else -x
        return torch.special.bessel_j0(x)


@pytest.mark.parametrize(("how", "words"), [("branch", "traced"), ("bessel", "aten.special_bessel_j0")])
def test_what_has_no_graph_says_so(how: str, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        to_graph(_Strange(how), (3,))
