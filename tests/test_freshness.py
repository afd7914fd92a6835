"""No figure of `results/` is of another recipe or network than the repository says."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lowbit.reproduce import Row, kept, read_rows

pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

ROOT = Path(__file__).parent.parent
RECIPES, RESULTS = ROOT / "recipes", ROOT / "results"

_COMMIT = re.compile(r'"commit": "([0-9a-f]{40})')

AWAITED = ("L3", "L4-rounded", "L4-truncated", "P4", "V5")
"""Rows of networks that are in training again: their runs kept no hash. Nothing joins them."""


def freshness() -> ModuleType:
    found = importlib.util.spec_from_file_location("freshness", ROOT / "benchmarks/freshness.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


FRESHNESS = freshness()


def why_stale(row: Row, recipes: Path, results: Path) -> list[str]:
    ours = kept(row, results)
    assert ours is not None
    found: list[str] = FRESHNESS.why_stale(row, ours, recipes, results)
    return found


LOST = {"da4e3a996bffab0cfa7dfd26c7d7a4ad6656315f", "7de10cfac1b4fc5d9c19e406a281567dc879c631"}
"""Commits of a branch before it joined: figures of 2026-11-20 name them, and nobody has them any more."""


def test_figures_name_commits_of_this_history() -> None:
    if (
        not shutil.which("git")
        or not (ROOT / ".git").exists()
        or _git("rev-parse", "--is-shallow-repository") != "false"
    ):
        pytest.skip("this is no clone with its history")
    history = set(_git("rev-list", "HEAD").split())
    named = {path: set(_COMMIT.findall(path.read_text())) - LOST for path in RESULTS.glob("*.json")}
    beside = {path.name: commits - history for path, commits in named.items() if commits - history}
    assert not beside, "benchmarks name what `lowbit.provenance.commit` says"


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_no_row_is_stale() -> None:
    rows = {
        row.name: why_stale(row, RECIPES, RESULTS)
        for row in read_rows(RECIPES).values()
        if kept(row, RESULTS)
    }
    stale = {name: why for name, why in rows.items() if why and not name.startswith(AWAITED)}
    assert not stale
    unnamed = {line.partition(": ")[2] for name, why in rows.items() if why for line in why}
    assert unnamed <= {"does not say from which network"}


def written(folder: Path, **changes: Any) -> tuple[Row, Row]:
    """Write a recipe, its run's result and a figure taken from its network, and return the rows of both."""
    recipes, results = folder / "recipes", folder / "results"
    for path in (recipes, results, folder / "runs"):
        path.mkdir()
    network = folder / "runs/model.onnx"
    network.write_bytes(b"a network")
    settings = {"network": "lenet", "data": "mnist", "epochs": 2, "name": "net", "optimizer": {"rate": 0.01}}
    (recipes / "net.toml").write_text(
        'network = "lenet"\ndata = "mnist"\nepochs = 2\n[optimizer]\nrate = 0.01\n[published]\ntop1 = 0.5\n'
    )
    made = FRESHNESS.made_of(network)
    run = {"recipe": "net", "seed": 0, "scheme": "float", "top1": 0.9, "settings": settings}
    run["files"] = {"model.onnx": made["sha256"]}
    (results / "net-float-seed0.json").write_text(json.dumps(run))
    (folder / "runs/result.json").write_text(json.dumps(run))
    made = FRESHNESS.made_of(network)
    figure = {"clocks": 7, "made_of": [made], **changes}
    (results / "circuit.json").write_text(json.dumps(figure))
    of_run = Row("a", "a", recipe="net", result="net-*-seed[0-9]*", select={"recipe": "net"})
    of_network = Row("b", "b", result="circuit", figure="clocks", command="python b.py {runs}/net-seed0")
    return of_run, of_network


def test_a_run_is_as_old_as_its_recipe(tmp_path: Path) -> None:
    row, _ = written(tmp_path)
    recipe = tmp_path / "recipes/net.toml"
    assert why_stale(row, tmp_path / "recipes", tmp_path / "results") == []
    recipe.write_text(recipe.read_text().replace("top1 = 0.5", "top1 = 0.6"))
    assert why_stale(row, tmp_path / "recipes", tmp_path / "results") == []
    for old, new in (
        ("epochs = 2", "epochs = 3"),
        ("rate = 0.01", "rate = 0.02"),
        ("epochs", "batch = 7\nepochs"),
    ):
        text = recipe.read_text()
        recipe.write_text(text.replace(old, new))
        (why,) = why_stale(row, tmp_path / "recipes", tmp_path / "results")
        assert why.startswith("net-float-seed0.json: ") and " was " in why
        recipe.write_text(text)


def test_a_figure_is_as_old_as_its_network(tmp_path: Path) -> None:
    _, row = written(tmp_path)
    assert why_stale(row, tmp_path / "recipes", tmp_path / "results") == []
    run = tmp_path / "results/net-float-seed0.json"
    run.write_text(
        run.read_text().replace(FRESHNESS.made_of(tmp_path / "runs/model.onnx")["sha256"], "0" * 64)
    )
    (why,) = why_stale(row, tmp_path / "recipes", tmp_path / "results")
    assert "made from model.onnx" in why and "has 000000000000" in why


@pytest.mark.parametrize(
    "named", [[], [{"recipe": "net", "seed": 1, "file": "model.onnx", "sha256": "0" * 64}]]
)
def test_a_figure_of_a_network_that_is_not_kept_is_stale(tmp_path: Path, named: list[Any]) -> None:
    _, row = written(tmp_path, made_of=named)
    assert len(why_stale(row, tmp_path / "recipes", tmp_path / "results")) == 1
