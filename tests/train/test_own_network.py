"""A module of somebody's own: the way from its file to the engine, and every way in which it is wrong."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.command import Command
from tests.train.own import CLASSES, MODULE, pictures, write_folder, write_module

pytest.importorskip("lightning_fabric")
pytest.importorskip("PIL")

from lowbit.errors import DataError, FileError, LowbitError, PlanError, UnsupportedError
from lowbit.train import Recipe, load_data, measured, recipe_of, train

LOW = {"plan": {"weights": "lq:2", "activations": "lq:2"}, "epochs": 2, "batch": 8}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_module(tmp_path)
    samples, labels = pictures()
    np.savez("own.npz", x=samples, y=labels)
    return tmp_path


def refused(network: str, data: str = "own.npz", **settings: object) -> LowbitError:
    """Return what is said of a run that cannot begin, and see that it wrote nothing."""
    with pytest.raises(LowbitError) as found:
        recipe = recipe_of(network, data, {"epochs": 1, "batch": 8, **settings})
        train(recipe, load_data(recipe), out="refused")
    assert not Path("refused").exists()
    return found.value


def test_from_a_folder_of_pictures_to_the_engine(here: Path, command: Command) -> None:
    write_folder(here / "pictures", {"train": 45, "test": 12}, colour=True)
    words = ["--data", "pictures", "--resize", "8x8", "--colours", "grey", "--weights", "lq:2", "--clip", 1]
    words += ["--activations", "lq:2", "--epochs", 2, "--batch", 8, "--normalize", "measured", "--rate", 0.01]
    code, out, _ = command("train", "mynet.py:Net", *words, "--out", "run", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["judged_by"] == "the test samples" and facts["test_samples"] == 12
    assert facts["validation"]["samples"] == 9 and facts["kept_epoch"] in (1, 2)
    assert facts["differences"]["circle"]["classes"] == 0 and not facts["not_written"]
    assert facts["differences"]["codes"] > 0 == facts["differences"]["codes_engine"]
    assert facts["classes"] == list(CLASSES) and facts["command"].startswith(
        "lowbit train mynet.py:Net --data DIR"
    )
    for name in ("model.circle", "model.onnx"):  # size, colours, normalization are in the files
        code, out, _ = command("eval", f"run/{name}", "--data", "pictures", "--json")
        assert code == 0 and json.loads(out)["top1"] == facts["top1"]
    code, out, _ = command("predict", "run/model.circle", "pictures/test/bee/001.png", "--json")
    assert code == 0 and json.loads(out)["classes"] == list(CLASSES)


def test_lines_of_an_npz_with_arguments_of_the_module(here: Path) -> None:
    random = np.random.default_rng(0)
    np.savez("lines.npz", x=random.normal(size=(30, 2, 12)).astype(np.float32), y=np.arange(30) % 3)
    recipe = recipe_of("mynet.py:sense(width=4)", "lines.npz", LOW)
    data = load_data(recipe)
    recipe = measured(recipe, data)
    facts = train(recipe, data, out="run").facts
    assert len(recipe.normalize) == 4 and facts["differences"]["circle"]["classes"] == 0
    assert facts["judged_by"] == "6 training samples kept out, by class, seed 0"
    assert Recipe.read("run/recipe.toml").arguments == {"width": 4}


@pytest.mark.parametrize(
    ("network", "error", "says"),
    [
        ("mynet.py:Nett", PlanError, "no such class or function; expected Net"),
        ("mynet.py", PlanError, "which module of the file is meant"),
        ("none.py:Net", FileError, "none.py: the file cannot be opened"),
        ("mynet.py:sense", PlanError, r"found nothing for width.*mynet.py:sense\(width=…\)', --set width=…"),
        ("mynet.py:Net(wide=3)", PlanError, "found wide, which it has not"),
        ("mynet.py:Net(width=[].append(1))", PlanError, "literals by name"),
        ("mynet.py:Net(__import__('os'))", PlanError, "literals by name"),
        ("mynet.py:Net(width=0.5)", PlanError, "cannot be made.*found ValueError.* in line 10"),
        ("mynet.py:Bad", PlanError, "cannot be made.*RuntimeError: no luck in line"),
        ("mynet.py:number", PlanError, "gives no module; expected torch.nn.Module; found int"),
        ("mynet.py:made", PlanError, "neither a class nor a function"),
        ("mynet.py:half", UnsupportedError, "no float32.*float16.*autocast is the way"),
        ("mynet.py:brain", UnsupportedError, "no float32.*bfloat16.*autocast is the way"),
        ("mynet.py:Net(channels=3)", DataError, r"layer conv1: .*--colours rgb|layer conv1: .*3 channels"),
        (
            "mynet.py:Net(classes=7)",
            PlanError,
            "outputs than there are classes.*expected 3.*found 7.*--set classes=3",
        ),
        ("mynet.py:Maps", PlanError, r"gives no row of numbers.*expected \[n, 3\]"),
    ],
)
def test_a_module_that_cannot_be_trained_says_why(
    here: Path, network: str, error: type[LowbitError], says: str
) -> None:
    found = refused(network, input=[1, 8, 8])
    assert isinstance(found, error) and re.search(says, str(found)), str(found)


@pytest.mark.parametrize(
    ("text", "says"), [("1\n1 / 0", "ZeroDivisionError.*line 2"), ("def (", "SyntaxError.*line 1")]
)
def test_a_file_that_cannot_be_imported_names_its_line(here: Path, text: str, says: str) -> None:
    write_module(here, text, "broken.py")
    assert re.search(says, str(refused("broken.py:Net")))


def test_a_neighbour_of_the_file_can_be_imported(here: Path) -> None:
    write_module(here, MODULE, "parts.py")
    write_module(here, "from parts import Net as Other\n", "outer.py")
    recipe = recipe_of("outer.py:Other", "own.npz", {"epochs": 1, "batch": 8, "input": [1, 8, 8]})
    assert train(recipe, load_data(recipe), out="run").facts["scheme"] == "float"


def test_all_that_stands_in_the_way_is_said_at_once(here: Path) -> None:
    text = str(refused("mynet.py:Net", batch=90, input=[1, 8, 8], plan={"conf2": {"weights": "lq:2"}}))
    assert "for 2 reasons" in text and "expected conv2" in text and "a batch has more samples" in text
    text = str(refused("mynet.py:Nett", "none.npz"))
    assert "none.npz" in text and "expected Net" in text and "for 2 reasons" in text


def test_samples_in_another_form_are_refused_with_what_would_do(here: Path) -> None:
    assert "It takes them with --input 1,8,8" in str(refused("mynet.py:Net"))


def test_a_teacher_is_of_the_same_classes_and_of_code_that_the_user_names(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowbit.train.network.refuse_unexportable", lambda *_: None)
    monkeypatch.setattr(
        "lowbit.train.loop.write_networks", lambda *_: {"onnx": "left out", "circle": "left out"}
    )
    monkeypatch.setattr("lowbit.train.loop.agreement", lambda *_: {})
    monkeypatch.setattr("lowbit.train.loop.file_hash", lambda *_: "")
    base = {"epochs": 1, "batch": 8, "input": [1, 8, 8]}
    recipe = recipe_of("mynet.py:Net", "own.npz", base)
    train(recipe, load_data(recipe), out="big")
    loss = {"teacher": "big", "distillation": 0.5}
    write_module(here, MODULE, "other.py")
    assert "whose file has to be named" in str(refused("other.py:Net", **base | {"loss": loss}))
    named = loss | {"teacher_network": "mynet.py:Net"}
    taught = recipe_of("other.py:Net", "own.npz", base | {"loss": named})
    assert train(taught, load_data(taught), out="small").facts["made_from"]["teacher"]
    samples, labels = pictures()
    np.savez("four.npz", x=samples, y=np.arange(len(labels)) % 4)
    four = base | {"loss": named, "arguments": {"classes": 4}}
    write_module(here, MODULE.replace("classes=3", "classes=4"), "other.py")
    text = str(refused("other.py:Net", "four.npz", **four))
    assert "the teacher has other classes; expected 4 classes, as the student; found 3" in text
