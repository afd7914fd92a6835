"""What quantization makes of residual networks: sums and means of fixed point, or real by a plan."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lowbit.errors import PlanError
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.quantization import Plan, Report, quantize
from lowbit.train.recipe import Recipe

Array = np.ndarray

PLANS = (
    *(Plan(*[f"lq:{bits}"] * 2) for bits in (1, 2, 3, 4)),
    Plan("affine:8", "affine:8"),
    Plan("lq:2", "affine:8", method="rtn"),
    Plan("pow2:3", "affine:8"),
    Plan("fixed:2.6", "fixed:4.4"),
    Plan("codebook:4", "lq:3"),
    Plan("lq:2", "lq:2", layers={"first": {"weights": "affine:8", "activations": "affine:8"}}),
)


def samples(seed: int = 1) -> Array:
    random = np.random.default_rng(seed)
    smooth = random.normal(size=(200, 2, 8, 8)).cumsum(axis=2).cumsum(axis=3)
    return np.asarray(smooth / 5, np.float32)


def residual_network(function: str = "Relu") -> Graph:
    """Return a stem with a padded pool, two blocks, one with a shortcut of its own, a mean and two layers."""
    random, graph = np.random.default_rng(3), Graph("residual", ("x",), ("y",), values={})
    graph.add(Value("x", "float32", ("n", 2, 8, 8)))

    def convolution(name: str, source: str, shape: tuple[int, ...], **attributes: object) -> str:
        weights = graph.add_constant(f"{name}.w", random.normal(size=shape) / np.sqrt(np.prod(shape[1:])))
        bias = graph.add_constant(f"{name}.b", random.normal(size=shape[0]) / 10)
        return node("Conv", name, source, weights, bias, pads=(shape[-1] // 2,) * 4, **attributes)

    def node(op: str, name: str, *inputs: str, **attributes: object) -> str:
        graph.nodes.append(Node(op, inputs, (f"{name}.out",), attributes, name))  # type: ignore[arg-type]
        return f"{name}.out"

    window = {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}
    x = node("MaxPool", "pool", node(function, "act0", convolution("stem", "x", (6, 2, 3, 3))), **window)
    for number, (channels, stride) in enumerate([(6, 1), (8, 2)], 1):
        source = graph_channels = 6
        inner = convolution(f"conv{number}a", x, (channels, source, 3, 3), strides=(stride, stride))
        inner = convolution(
            f"conv{number}b", node(function, f"act{number}a", inner), (channels, channels, 3, 3)
        )
        same = channels == graph_channels
        other = x if same else convolution("short", x, (channels, 6, 1, 1), strides=(2, 2))
        x = node(function, f"act{number}b", node("Add", f"sum{number}", inner, other))
    flat = node("Flatten", "flat", node("GlobalAveragePool", "mean", x))
    for name, shape in (("fc1", (10, 8)), ("fc2", (4, 10))):
        graph.add_constant(f"{name}.w", random.normal(size=shape) / np.sqrt(shape[1]))
        graph.add_constant(f"{name}.b", random.normal(size=shape[0]) / 10)
    hidden = node("Relu", "act3", node("Gemm", "fc1", flat, "fc1.w", "fc1.b", transB=1))
    graph.nodes.append(Node("Gemm", (hidden, "fc2.w", "fc2.b"), ("y",), {"transB": 1}, "fc2"))
    infer(graph)
    verify(graph)
    return graph


def floats_of(graph: Graph) -> list[str]:
    """Return the operators that give floats which others read as such."""
    real = [node for node in graph.nodes if graph.value(node.outputs[0]).encoding is None]
    return [node.op for node in real if node.op != "Decode" and node.outputs[0] not in graph.outputs]


def output_error(low: Graph, graph: Graph, x: Array) -> float:
    exact, found = (next(iter(evaluate(net, {"x": x}).values())).astype(np.float64) for net in (graph, low))
    return float(((found - exact) ** 2).sum() / ((exact - exact.mean(0)) ** 2).sum())


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_no_float_is_left_between_layers(plan: Plan) -> None:
    graph, x = residual_network(), samples(2)
    made = {}
    for sums in ("real", "fixed"):
        made[sums], report = quantize(graph, samples(), replace(plan, sums=sums, restarts=1))
    low = made["fixed"]
    assert not floats_of(low)
    assert [found.names for found in report.sums] == [("sum1",), ("sum2", "mean")]
    assert all(found.form.startswith("fixed:") and not found.why for found in report.sums)
    ops = [node.op for node in low.nodes]
    assert ops.count("FixedAdd") == 2 and ops.count("GlobalAveragePool") == 1
    errors = {sums: output_error(net, graph, x) for sums, net in made.items()}
    assert errors["fixed"] < 1.05 * errors["real"] + 1e-3, "within noise"


def test_real_sums_are_what_they_were() -> None:
    low, report = quantize(residual_network(), samples(), Plan("lq:2", "lq:2", sums="real", restarts=1))
    assert report.sums == () and report.to_dict()["sums"] == []
    assert floats_of(low).count("Add") == 2 and "GlobalAveragePool" in floats_of(low)
    assert not any(value.dtype == "code16" for value in low.values.values())


def test_sums_of_floats_alone_are_reported_too() -> None:
    """No region has a range to look at, so no samples run; sums say why they stay real."""
    graph = residual_network()
    floats = {"weights": "float", "activations": "float"}
    layers = {node.name: floats for node in graph.nodes if node.op == "Conv"}
    _, report = quantize(graph, samples(), Plan("lq:2", "lq:2", restarts=1, layers=layers))
    assert [found.names for found in report.sums] == [("sum1", "sum2", "mean")]
    assert report.sums[0].why == "what goes into it is computed in floats"


def test_functions_that_do_not_clip_are_between_layers_as_tables() -> None:
    """Tanh of a layer is a table of its codes; of a sum it goes into the thresholds behind it, or stays."""
    graph = residual_network("Tanh")
    low, report = quantize(graph, samples(), Plan("lq:4", "lq:4", restarts=1))
    assert [bool(found.form) for found in report.sums] == [True, True, False]
    assert str(report.sums[2]) == "Sums mean: real, since what goes into it is computed in floats."
    assert floats_of(low) == ["Tanh", "GlobalAveragePool", "Flatten"]
    assert output_error(low, graph, samples(2)) < 0.2


@pytest.mark.parametrize("suffix", [".txt", ".circle"])
def test_a_file_with_fixed_sums_is_quantized_again(suffix: str, tmp_path: Path) -> None:
    graph, path = residual_network(), tmp_path / f"net{suffix}"
    low, _ = quantize(graph, samples(), Plan("affine:8", "affine:8"))
    write_model(low, path)
    again = read_model(path)
    result, report = quantize(again, samples(), Plan("affine:8", "affine:8"))
    assert len(report.layers) == 8 and [found.names for found in report.sums] == [("sum1",), ("sum2", "mean")]
    assert not floats_of(result)
    assert output_error(result, graph, samples(2)) < 0.01


def test_functions_in_tables_are_quantized_again() -> None:
    graph = residual_network("Tanh")
    low, _ = quantize(graph, samples(), Plan("affine:8", "affine:8"))
    assert any(node.op == "FixedLookup" for node in low.nodes)
    result, report = quantize(low, samples(), Plan("affine:8", "affine:8"))
    assert len(report.layers) == 8 and output_error(result, graph, samples(2)) < 0.02


def test_a_format_is_too_coarse_beside_a_huge_value() -> None:
    """A channel that nobody reads makes the range of a sum so wide that its reader would see steps."""
    graph = residual_network()
    for name in ("conv1b.w", "conv1b.b"):
        data = graph.constant(name).copy()
        data[0] *= 1e5
        graph.update(name, data=data)
    for name in ("conv2a.w", "short.w"):
        data = graph.constant(name).copy()
        data[:, 0] = 0
        graph.update(name, data=data)
    plan = Plan("affine:8", "affine:8", percentile=70.0)
    _, report = quantize(graph, samples(), plan)
    first, second = sorted(report.sums, key=lambda region: region.names)
    assert not first.form and ("less than 4 steps" in first.why or "no room" in first.why)
    assert second.form
    assert str(first).startswith("Sums sum1: real, since ")


def test_the_report_shows_what_became_of_sums() -> None:
    _, report = quantize(residual_network(), samples(), Plan("lq:2", "lq:2", restarts=1))
    assert isinstance(report, Report)
    assert str(report.sums[1]) == f"Sums sum2, mean: {report.sums[1].form}."
    assert str(report.sums[1]) in report._repr_html_()


def test_it_is_said_once_for_the_network_and_not_in_training() -> None:
    with pytest.raises(PlanError, match="sums; expected auto or fixed or real"):
        Plan(sums="floats")
    with pytest.raises(PlanError, match="this is said once for the network"):
        Plan(layers={"fc": {"sums": "real"}})
    with pytest.raises(PlanError, match=r"settings of calibration.*sums"):
        Recipe(
            network="mlp-784-10",
            data="mnist",
            epochs=1,
            batch=1,
            plan={"weights": "lq:2", "activations": "lq:2", "sums": "real"},
        )
