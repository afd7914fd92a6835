"""The page of what runs where is what the back ends say today."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from lowbit.backends import BACKENDS
from lowbit.engine import Program
from lowbit.ir import Graph, evaluate
from lowbit.ir.operators import OPERATORS
from tests.backends.support import CHAINS, COLUMNS, examples, table

PACKAGES = {"onnxruntime": "onnxruntime", "litert": "ai_edge_litert"}
PAGE = Path(__file__).parents[2] / "docs" / "support.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == table(), "scripts/support-matrix writes it"


def test_what_the_page_says_of_operators_is_so() -> None:
    """Every operator in every form, run where nothing is in the way."""
    found = [each for operator in OPERATORS.values() if not operator.domain for each in examples(operator)]
    for form, graph in found:
        samples = 1 if mixes(graph) else 3
        x = np.random.default_rng(0).uniform(0.1, 1, (samples, *graph.value("x").shape[1:]))
        x = x.astype(np.float32)
        wanted = evaluate(graph, {"x": x})["y"]
        for name in ("engine", "onnxruntime", "litert"):
            if find_spec(PACKAGES.get(name, "numpy")) and not BACKENDS[name].blockers(graph):
                (found,) = BACKENDS[name].load(graph).run(x)
                np.testing.assert_allclose(found, wanted, 1e-5, 1e-5, err_msg=f"{graph.name}, {form}")


def mixes(graph: Graph) -> bool:
    """Return whether samples are no samples of it: the engine takes one, as a recurrence along them asks."""
    return not BACKENDS["engine"].blockers(graph) and not Program(graph).by_rows


def test_every_back_end_has_a_column() -> None:
    assert set(BACKENDS) < set(COLUMNS) and set(CHAINS) < set(BACKENDS)
    head = next(line for line in PAGE.read_text().splitlines() if line.startswith("| weights"))
    assert all(f" {name} " in head for name in COLUMNS)
