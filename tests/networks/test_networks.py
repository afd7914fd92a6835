"""Pretrained networks: all load and run; a file that is not what was measured, or not here, is refused."""

from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.errors import FileError, ModelFormatError, UsageError
from lowbit.networks import VARIABLE, pretrained_networks
from tests.command import Command

CLONE = Path(__file__).parents[2] / "results/networks"


@pytest.mark.parametrize("name", pretrained_networks())
def test_every_network_is_as_listed_and_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(CLONE))
    row, graph = pretrained_networks()[name], lowbit.pretrained(name)
    assert row.path.stat().st_size == row.bytes
    shape = [length for length in graph.value(graph.inputs[0]).shape[1:] if isinstance(length, int)]
    scores = lowbit.load(graph).run(np.zeros((3, *shape), np.float32))
    assert scores.shape == (3, 10)
    assert np.isfinite(scores).all()


def test_a_file_that_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    name, row = next((name, row) for name, row in pretrained_networks().items() if not row.carried)
    content = bytearray((CLONE / row.file).read_bytes())
    content[-1] ^= 1
    (tmp_path / row.file).write_bytes(content)
    with pytest.raises(ModelFormatError, match=f"not {name}"):
        lowbit.pretrained(name)


def test_a_file_that_is_not_here_says_what_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(FileError, match=r"LOWBIT_NETWORKS=FOLDER.*mnist-mlp-1bit"):
        lowbit.pretrained("mnist-fc-4bit")


def test_near_names_are_listed() -> None:
    with pytest.raises(UsageError, match="mnist-mlp-1bit"):
        lowbit.pretrained("mnist-mlp-1bits")


def test_the_command_lists_and_writes_them(command: Command, tmp_path: Path) -> None:
    code, said, _ = command("zoo")
    assert code == 0
    assert "mnist-lst1-q6.7" in said
    path = tmp_path / "mlp.circle"
    code, said, _ = command("zoo", "mnist-mlp-1bit", "-o", str(path))
    assert code == 0
    assert "trained" in said
    assert path.stat().st_size == pretrained_networks()["mnist-mlp-1bit"].bytes
