"""Recipes of families: variants on top of their base, nothing inherited that is of one recipe alone."""

from pathlib import Path

import pytest

from lowbit.errors import FileError, PlanError
from lowbit.recipes import carried, merged, read_recipe, recipe_names, variant_path

ROOT = Path(__file__).parent.parent

FAMILY = """
network = "net"
epochs = 6
optimizer = { name = "adam", rate = 0.1 }
[published]
top1 = 0.5
[variants.pow2-3]
epochs = 3
optimizer = { rate = 0.2 }
[variants.pow2-3-blend]
base = "pow2-3"
plan = { "*" = { weight = "pow2:3" } }
[variants.alone]
base = ""
network = "other"
[variants.beside]
base = "lone"
seed = 4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net-a.toml").write_text(FAMILY)
    (tmp_path / "lone.toml").write_text('network = "lone"\ndata = "mnist"\n')
    (tmp_path / "only.toml").write_text('[variants.one]\nnetwork = "net"\n')
    return tmp_path


def test_variants_lie_on_top_of_their_base(folder: Path) -> None:
    whole = read_recipe(folder / "net-a.toml")
    assert whole["name"] == "net-a" and whole["published"] == {"top1": 0.5} and "variants" not in whole
    assert read_recipe(folder / "net-a-pow2-3-blend.toml") == {
        "network": "net",
        "epochs": 3,
        "optimizer": {"name": "adam", "rate": 0.2},
        "plan": {"*": {"weight": "pow2:3"}},
        "name": "net-a-pow2-3-blend",
    }
    assert read_recipe(folder / "net-a-alone.toml") == {"network": "other", "name": "net-a-alone"}
    beside = {"network": "lone", "data": "mnist", "seed": 4, "name": "net-a-beside"}
    assert read_recipe(variant_path(folder / "net-a.toml", "beside")) == beside
    assert read_recipe(folder / "only-one.toml") == {"network": "net", "name": "only-one"}


def test_every_recipe_has_a_name(folder: Path) -> None:
    named = ["lone", "net-a", *(f"net-a-{name}" for name in ("pow2-3", "pow2-3-blend", "alone", "beside"))]
    assert list(recipe_names(folder)) == [*named, "only-one"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("net-a-pow2-4", "pow2-3"),
        ("only", "--variant one"),
        ("net-a-beside", "none"),
        ("net-a-loop", "itself"),
    ],
)
def test_what_is_not_there_is_named(folder: Path, name: str, says: str) -> None:
    text = FAMILY.replace('base = "lone"', 'base = "none"') + '[variants.loop]\nbase = "loop"\n'
    (folder / "net-a.toml").write_text(text)
    with pytest.raises((PlanError, FileError), match=says):
        read_recipe(folder / f"{name}.toml")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="nothing-here"):
        read_recipe(tmp_path / "nothing-here.toml")


def test_merging_changes_neither() -> None:
    below, above = {"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [2]}
    assert merged(below, above) == {"a": {"b": 3, "c": 2}, "d": [2]}
    assert below == {"a": {"b": 1, "c": 2}, "d": [1]}


def test_a_clone_comes_before_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert carried("recipes").resolve() == ROOT / "recipes"
    (tmp_path / "recipes").mkdir()
    assert carried("recipes") == Path("recipes") and not carried("nothing").exists()


def test_families_are_few() -> None:
    """The recipes of published rows: 86 in 15 files or fewer."""
    files = [path for path in (ROOT / "recipes").glob("*.toml") if path.name != "rows.toml"]
    assert len(files) <= 15 and len(list(recipe_names(ROOT / "recipes"))) >= 86
