"""What counts as an equal class, and ONNX Runtime's forms of a kept network, of few samples."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.corpus.trained.words import words

pytest.importorskip("onnxruntime")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def files() -> ModuleType:
    found = importlib.util.spec_from_file_location("quantized_files", ROOT / "benchmarks/quantized_files.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_rows(files: ModuleType) -> None:
    kept = json.loads((ROOT / "results" / "quantized-files.json").read_text())
    assert files.page(kept) == (ROOT / "results" / "quantized-files.md").read_text(), (
        "make it again: python benchmarks/quantized_files.py --json results/quantized-files.json --page"
    )


def test_what_explains_a_difference(files: ModuleType) -> None:
    theirs = np.array([[0, 1, 2], [0, 2, 2], [0, 1, 2], [0, 1.5, 2]], np.float32)
    ours = np.array([[0, 1, 2], [0, 1, 2], [0, 3, 2], [0, 3, 2]], np.float32)
    default = np.array([[0, 1, 2], [0, 2, 1], [0, 3, 2], [3, 1, 2]], np.float32)
    row = files.compared(ours, theirs, default[[0, 1, 2, 0]])
    assert (row["differ"], row["tie"], row["itself"], row["unexplained"]) == (3, 1, 1, 1)
    assert (row["from_default"], row["between"]) == (2, 1)
    assert files.compared(ours, ours)["differ"] == 0
    assert files.compared(ours, theirs)["unexplained"] == 2


def test_forms_of_onnx_runtime_give_equal_classes(files: ModuleType, tmp_path: Path) -> None:
    samples = words(96, 5)[0]
    rows = list(files.by_onnxruntime("ds_cnn", files.folded("ds_cnn", tmp_path), samples, tmp_path, ""))
    assert len(rows) == len(files.STATIC) + len(files.DYNAMIC)
    assert [row["file"] for row in rows if row["unexplained"]] == []
    assert {row["samples"] for row in rows} == {96 - files.CALIBRATE}
