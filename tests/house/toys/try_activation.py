"""Quantize layers with the toy activation and run them everywhere; the folder to write in is the argument."""

import sys
from pathlib import Path

import numpy as np
from tests.ir.networks import float_mlp

from lowbit.backends import BACKENDS
from lowbit.formats import read_model, write_model
from lowbit.ir import evaluate
from lowbit.quantization import Plan, quantize

folder = Path(sys.argv[1])
x = np.random.default_rng(4).normal(size=(300, 5)).astype(np.float32)
graph, _ = quantize(
    float_mlp((5, 30, 20, 4), activation="Softplus"), x, Plan(weights="lq:2", activations="lq:3")
)
used = [node for node in graph.nodes if node.attributes.get("activation") == "toy_softplus"]
assert used, [node.op for node in graph.nodes]
x = x[:40]
expected = evaluate(graph, {graph.inputs[0]: x})[graph.outputs[0]]
for name in ("reference", "engine", "onnxruntime"):
    assert not BACKENDS[name].blockers(graph), name
    np.testing.assert_allclose(BACKENDS[name].load(graph).run(x)[0], expected, rtol=1e-6, atol=1e-6)
for suffix in (".txt", ".onnx", ".circle"):
    write_model(graph, folder / f"net{suffix}")
    again = read_model(folder / f"net{suffix}")
    found = evaluate(again, {again.inputs[0]: x})[again.outputs[0]]
    np.testing.assert_array_equal(found, expected)
sys.stdout.write("equal")
