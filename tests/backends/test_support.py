"""The page of what runs where is what the back ends say today."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from lowbit.backends import BACKENDS
from lowbit.ir import evaluate
from lowbit.ir.operators import OPERATORS
from tests.backends.support import CHAINS, COLUMNS, examples, table

PAGE = Path(__file__).parents[2] / "docs" / "support.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == table(), "scripts/support-matrix writes it"


def test_what_the_page_says_of_operators_is_so() -> None:
    """One form of every operator, run where nothing is in the way."""
    for operator in (each for each in OPERATORS.values() if not each.domain):
        form, graph = next(examples(operator))
        x = np.random.default_rng(0).uniform(0.1, 1, (3, *graph.value("x").shape[1:])).astype(np.float32)
        wanted = evaluate(graph, {"x": x})["y"]
        for name in ("engine", "onnxruntime"):
            if name == "onnxruntime":
                pytest.importorskip("onnxruntime")
            if not BACKENDS[name].blockers(graph):
                (found,) = BACKENDS[name].load(graph).run(x)
                np.testing.assert_allclose(found, wanted, 1e-5, 1e-5, err_msg=f"{operator.name}, {form}")


def test_every_back_end_has_a_column() -> None:
    assert set(BACKENDS) < set(COLUMNS) and set(CHAINS) < set(BACKENDS)
    head = next(line for line in table().splitlines() if line.startswith("| weights"))
    assert all(f" {name} " in head for name in COLUMNS)
