"""The page of the corpus is what its rows say, and the kept small networks are those of their results."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.backends import BACKENDS
from tests.corpus.page import CLOSE, counts, line, page, runs
from tests.corpus.trial import FEW, SAMPLES

ROOT = Path(__file__).resolve().parents[2]
TRAINED = sorted(ROOT.glob("results/corpus-*-seed0.json"))


def test_the_page_is_made_from_the_rows() -> None:
    kept = json.loads((ROOT / "results" / "corpus.json").read_text())
    made = f"{kept['date']}, {kept['machine']}"
    assert page(kept["rows"], made, SAMPLES, FEW) == (ROOT / "docs" / "corpus.md").read_text(), (
        "make it again: python benchmarks/corpus.py --page"
    )


def test_what_counts_as_running() -> None:
    rows: list[dict[str, Any]] = [
        {"reads": True, "engine": CLOSE},
        {"reads": True, "engine": 2 * CLOSE},
        {"reads": True, "engine": 2 * CLOSE, "spread": 3 * CLOSE},
        {"reads": True, "coded": True, "engine": 2 * CLOSE},
        {"reads": True, "engine": None, "problems": {"engine": "no | such"}},
        {"reads": False, "problems": {"read": "never\nheard"}},
        {"own": "it does not run either"},
    ]
    assert [runs(row) for row in rows] == [True, False, True, True, False, False, False]
    assert counts(rows) == "6 | 5 | 3 (50%)"
    assert all(line("net", row).count("|") == 8 and "\n" not in line("net", row) for row in rows)


@pytest.mark.parametrize("result", TRAINED, ids=lambda path: path.stem)
def test_kept_networks_are_those_of_their_results(result: Path) -> None:
    facts = json.loads(result.read_text())
    path = ROOT / "results" / "networks" / facts["file"]["name"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["file"]["sha256"]
    graph = lowbit.read(path)
    shape = graph.value(graph.inputs[0]).shape
    x = np.random.default_rng(0).uniform(size=(2, *map(int, shape[1:]))).astype(np.float32)
    ours, theirs = (BACKENDS[name].load(graph).run(x)[0] for name in ("engine", "reference"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
