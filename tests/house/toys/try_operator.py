"""Run the toy operator everywhere; the folder to write in is the argument."""

import sys
from pathlib import Path

import numpy as np
from tests.ir.toys import network, samples

from lowbit.backends import BACKENDS
from lowbit.cli import app
from lowbit.formats import read_model, write_model
from lowbit.ir import evaluate

folder = Path(sys.argv[1])
for shape in ((7,), (3, 4, 5)):
    graph, x = network("ToySquashed", shape, {"gain": -0.5}), np.clip(samples(shape), -60, 60)
    expected = evaluate(graph, {"x": x})["y"]
    np.testing.assert_allclose(expected, -0.5 * x / (1 + np.abs(x)), rtol=1e-6)
    for name in ("reference", "engine", "onnxruntime"):
        assert not BACKENDS[name].blockers(graph), name
        np.testing.assert_allclose(BACKENDS[name].load(graph).run(x)[0], expected, rtol=3e-6, atol=3e-6)
    for suffix in (".txt", ".onnx", ".circle"):
        write_model(graph, folder / f"net{suffix}")
        again = read_model(folder / f"net{suffix}")
        found = evaluate(again, {again.inputs[0]: x})[again.outputs[0]]
        np.testing.assert_allclose(found, expected, rtol=3e-6, atol=3e-6)
        app(["inspect", str(folder / f"net{suffix}"), "--graph"], standalone_mode=False)
