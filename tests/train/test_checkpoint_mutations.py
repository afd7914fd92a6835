"""Checkpoints and curves that were cut, edited or mixed up are refused by name, or read as they are."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lowbit.errors import LowbitError, ModelFormatError

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
from safetensors.torch import save  # noqa: E402

from lowbit.train.checkpoint import read_tensors, write_tensors  # noqa: E402
from lowbit.train.metrics import read_curve  # noqa: E402
from lowbit.train.recipe import Recipe  # noqa: E402
from lowbit.train.run import Position  # noqa: E402

RECIPE = {"network": "lenet", "data": "fashion", "epochs": 2}
FACTS = {
    "recipe": RECIPE,
    "position": {"epoch": 1, "cpu_s": 0.5, "wall_s": 1, "curve": [{"epoch": 1, "loss": 2.5}]},
}
TENSORS = {"module.weight": torch.arange(12.0).view(3, 4), "random.cpu": torch.arange(9, dtype=torch.uint8)}


WORDS = (b'"', b"{", b"}", b"[", b",", b"null", b"-1", b"1e999")


def mutations(content: bytes, count: int) -> Iterator[bytes]:
    """Yield content with bits flipped, bytes lost, doubled or replaced."""
    random = np.random.default_rng(0)
    for _ in range(count):
        made, place = bytearray(content), int(random.integers(len(content)))
        match random.integers(4):
            case 0:
                made[place] ^= 1 << int(random.integers(8))
            case 1:
                del made[place : place + int(random.integers(1, 9))]
            case 2:
                made[place:place] = made[place : place + int(random.integers(1, 9))]
            case _:
                made[place : place + 1] = WORDS[random.integers(len(WORDS))]
        yield bytes(made)


def restored(path: Path) -> None:
    """Do what a run does with a checkpoint before tensors go into modules."""
    _, facts = read_tensors(path, ("recipe", "position"))
    Recipe.of(facts["recipe"], str(path))
    Position.of(facts["position"], path.parent)


def test_every_changed_byte_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_tensors(path, TENSORS, FACTS)
    content = path.read_bytes()
    for made in mutations(content, 600):
        path.write_bytes(made)
        if made != content:
            with pytest.raises(ModelFormatError):
                restored(path)


def test_a_checkpoint_without_a_checksum_is_read_and_its_faults_are_ours(tmp_path: Path) -> None:
    path, earlier = tmp_path / "checkpoint.safetensors", {**FACTS}
    earlier["position"] = {"epoch": 1, "cpu_s": 0.5, "wall_s": 1.0}
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "loss": 2.5}\n{"epoch": 2, "loss": 1}\n')
    content = save(TENSORS, {"lowbit": json.dumps(earlier)})
    path.write_bytes(content)
    tensors, facts = read_tensors(path, ("recipe", "position"))
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert Position.of(facts["position"], tmp_path) == Position(1, 0.5, 1.0, ({"epoch": 1, "loss": 2.5},))
    for made in mutations(content, 600):
        path.write_bytes(made)
        try:
            restored(path)
        except LowbitError:
            continue


def test_lines_of_a_curve_are_rows_or_refused(tmp_path: Path) -> None:
    lines = (json.dumps({"epoch": n, "loss": 1 / n, "top1": 0.5}) for n in (1, 2, 3))
    content = "\n".join(lines).encode()
    (tmp_path / "metrics.jsonl").write_bytes(content)
    assert [row["epoch"] for row in read_curve(tmp_path, 2)] == [1, 2]
    for made in mutations(content, 400):
        (tmp_path / "metrics.jsonl").write_bytes(made)
        try:
            rows = read_curve(tmp_path, 3)
        except ModelFormatError:
            continue
        assert all(type(row["epoch"]) is int and np.isfinite(list(row.values())).all() for row in rows)


@pytest.mark.parametrize("position", [3, None, [1], {}, {"epoch": 1, "cpu_s": 1, "wall_s": 1, "curve": [[]]}])
def test_facts_of_another_kind_are_refused(tmp_path: Path, position: object) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_tensors(path, TENSORS, {"recipe": RECIPE, "position": position})
    with pytest.raises(ModelFormatError, match="--fresh"):
        restored(path)
