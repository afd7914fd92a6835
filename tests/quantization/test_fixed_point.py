"""Networks in fixed point: integers by hand, formats read again, and what has no such form."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lowbit.backends.onnxruntime import session
from lowbit.errors import GraphError, NumericError, UnsupportedError
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.text import from_text, to_text
from lowbit.quantization import to_fixed_point
from lowbit.zoo import NETWORKS, float_graph

Floats = npt.NDArray[np.float64]


def quantized(x: Floats, m: int, n: int, rounding: str) -> Floats:
    """Return integers by the formula, in float64."""
    half = 0.5 if rounding == "nearest" else 0.0
    return np.clip(np.floor(x * 2.0**n + half), -(2 ** (m + n - 1)), 2 ** (m + n - 1) - 1)


def separable_by_hand(graph: Graph, x: Floats, m: int, n: int, rounding: str) -> Floats:
    """Return the logits of LST-1 as the formula of fixed point says, integer by integer."""

    def constant(name: str) -> Floats:
        return quantized(graph.constant(name).astype(np.float64), m, n, rounding)

    def table(sums: Floats) -> Floats:
        once = quantized(sums / 4.0**n, m, n, rounding)
        return quantized(np.tanh(once / 2.0**n), m, n, rounding)

    rows = quantized(x[:, 0], m, n, rounding)
    for name in ("fc1", "fc2"):
        sums = rows @ constant(f"{name}.weight") + constant(f"{name}.bias") * 2.0**n
        rows = table(sums).transpose(0, 2, 1)
    flat = rows.reshape(len(x), -1)
    return (flat @ constant("fc3.weight").T + constant("fc3.bias") * 2.0**n) / 4.0**n


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
@pytest.mark.parametrize(("m", "n"), [(6, 7), (6, 1), (2, 6), (3, 5), (1, 3)])
def test_integers_are_those_of_the_formula(m: int, n: int, rounding: str) -> None:
    graph = float_graph(NETWORKS["lst1"], seed=2)
    low = to_fixed_point(graph, m, n, rounding)
    x = np.random.default_rng(0).uniform(-1, 1, (9, 1, 28, 28)).astype(np.float32)
    wanted = separable_by_hand(graph, x.astype(np.float64), m, n, rounding)
    np.testing.assert_array_equal(evaluate(low, {"x": x})["logits"], wanted.astype(np.float32))


@pytest.mark.parametrize("name", ["lst2", "reslst", "mlp", "mlp-784-40-40-40-10"])
def test_many_bits_come_close_to_float(name: str) -> None:
    graph = float_graph(NETWORKS[name], seed=1)
    x = np.random.default_rng(0).random((5, *NETWORKS[name].input_shape), np.float32)
    exact = evaluate(graph, {"x": x})["logits"]
    found = evaluate(to_fixed_point(graph, 5, 11), {"x": x})["logits"]
    np.testing.assert_allclose(found, exact, atol=0.05)


def test_a_sum_saturates() -> None:
    graph = Graph("sum", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", 3)))
    graph.nodes = [Node("Add", ("x", "x"), ("y",), {}, "twice")]
    infer(graph)
    found = evaluate(to_fixed_point(graph, 2, 2), {"x": [[1.5, -1.75, 0.25]]})["y"]
    assert found.tolist() == [[1.75, -2, 0.5]]


def test_the_text_form_keeps_the_integers() -> None:
    low = to_fixed_point(float_graph(NETWORKS["lst1"]), 6, 7)
    again = from_text(to_text(low))
    x = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    np.testing.assert_array_equal(evaluate(again, {"x": x})["logits"], evaluate(low, {"x": x})["logits"])


def test_what_has_no_fixed_point_form_is_named() -> None:
    with pytest.raises(UnsupportedError, match="conv1"):
        to_fixed_point(float_graph(NETWORKS["lenet"]), 6, 7)


def test_a_bias_with_more_bits_behind_the_point_than_sums_is_refused() -> None:
    low = to_fixed_point(float_graph(NETWORKS["mlp"]), 2, 2)
    fine = to_fixed_point(float_graph(NETWORKS["mlp"]), 2, 5)
    low.values["fc1/bias"] = fine.values["fc1/bias"]
    with pytest.raises(GraphError, match="a bias is no whole number of units of the sums"):
        verify(low)


@pytest.mark.parametrize("encoding", [(6, 4, "nearest"), (3, 4, "floor"), (8, 8, "nearest")])
@pytest.mark.parametrize("name", ["lst1", "reslst", "mlp-784-12-10"])
def test_files_keep_it_and_onnx_runtime_gives_the_integers(
    name: str, encoding: tuple[int, int, str], tmp_path: Path
) -> None:
    graph = to_fixed_point(float_graph(NETWORKS[name], seed=1), *encoding)
    x = np.random.default_rng(0).normal(size=(3, *NETWORKS[name].input_shape)).astype(np.float32)
    x[0].flat[:2] = np.inf, -np.inf
    wanted = evaluate(graph, {"x": x})["logits"]
    for suffix in ("onnx", "txt"):
        write_model(graph, tmp_path / f"net.{suffix}")
        assert to_text(read_model(tmp_path / f"net.{suffix}")) == to_text(graph)
    np.testing.assert_array_equal(session(tmp_path / "net.onnx").run(None, {"x": x})[0], wanted)


def test_sums_that_float64_cannot_hold_are_refused_by_onnx(tmp_path: Path) -> None:
    graph = Graph("wide", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", 1 << 22)))
    graph.nodes = [
        Node("Gemm", ("x", graph.add_constant("w", np.ones((1, 1 << 22)))), ("y",), {"transB": 1}, "fc")
    ]
    infer(graph)
    with pytest.raises(UnsupportedError, match="so wide"):
        write_model(to_fixed_point(graph, 8, 8), tmp_path / "net.onnx")


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
@pytest.mark.parametrize(
    ("value", "fits"), [(0.99, False), (0.9, True), (-1.0, True), (-1.2, False), (3.0, False)]
)
def test_constants_beyond_the_format_are_refused_and_not_clipped(
    value: float, fits: bool, rounding: str
) -> None:
    graph = Graph("net", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", 2)))
    names = graph.add_constant("w", np.array([[0.5, value]])), graph.add_constant("b", np.array([value / 2]))
    graph.nodes = [Node("Gemm", ("x", *names), ("y",), {"transB": 1}, "fc")]
    infer(graph)
    if fits or (value, rounding) == (0.99, "floor"):  # truncated, it is the largest level
        to_fixed_point(graph, 1, 3, rounding)
        return
    with pytest.raises(NumericError, match=r"net: constants are beyond.*fixed:1\.3.*1 of fc/weights, up to"):
        to_fixed_point(graph, 1, 3, rounding)


@pytest.mark.parametrize(
    ("op", "attributes"), [("HardSwish", {}), ("LeakyRelu", {"alpha": 0.25}), ("Softplus", {}), ("Elu", {})]
)
def test_any_function_of_one_number_is_a_table(op: str, attributes: dict[str, float]) -> None:
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3))})
    graph.add_constant("w", np.array([[1.0, -0.5, 0.25], [0.5, 2.0, -1.5]]))
    graph.add_constant("v", np.array([[1.0, 0.5]]))
    graph.nodes = [
        Node("Gemm", ("x", "w"), ("a",), {"transB": 1}, "first"),
        Node(op, ("a",), ("b",), dict(attributes), "function"),
        Node("Gemm", ("b", "v"), ("y",), {"transB": 1}, "second"),
    ]
    infer(graph)
    low = to_fixed_point(graph, 4, 6)
    x = np.round(np.random.default_rng(1).uniform(-2, 2, (20, 3)) * 64).astype(np.float32) / 64
    sums = np.floor(x @ graph.constant("w").T * 64 + 0.5).astype(np.float32) / 64
    function = Graph("f", ("a",), ("b",), [Node(op, ("a",), ("b",), dict(attributes), "f")])
    function.values["a"] = Value("a", "float32", ("n", 2))
    infer(function)
    table = np.floor(evaluate(function, {"a": sums})["b"].astype(np.float64) * 64 + 0.5) / 64
    np.testing.assert_array_equal(
        evaluate(low, {"x": x})["y"], (table @ graph.constant("v").T).astype(np.float32)
    )
