"""Networks whose own input is integers: what ONNX Runtime says of them, lowbit says of all samples."""

from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.api import load_samples
from lowbit.backends.onnxruntime import session
from lowbit.ir.input_type import InputType
from lowbit.quantization import Plan
from lowbit.scores import score

onnx = pytest.importorskip("onnx")
TYPES = {"uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}
FORMS = ("cast", "cast and divide", "transposed first", "reshaped by its shape", "cast twice")


def write(path: Path, dtype: str, form: str) -> None:
    """A small network over maps [n, 5, 6, 3] of integers."""
    from onnx import TensorProto, helper, numpy_helper

    random, node = np.random.default_rng(8), helper.make_node
    constants = {"scale": np.float32(255), "bias": random.standard_normal(4).astype(np.float32)}
    constants |= {"w": random.standard_normal((90, 4)).astype(np.float32), "row": np.array([-1, 90])}
    nodes, at = [], "x"
    if form == "transposed first":
        nodes, at = [node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])], "t"
    if form == "reshaped by its shape":
        constants |= {"zero": np.array([0]), "end": np.array([1]), "rest": np.array([90])}
        nodes += [node("Shape", ["x"], ["s"]), node("Slice", ["s", "zero", "end"], ["first"])]
        nodes += [
            node("Concat", ["first", "rest"], ["shape"], axis=0),
            node("Reshape", ["x", "shape"], ["r"]),
        ]
        at = "r"
    nodes.append(node("Cast", [at], ["f"], to=1))
    real = "f"
    if form == "cast twice":
        nodes += [node("Cast", [at], ["f2"], to=1), node("Add", ["f", "f2"], ["sum"])]
        real = "sum"
    if form != "cast":
        nodes, real = [*nodes, node("Div", [real, "scale"], ["unit"])], "unit"
    nodes += [node("Reshape", [real, "row"], ["flat"]), node("MatMul", ["flat", "w"], ["m"])]
    nodes.append(node("Add", ["m", "bias"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TYPES[dtype], ["n", 5, 6, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def integers(dtype: str) -> np.ndarray:
    random = np.random.default_rng(9)
    if dtype == "bool":
        return random.integers(0, 2, (30, 5, 6, 3)).astype(bool)
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -300), min(limits.max, 300)
    return random.integers(low, high, (30, 5, 6, 3), endpoint=True).astype(dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", TYPES)
def test_scores_are_onnx_runtime_s(dtype: str, form: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path, own = tmp_path / "net.onnx", integers(dtype)
    write(path, dtype, form)
    wanted = session(path).run(None, {"x": own})[0]
    graph = lowbit.read(path)
    assert InputType.of(graph) == InputType(dtype)
    labels, close = wanted.argmax(axis=1), {"rtol": 1e-4, "atol": 1e-3 * float(np.abs(wanted).max())}
    kinds = [own, own.astype(np.float32), own.astype(np.float64)]
    kinds += [] if dtype == "bool" else [own.astype(np.int64), own.astype(np.int16)]
    for samples in kinds:
        found = lowbit.evaluate(graph, (samples, labels), backend="auto")
        assert found["top1"] == 1 and found["outside"] == 0, samples.dtype
        np.testing.assert_allclose(score(graph, load_samples(graph, samples).samples).values, wanted, **close)
    np.testing.assert_allclose(
        score(graph, load_samples(graph, own / np.float32(255), scale=255).samples).values,
        wanted,
        **close,
    )


@pytest.mark.parametrize("samples", ["own", "float32", "int64"])
def test_quantized_networks_take_the_same(samples: str, tmp_path: Path) -> None:
    path, own = tmp_path / "net.onnx", integers("uint8")
    write(path, "uint8", "cast and divide")
    given = own if samples == "own" else own.astype(samples)
    graph = lowbit.read(path)
    wanted = score(graph, own.astype(np.float32)).values
    low, _ = lowbit.quantize(graph, given, plan=Plan(scheme="affine", weight_bits=8, activation_bits=8))
    for suffix in (".circle", ".onnx", ".txt"):
        lowbit.write(low, tmp_path / f"low{suffix}")
        again = lowbit.read(tmp_path / f"low{suffix}")
        assert InputType.of(again) == InputType("uint8")
        found = score(again, load_samples(again, given).samples).values
        assert np.sqrt(((found - wanted) ** 2).mean()) < 0.02 * wanted.std()
