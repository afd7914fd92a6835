"""``lowbit train``: a recipe on data that is made here, its folder, and what wrong words say."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.command import Command

pytest.importorskip("lightning_fabric")


@pytest.fixture
def command(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return command


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    pictures, labels = random.integers(0, 256, (2, 40, 28, 28), np.uint8), random.integers(0, 10, 40)
    arrays = dict(zip(("x_train", "x_test"), pictures, strict=True))
    np.savez(tmp_path / "data.npz", **arrays, y_train=labels, y_test=labels)
    path = tmp_path / "made.toml"
    path.write_text('network = "lenet"\ndata = "data.npz"\nepochs = 2\nbatch = 20\n')
    return path


def test_a_recipe_becomes_a_folder_that_other_commands_read(recipe: Path, command: Command) -> None:
    code, out, _ = command("train", recipe, "--seed", 3, "--epochs", 1, "--json")
    facts = json.loads(out)
    assert code == 0 and facts["seed"] == 3 and facts["settings"]["epochs"] == len(facts["curve"]) == 1
    assert facts["command"] == "lowbit train recipes/made.toml --data DIR --seed 3 --epochs 1"
    code, out, _ = command("eval", "runs/made-seed3/model.onnx", "--data", "data.npz", "--json")
    assert code == 0 and json.loads(out)["top1"] == facts["top1"]


def test_people_read_a_line_and_figures_are_kept(recipe: Path, command: Command, tmp_path: Path) -> None:
    code, out, _ = command("train", recipe, "--out", "there", "--keep", tmp_path)
    assert code == 0 and "there: top-1" in out and "of 40 samples" in out
    kept = (tmp_path / "made-float-seed0.json").read_bytes()
    assert kept == (tmp_path / "there/result.json").read_bytes()


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("epoch = 3", 6, "expected epochs"),
        ('plan = { conf1 = { weight = "binary" } }', 6, "expected conv1"),
        ('plan = { conv1 = { wait = "binary" } }', 6, "expected weight"),
        ('loss = { teacher = "parent", distillation = 0.5 }', 6, "lowbit train recipes/parent.toml"),
        ("batch = 41", 6, "a batch has more samples"),
        ("optimizer = { name = 'sgd', rate = 1e30 }", 7, "the loss is not finite"),
    ],
)
def test_what_is_wrong_is_explained(recipe: Path, command: Command, line: str, code: int, says: str) -> None:
    lines = [old for old in recipe.read_text().splitlines() if old.split()[0] != line.split()[0]]
    recipe.write_text("\n".join([*lines, line]))
    found, _, err = command("train", recipe)
    assert found == code and says in " ".join(err.split())


def test_missing_data_is_named(recipe: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "data.npz").unlink()
    code, _, err = command("train", recipe)
    assert code == 3 and "data.npz" in err


def test_a_folder_that_is_called_as_a_data_set_is_no_trap(command: Command, tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    code, _, err = command("train", "none.py:Net", "--data", "digits")
    assert code == 3 and "digits is the data set of that name; the folder is ./digits" in " ".join(
        err.split()
    )


def test_the_data_of_a_module_has_to_be_said(command: Command) -> None:
    code, _, err = command("train", "mynet.py:Net")
    assert code == 2 and "--data" in err


@pytest.mark.parametrize(
    "option", ["--validation=0", "--validation=1.5", "--validation=x", "--input=1,x", "--set=9"]
)
def test_words_that_mean_nothing_are_explained(command: Command, option: str) -> None:
    code, _, err = command("train", "mynet.py:Net", "--data", "digits", option)
    assert code == 2 and "expected" in err
