"""The guide to one's own network, done as it is written, with fewer pictures, epochs, seeds and trials."""

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest

from tests.command import Command

for package in ("lightning_fabric", "optuna", "PIL", "sklearn"):
    pytest.importorskip(package)

GUIDE = Path(__file__).parents[2] / "docs/guides/own-network.md"
LESS = ((r"--epochs \d+", "--epochs 1"), (r"--seeds \d+", "--seeds 2"), (r"--trials \d+", "--trials 1"))


def blocks(kind: str) -> list[str]:
    """Return the blocks of the guide in a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return [text for language, text in found if language == kind]


def test_the_guide_does_what_it_says(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (*blocks("python"), *blocks("toml")):
        if name := re.match(r"# (\S+\.(?:py|toml))\n", text):
            (tmp_path / name[1]).write_text(text.replace("COUNT = 1797", "COUNT = 240"))
    lines = [line for text in blocks("") for line in text.splitlines()]
    assert len(lines) > 8
    for line in lines:
        for pattern, less in LESS:
            line = re.sub(pattern, less, line)
        program, *words = shlex.split(line)
        if program == "python":
            runpy.run_path(words[0])
            continue
        code, _, err = command(*words)
        assert program == "lowbit" and code == 0, f"{line}: {err}"
    for folder in ("run", "again", "best"):
        facts = json.loads(Path(folder, "result.json").read_text())
        assert facts["judged_by"] == "the test samples" and facts["differences"]["circle"]["classes"] == 0
    assert Path("run/weights.safetensors").read_bytes() == Path("again/weights.safetensors").read_bytes()
