"""Recipes of ARCHITECTURE.md, followed as they are written."""

from pathlib import Path

import pytest

from tests.house import recipes


def test_a_scheme_is_a_folder_and_a_row(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    said = recipes.run_in(recipes.followed(recipes.SCHEME, tmp_path), "try_scheme.py", str(tmp_path))
    assert "toy_squares" in said


def test_a_format_is_a_folder_and_a_row(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    said = recipes.run_in(recipes.followed(recipes.FORMAT, tmp_path), "try_format.py", str(tmp_path))
    assert "invariants hold; it has no hash" in said
