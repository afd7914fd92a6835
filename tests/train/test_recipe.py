"""Recipes: what they may say, and what a wrong word gets for an answer."""

from pathlib import Path
from typing import Any

import pytest

from lowbit.errors import FileError, PlanError

pytest.importorskip("lightning_fabric")

from lowbit.nn import Network, Plan, prepare
from lowbit.recipes import recipe_names
from lowbit.train import Recipe
from lowbit.zoo import network

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = [FOLDER / f"{name}.toml" for name in recipe_names(FOLDER)]
LEAST = {"network": "lenet", "data": "fashion", "epochs": 1}
NO_NAMES = (
    "../../x",
    "/x",
    "a/b",
    ".",
    "..",
    ".hidden",
    "a\\b",
    "a\0b",
    "a\nb",
    "a\n",
    "\x1b[2J",
    "-rf",
    "x" * 101,
)


def recipe(**settings: Any) -> Recipe:
    return Recipe.of({**LEAST, **settings}, "test")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_fits_its_network(path: Path) -> None:
    found = Recipe.read(path)
    module = Network(network(found.network))
    changed = prepare(module, Plan.of(found.plan)).changed
    assert bool(changed) == (found.scheme != "float") and found.name == path.stem
    for parent in filter(None, (found.initial, found.loss.teacher)):
        assert path.with_name(f"{parent}.toml") in RECIPES


def test_a_recipe_survives_json() -> None:
    found = recipe(
        normalize=[0.5, 0.25], loss={"smoothing": 0.1}, plan={"*": {"weight": "binary"}}, name="made"
    )
    assert Recipe.of(found.to_dict(), "again") == found


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"epoch": 3}, "test: unknown setting; expected epochs"),
        ({"optimizer": {"rat": 0.1}}, r"test\.optimizer: unknown setting; expected rate"),
        ({"optimizer": {"name": "lion"}}, "expected adamw or adam or sgd; found 'lion'"),
        ({"optimizer": {"rate": "0.1"}}, r"test\.optimizer\.rate: .*expected float; found '0\.1'"),
        ({"optimizer": {"rate": 0.0}}, "expected above 0"),
        ({"optimizer": {"rate": float("nan")}}, "found nan"),
        ({"epochs": True}, "expected int; found True"),
        ({"epochs": 0}, "expected above 0; found 0"),
        ({"batch": 1.5}, "expected int"),
        ({"loss": 0.1}, r"test\.loss: .*expected Loss"),
        ({"loss": {"teacher": "lenet"}}, "both teacher and distillation"),
        ({"loss": {"distillation": 0.5}}, "both teacher and distillation"),
        ({"normalize": [0.5]}, "deviation above 0"),
        ({"normalize": [0.5, 0]}, "deviation above 0"),
        ({"precision": "fp16"}, "float32 or bf16"),
        ({"plan": {"conv1": "binary"}}, "table of tables"),
        ({"augmentation": {"flip": 1}}, "expected bool"),
        ({"schedule": {"warmup": 1.5}}, "at most 1.0"),
        ({"judge": "tests"}, "test or both or training"),
        ({"judge": "training", "validation": 3}, "kept out or they judge"),
        ({"plan": {"*": {"weight": 3}}}, "no text"),
        ({"seed": 1 << 70}, "at most"),
        ({"optimizer": {"rate": 10**400}}, "expected float"),
        ({"normalize": [float("nan"), 1]}, "found nan|expected float"),
        *(({"name": name}, "name of files") for name in NO_NAMES),
    ],
)
def test_wrong_settings_are_explained(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        recipe(**settings)


def test_a_recipe_says_network_data_and_epochs(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="expected data and epochs"):
        Recipe.of({"network": "lenet"}, "test")
    (tmp_path / "bad.toml").write_bytes(b"network = \xff")
    with pytest.raises(PlanError, match="not TOML"):
        Recipe.read(tmp_path / "bad.toml")
    with pytest.raises(FileError, match="cannot be opened"):
        Recipe.read(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("plan", "scheme"),
    [
        ({}, "float"),
        ({"*": {"weight": "binary", "activation": "binary"}, "first": {}}, "binary"),
        ({"*": {"weight": "pow2:3"}}, "pow2:3"),
        ({"*": {"weight": "lq:2", "activation": "lq:1"}, "last": {"weight": "lq:2"}}, "lq:2/lq:1+lq:2"),
    ],
)
def test_the_scheme_has_a_name(plan: dict[str, Any], scheme: str) -> None:
    assert recipe(plan=plan).scheme == scheme
