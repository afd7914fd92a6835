"""Run a network of squares everywhere; the folder to write in is the argument."""

import sys
from pathlib import Path

import numpy as np
import onnx
from lowbit.schemes.toy_squares import Squares
from tests.ir.networks import float_convnet

from lowbit.backends import BACKENDS
from lowbit.cli import app
from lowbit.engine import Program, kernel_levels
from lowbit.errors import ModelFormatError
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node, Value, evaluate, infer, to_text, verify
from lowbit.plan import Plan
from lowbit.quantization import quantize
from lowbit.schemes import check_scheme, encoding_from_dict
from lowbit.schemes.registry import REGISTRY

folder = Path(sys.argv[1])
for bits in (2, 3):
    for scale in (0.3, [1.5, 0.25, 4]):
        check_scheme(Squares(bits, scale))
        assert encoding_from_dict(Squares(bits, scale).to_dict()) == Squares(bits, scale)

graph = float_convnet()
shape = tuple(int(length) for length in graph.value(graph.inputs[0]).shape[1:])
x = np.random.default_rng(1).normal(size=(200, *shape)).astype(np.float32)
for weights, activations in (
    ("toy_squares:3", "toy_squares:3"),
    ("toy_squares:2", "lq:2"),
    ("affine:8", "toy_squares:2"),
    ("toy_squares:3", "float"),
):
    plan = Plan(weights=weights, activations=activations, restarts=0)
    small, _ = quantize(graph, x, plan)
    used = {value.encoding.scheme for value in small.values.values() if value.encoding is not None}
    assert "toy_squares" in used, used
    few, near = x[:20], {"rtol": 2e-5, "atol": 2e-5}
    expected = evaluate(small, {small.inputs[0]: few})[small.outputs[0]]
    for level in kernel_levels():
        np.testing.assert_allclose(Program(small, kernels=level).run(few), expected, **near)
    for name in ("reference", "engine", "onnxruntime"):
        assert not BACKENDS[name].blockers(small), name
        np.testing.assert_allclose(BACKENDS[name].load(small).run(few)[0], expected, **near)
    for suffix in (".txt", ".onnx", ".circle"):
        path = folder / f"net{suffix}"
        write_model(small, path)
        again = read_model(path)
        found = evaluate(again, {again.inputs[0]: few})[again.outputs[0]]
        np.testing.assert_allclose(
            found, expected, **({"rtol": 0, "atol": 0} if activations != "float" else near)
        )

chain = Graph("chain", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 2, 4, 4))})
for name, encoding in {"a": Squares(3, 0.05), "b": Squares(2, 0.1), "d": Squares(2, 0.1)}.items():
    chain.add(Value(name, "code", (), None, encoding))
steps = chain.add_constant("steps", np.linspace(-1, 2, 7))
chain.nodes = [
    Node("Encode", ("x", steps), ("a",), {}, "a", "lowbit"),
    Node("Tanh", ("a",), ("b",), {}, "b"),
    Node("MaxPool", ("b",), ("d",), {"kernel_shape": (2, 2), "strides": (2, 2)}, "d"),
    Node("Decode", ("d",), ("y",), {}, "y", "lowbit"),
]
infer(chain)
verify(chain)
x = np.random.default_rng(2).normal(size=(9, 2, 4, 4)).astype(np.float32)
expected = evaluate(chain, {"x": x})["y"]
assert len(np.unique(expected)) > 1
np.testing.assert_array_equal(BACKENDS["onnxruntime"].load(chain).run(x)[0], expected)
write_model(chain, folder / "chain.onnx")
again = read_model(folder / "chain.onnx")
assert to_text(again) == to_text(chain), to_text(again)
model = onnx.load(folder / "chain.onnx")
(table,) = [tensor for tensor in model.graph.initializer if tensor.name == "b.value.table"]
table.raw_data = bytes(len(table.raw_data))
onnx.save(model, folder / "wrong.onnx")
try:
    read_model(folder / "wrong.onnx")
except ModelFormatError as error:
    assert "table" in str(error)
else:
    raise AssertionError("a table that says something else is read")

x = np.random.default_rng(1).normal(size=(200, *shape)).astype(np.float32)
write_model(graph, folder / "float.onnx")
np.save(folder / "x.npy", x)
words = ["quantize", folder / "float.onnx", "-o", folder / "small.circle", "--data", folder / "x.npy"]
app([*map(str, words), "--weights", "toy_squares:2", "--activations", "toy_squares:3"], standalone_mode=False)
app(["inspect", str(folder / "small.circle")], standalone_mode=False)
assert "toy_squares" in REGISTRY
