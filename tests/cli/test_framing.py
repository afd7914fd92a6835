"""Pictures of any size: every command that reads samples resizes and crops them, and says so in its help."""

from pathlib import Path

import numpy as np
import pytest
import typer.main
from typer.core import TyperGroup

import lowbit
from lowbit.cli import app
from tests.command import Command
from tests.ir.networks import float_mlp

Image = pytest.importorskip("PIL.Image")

FRAMED = ("--resize", "9", "--crop", "8")


def commands() -> dict[str, object]:
    found: dict[str, object] = {}
    waiting = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        if isinstance(command, TyperGroup):
            waiting += [(f"{name} {key}".strip(), each) for key, each in command.commands.items()]
        else:
            found[name] = command
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 10)):
        for index in range(count):
            place = tmp_path / "pictures" / split / "ab"[index % 2]
            place.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, tuple(random.integers(10, 20, 2))).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{index:02d}.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize(
    "name", [name for name, each in commands().items() if any(p.name == "normalize" for p in each.params)]
)
def test_whatever_normalizes_samples_resizes_and_crops_them(name: str) -> None:
    said = {parameter.name for parameter in commands()[name].params}
    assert {"resize", "crop"} <= said


@pytest.fixture
def model(tmp_path: Path) -> Path:
    lowbit.write(float_mlp((64, 12, 2)), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def calls(model: Path, folder: Path, here: Path) -> dict[str, list[object]]:
    return {
        "eval": ["eval", model],
        "run": ["run", model, "-o", here / "out.npz"],
        "predict": ["predict", model, "--index", 3],
        "quantize": ["quantize", model, "-o", here / "low.onnx", "--bits", 8],
        "report": ["report", model, "-o", here / "page.html"],
        "sweep": ["sweep", model, "--schemes", "fixed:4", "--bits", "4", "--cache", here / "cache"],
    }


@pytest.mark.parametrize("name", list(calls(Path(), Path(), Path())))
def test_commands_take_pictures_of_other_sizes(
    name: str, model: Path, folder: Path, tmp_path: Path, command: Command
) -> None:
    words = [*calls(model, folder, tmp_path)[name], "--data", folder, "--json"]
    status, *said = command(*words)
    assert status == 4 and "--resize 256" in " ".join("".join(said).split())
    status, *said = command(*words, *FRAMED)
    assert status == 0, said


def test_a_quantized_file_remembers_it(model: Path, folder: Path, tmp_path: Path, command: Command) -> None:
    low = tmp_path / "low.onnx"
    assert command("quantize", model, "-o", low, "--data", folder, "--bits", 8, *FRAMED)[0] == 0
    assert lowbit.read(low).metadata["pictures"] == "resize=9 crop=8x8"
    assert command("eval", low, "--data", folder)[0] == 0


def test_a_photograph_has_a_middle_or_a_part(model: Path, folder: Path, command: Command) -> None:
    photo = sorted((folder / "test" / "a").iterdir())[0]
    for words in (
        ["--crop", "8"],
        ["--resize", "8x8"],
        ["--crop", "0,0,9,9"],
        ["--crop", "1,1,9,9", "--resize", "8x8"],
    ):
        assert command("predict", model, photo, *words, "--json")[0] == 0, words
    assert command("predict", model, photo, "--resize", "9", "--json")[0] == 4
