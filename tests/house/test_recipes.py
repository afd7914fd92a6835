"""Recipes of ARCHITECTURE.md, followed as they are written: a toy is the files that a line names."""

from pathlib import Path

import pytest

from tests.house import recipes

CASES = {
    "operator": (recipes.OPERATOR, "onnxruntime", "ToySquashed"),
    "activation": (recipes.ACTIVATION, "onnxruntime", "equal"),
    "scheme": (recipes.SCHEME, "onnxruntime", "toy_squares"),
    "format": (recipes.FORMAT, "onnx", "invariants hold; it has no hash"),
    "element": (recipes.ELEMENT, "amaranth", "toy_ternary"),
}
"""The recipe, the package that its script needs, and what the script says."""


@pytest.mark.parametrize("name", CASES)
def test_a_toy_runs_everywhere(name: str, tmp_path: Path) -> None:
    recipe, package, expected = CASES[name]
    pytest.importorskip(package)
    said = recipes.run_in(recipes.followed(recipe, tmp_path), f"try_{name}.py", str(tmp_path))
    assert expected in said
