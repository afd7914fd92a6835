"""QDQ and QONNX of what we quantize: the same numbers in ONNX Runtime and when they are read again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lowbit
from lowbit.backends.onnxruntime import session
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Value, verify
from lowbit.ir.layers import is_low_bit
from lowbit.ir.reference import evaluate


def float_network(kind: str, seed: int = 0) -> Graph:
    """Return an MLP, or a residual network with a depthwise layer, seeded."""
    random = np.random.default_rng(seed)
    graph = Graph(kind, ("x",), ("y",))

    def constant(*shape: int) -> str:
        return graph.add_constant(graph.fresh_name("c"), random.normal(0, 1 / np.sqrt(shape[-1]), shape))

    def node(op: str, inputs: tuple[str, ...], shape: tuple[Any, ...], output: str = "", **more: Any) -> str:
        name = graph.fresh_name(op.lower())
        made = graph.add(Value(output or f"{name}.out", "float32", shape))
        graph.nodes.append(Node(op, inputs, (made,), more, name))
        return made

    if kind == "mlp":
        graph.add(Value("x", "float32", ("n", 12)))
        hidden = node("Gemm", ("x", constant(20, 12), constant(20)), ("n", 20), transB=1)
        hidden = node("Relu", (hidden,), ("n", 20))
        node("Gemm", (hidden, constant(5, 20), constant(5)), ("n", 5), "y", transB=1)
    else:
        graph.add(Value("x", "float32", ("n", 3, 8, 8)))
        window = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}
        shape = ("n", 6, 8, 8)
        stem = node("Relu", (node("Conv", ("x", constant(6, 3, 3, 3), constant(6)), shape, **window),), shape)
        deep = node("Conv", (stem, constant(6, 1, 3, 3), constant(6)), shape, group=6, **window)
        deep = node("Relu", (deep,), shape)
        deep = node("Conv", (deep, constant(6, 6, 1, 1), constant(6)), shape)
        joined = node("Relu", (node("Add", (stem, deep), shape),), shape)
        pooled = node("MaxPool", (joined,), ("n", 6, 4, 4), kernel_shape=(2, 2), strides=(2, 2))
        flat = node("Flatten", (pooled,), ("n", 96))
        node("Gemm", (flat, constant(4, 96), constant(4)), ("n", 4), "y", transB=1)
    verify(graph)
    return graph


def quantized(kind: str, plan: lowbit.Plan) -> tuple[Graph, Any]:
    network = float_network(kind)
    shape = network.value("x").shape[1:]
    samples = np.random.default_rng(1).normal(size=(50, *shape)).astype(np.float32)
    return lowbit.quantize(network, samples, plan=plan, check=False)[0], samples


def onnxruntime_output(path: Path, samples: Any) -> Any:
    pytest.importorskip("onnxruntime")
    return session(path).run(None, {"x": samples})[0]


def unequal(found: Any, expected: Any) -> float:
    """Return the share of outputs that differ by more than float32 rounds: a code of 16 bits may, by one."""
    return float((np.abs(found - expected) > 2e-6 * np.abs(expected).max()).mean())


BOTH = ("affine:8", "affine:5", "affine:2", "fixed:4.4", "fixed:3.3:floor")
PAIRS = [*((each, each) for each in BOTH), ("affine:3", "affine:8"), ("fixed:3.3", "affine:8")]
QONNX_ALONE = [
    ("lq:2", "affine:8"),
    ("binary", "affine:4"),
    ("codebook:3", "affine:8"),
    ("pow2:3", "affine:6"),
]


@pytest.mark.parametrize("kind", ["mlp", "residual"])
@pytest.mark.parametrize(("form", "weights", "activations"), [
    *(("qdq", *pair) for pair in PAIRS), *(("qonnx", *pair) for pair in PAIRS + QONNX_ALONE),
])  # fmt: skip
def test_the_same_numbers(tmp_path: Path, form: str, kind: str, weights: str, activations: str) -> None:
    graph, samples = quantized(kind, lowbit.Plan(weights, activations))
    path = tmp_path / f"net.{form}.onnx"
    lowbit.write(graph, path)
    expected = evaluate(graph, {"x": samples})["y"]
    again = lowbit.read(path)
    assert unequal(evaluate(again, {"x": samples})["y"], expected) < 0.015
    assert sum(map(is_low_bit, again.nodes)) == sum(map(is_low_bit, graph.nodes))
    if form == "qdq":
        # Weights on a grid of powers of two make ties of many sums that stay real, and noise decides those.
        ties = kind == "residual" and weights.startswith("fixed")
        assert unequal(onnxruntime_output(path, samples), expected) < (0.15 if ties else 0.015)


def test_ties_of_samples_on_a_grid_are_those_of_the_reference(tmp_path: Path) -> None:
    network = float_network("mlp")
    samples = (np.random.default_rng(2).integers(0, 17, (200, 12)) / 16).astype(np.float32)
    graph, _ = lowbit.quantize(network, samples, plan=lowbit.Plan("affine:2", "affine:2"), check=False)
    lowbit.write(graph, tmp_path / "net.onnx", form="qdq")
    expected = evaluate(graph, {"x": samples})["y"]
    assert unequal(onnxruntime_output(tmp_path / "net.onnx", samples), expected) == 0


def test_signs_are_bipolar(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    network = lowbit.read(write_signs(tmp_path))
    lowbit.write(network, tmp_path / "net.qonnx.onnx")
    operators = [node.op_type for node in onnx.load(tmp_path / "net.qonnx.onnx").graph.node]
    assert operators.count("BipolarQuant") == 4
    samples = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    again = lowbit.read(tmp_path / "net.qonnx.onnx")
    one, other = (lowbit.load(each).run(samples) for each in (network, again))
    assert np.array_equal(one, other)


def write_signs(folder: Path) -> Path:
    """Write two layers of signs on signs as QONNX, by hand: sums of zero among them, which are +."""
    from tests.formats.onnx.quantized.models import Model

    model = Model(np.random.default_rng(0))
    kernel = model.constant(model.random.normal(size=(8, 4)).astype(np.float32))
    domain, one = "qonnx.custom_op.general", model.constant(np.float32(1))
    signs = [model.node("BipolarQuant", [name, one], domain) for name in ("x", kernel)]
    hidden = model.node("BipolarQuant", [model.node("MatMul", signs), one], domain)
    second = model.constant(model.random.normal(size=(4, 2)).astype(np.float32))
    held = model.node("BipolarQuant", [second, one], domain)
    proto = model.proto(("n", 8), model.node("MatMul", [hidden, held]))
    path = folder / "signs.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_what_has_no_form_is_named_before_anything_is_written(tmp_path: Path) -> None:
    graph, _ = quantized("mlp", lowbit.Plan("lq:2", "lq:2"))
    for form in ("qdq", "qonnx"):
        path = tmp_path / f"net.{form}.onnx"
        path.write_text("mine")
        with pytest.raises(UnsupportedError, match="lq of 2 bits") as caught:
            lowbit.write(graph, path)
        assert "cannot carry" in str(caught.value)
        assert path.read_text() == "mine"
    with pytest.raises(UnsupportedError, match="qdq, qonnx"):
        lowbit.write(graph, tmp_path / "net.onnx", form="zip")


def test_the_command_writes_a_form(tmp_path: Path) -> None:
    from lowbit.cli import app

    graph, _ = quantized("mlp", lowbit.Plan("affine:8", "affine:8"))
    source = tmp_path / "net.circle"
    lowbit.write(graph, source)
    runner = CliRunner()
    for arguments in (["-o", "a.qdq.onnx"], ["a.onnx", "--form", "qdq"]):
        result = runner.invoke(
            app, ["convert", str(source), *(str(tmp_path / a) if "onnx" in a else a for a in arguments)]
        )
        assert result.exit_code == 0, result.output
    assert (tmp_path / "a.qdq.onnx").read_bytes() == (tmp_path / "a.onnx").read_bytes()
    assert b"QuantizeLinear" in (tmp_path / "a.onnx").read_bytes()
