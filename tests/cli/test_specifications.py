"""Every command that names schemes takes --weights and --activations, and says where they are wrong."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lowbit.formats import read_model
from tests.command import Command

ROOT = Path(__file__).parents[2]


def lowbit(folder: Path, *words: object) -> tuple[int, str, str]:
    """Run a command as people do, in a process of its own."""
    line = [sys.executable, "-m", "lowbit", *map(str, words)]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, " ".join(done.stderr.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two float networks."""
    found = tmp_path_factory.mktemp("networks")
    for name in ("digits", "lst1"):
        assert lowbit(found, "zoo", name, "-o", f"{name}.onnx")[0] == 0
    return found


@pytest.mark.parametrize(
    ("words", "forms"),
    [
        (("--weights", "lq:2", "--activations", "affine:8"), ("lq", 2, 8)),
        (("--bits", 2), ("lq", 2, 2)),
        (("--bits", 7), ("affine", 7, 7)),
        (("--weights", "pow2:3", "--weight-only"), ("pow2", 3, 32)),
        (("--scheme", "pow2", "--weight-bits", 3, "--activation-bits", 5), ("pow2", 3, 5)),
    ],
)
def test_quantize(
    folder: Path, words: tuple[object, ...], forms: tuple[str, int, int], command: Command
) -> None:
    given = ("--data", "digits", "--samples", 100, "--method", "rtn", "--json")
    files = (folder / "digits.onnx", "-o", folder / "low.circle")
    code, text, errors = command("quantize", *files, *words, *given)
    assert code == 0, errors
    layers = json.loads(text)["layers"]
    assert {(row["scheme"], row["weight_bits"], row["activation_bits"]) for row in layers} == {forms}


def test_fixed_point_throughout_needs_no_samples_and_is_written(folder: Path) -> None:
    forms = ("--weights", "fixed:6.7", "--activations", "fixed:6.7")
    assert lowbit(folder, "quantize", "lst1.onnx", "-o", "l.circle", *forms)[0] == 0
    assert lowbit(folder, "quantize", "lst1.onnx", "-o", "old.circle", "--scheme", "fixed:6.7")[0] == 0
    old, new = (read_model(folder / name) for name in ("old.circle", "l.circle"))
    assert str(old) == str(new) and "fixed" in str(new)
    assert lowbit(folder, "quantize", "lst1.onnx", "-o", "l.circle", *forms[:2])[0] == 2  # inputs stay float


def test_a_plan_and_options(folder: Path) -> None:
    (folder / "plan.toml").write_text('weights = "lq:2"\nactivations = "lq:2"\n[layers."fc*"]\nbits = 3\n')
    given = ("--data", "digits", "--samples", 100, "--plan", "plan.toml", "--json")
    code, text, errors = lowbit(
        folder, "quantize", "digits.onnx", "-o", "p.circle", *given, "--weights", "binary"
    )
    assert code == 0, errors
    assert [row["scheme"] for row in json.loads(text)["layers"]] == ["lq", "lq"]


def test_sweep(folder: Path) -> None:
    words = ("--weights", "lq:2,fixed:6.2", "--activations", "lq:2,fixed:6.2", "--limit", 50, "--json")
    given = ("--data", "digits", "--samples", 50, "--cache", "kept")
    code, text, errors = lowbit(folder, "sweep", "digits.onnx", *words, *given)
    assert code == 0, errors
    rows: list[dict[str, Any]] = json.loads(text)["rows"]
    found = [(row["scheme"], row["bits"], row["rounding"]) for row in rows]
    assert found == [
        ("lq", 2, "gptq"),
        ("lq/fixed:6.2", 2, "gptq"),
        ("fixed:6/lq:2", 2, "gptq"),
        ("fixed:6", 2, "nearest"),
    ]
    assert all(row["top1"] > 0.5 for row in rows)


def test_zoo(folder: Path) -> None:
    for name, words in (("new", "--weights"), ("old", "--scheme")):
        assert lowbit(folder, "zoo", "mlp-784-12-10", words, "binary", "-o", f"{name}.circle")[0] == 0
    assert (folder / "new.circle").read_bytes() == (folder / "old.circle").read_bytes()


def test_hdl_and_plot(folder: Path) -> None:
    if find_spec("matplotlib"):
        words = ("plot", "levels", "lst1.onnx", "--weights", "fixed:3.2", "-o", "levels.svg")
        assert lowbit(folder, *words)[0] == 0
    pytest.importorskip("amaranth")
    assert lowbit(folder, "hdl", "lst1.onnx", "-o", "lst1", "--weights", "fixed:6.7")[0] == 0
    code, _, errors = lowbit(folder, "hdl", "lst1.onnx", "-o", "other", "--weights", "lq:2")
    assert code == 6 and "fixed:M.N of both" in errors


def test_train_changes_what_the_recipe_says_of_all_layers() -> None:
    pytest.importorskip("torch")
    from lowbit.train import Recipe

    binary = Recipe.read(ROOT / "recipes" / "vgg-small-half-binary.toml")
    changed = binary.with_forms(weights="lq:2")
    assert changed.plan["first"] == {} and changed.scheme == "lq:2/binary"
    assert changed.plan["*"]["weight_gradient"] == "recu"
    floats = Recipe.read(ROOT / "recipes" / "lenet.toml").with_forms(
        weights="lq:2", activations="lq:2:offset"
    )
    assert floats.scheme == "lq:2/lq:2:offset" and Recipe.of(floats.to_dict(), "").plan == floats.plan


@pytest.mark.parametrize(
    "words",
    [
        ("quantize", "digits.onnx", "-o", "x.circle", "--data", "digits"),
        ("sweep", "digits.onnx", "--data", "digits"),
        ("zoo", "lst1", "-o", "x.onnx"),
        *([("hdl", "lst1.onnx", "-o", "x")] if find_spec("amaranth") else []),
        *(
            [("plot", "hidden", "lst1.onnx", "--data", "digits", "-o", "x.svg")]
            if find_spec("matplotlib")
            else []
        ),
        *([("train", ROOT / "recipes" / "lenet.toml")] if find_spec("torch") else []),
    ],
    ids=lambda words: str(words[0]),
)
def test_what_is_no_specification_is_told_where(
    folder: Path, words: tuple[object, ...], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    code, _, errors = command(*words, "--weights", "lq:2:ofset")
    errors = " ".join(errors.split())
    assert code == 6 and "expected offset" in errors and "at character 6 of 'lq:2:ofset'" in errors
    assert not (folder / "x").exists() and not list(folder.glob("x.*"))
    helped = command(words[0], *(words[1:2] if words[0] == "plot" else ()), "--help")[1]
    assert "--weights" in helped and "--activations" in helped and "--scheme " not in helped


def test_helps_of_a_narrow_terminal_are_whole(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that is wider than its column is cut, and what is said of the option with it."""
    import typer.main

    from lowbit.cli import app

    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERMINAL_WIDTH", "60")
    todo, seen = [((), typer.main.get_command(app))], 0
    while todo:
        words, known = todo.pop()
        todo += [((*words, name), each) for name, each in getattr(known, "commands", {}).items()]
        code, text, _ = command(*words, "--help")
        narrow = [line for line in text.splitlines() if line.strip()]
        assert code == 0 and max(map(len, narrow)) <= 60
        assert not [line for line in narrow if re.search(r"\w…", line)], words
        seen += 1
    assert seen > 15


def test_an_option_of_specifications_says_something(folder: Path, command: Command) -> None:
    """An empty text is a variable that is not set: nobody means that nothing changes, or what is usual."""
    import typer.main

    from lowbit.cli import app

    names, found = {"--weights", "--activations", "--scheme", "--schemes"}, 0
    todo = [((), typer.main.get_command(app))]
    while todo:
        words, known = todo.pop()
        todo += [((*words, name), each) for name, each in getattr(known, "commands", {}).items()]
        needed = [p for p in known.params if p.required]
        given = [
            word for p in needed if p.param_type_name == "option" for word in (p.opts[0], folder / "x.svg")
        ]
        given += [folder / "lst1.onnx" for p in needed if p.param_type_name == "argument"]
        for option in sorted(names & {name for each in known.params for name in each.opts}):
            code, _, errors = command(*words, *given, option, "")
            assert code == 6 and f"{option}: an option says nothing" in " ".join(errors.split()), words
            found += 1
    assert found > 10
