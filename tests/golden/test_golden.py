"""Files that other programs wrote load and compute what ONNX Runtime computes."""

from pathlib import Path

import numpy as np
import pytest

from lowbit.backends.onnxruntime import session
from lowbit.engine import Program
from lowbit.formats import read_model
from lowbit.ir import evaluate, run_passes
from lowbit.ir.passes import fold_constants, fuse_linear, is_linear

FILES = sorted((Path(__file__).parent / "onnx").glob("*.onnx"))


def test_the_files_are_there() -> None:
    assert len(FILES) == 8


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_exports_of_torch(path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph = read_model(path)
    (name,), (output,) = graph.inputs, graph.outputs
    rows, *lengths = graph.value(name).shape
    x = (
        np.random.default_rng(0)
        .normal(size=(rows if isinstance(rows, int) else 3, *lengths))
        .astype(np.float32)
    )
    (expected,) = session(path).run(None, {name: x})
    np.testing.assert_allclose(evaluate(graph, {name: x})[output], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(Program(graph).run(x), expected, rtol=1e-5, atol=1e-6)
    fused = run_passes(graph, [fold_constants, fuse_linear]).graph
    assert sum(is_linear(fused, node) for node in fused.nodes) >= 2
