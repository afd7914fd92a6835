"""``lowbit zoo``: the list, files that other commands read, and what wrong names say."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lowbit.formats import read_model
from lowbit.ir import evaluate
from lowbit.zoo import NETWORKS, float_graph
from tests.command import Command


@pytest.fixture
def zoo(command: Command) -> Command:
    return partial(command, "zoo")


def test_without_a_name_networks_are_listed(zoo: Command) -> None:
    code, out, _ = zoo()
    assert code == 0 and all(name in out for name in NETWORKS)
    code, out, _ = zoo("--json")
    rows = {row["name"]: row for row in json.loads(out)["networks"]}
    assert code == 0 and rows["vgg16"]["input_shape"] == [3, 32, 32]
    assert rows["mlp"]["parameters"] == 540_610


def test_a_float_network_is_written(zoo: Command, tmp_path: Path) -> None:
    path = tmp_path / "lenet.onnx"
    code, out, _ = zoo("lenet", "-o", path, "--seed", 7, "--json")
    assert code == 0 and json.loads(out)["bytes"] == path.stat().st_size
    x = {"x": np.full((1, 1, 28, 28), 0.5, np.float32)}
    wanted = evaluate(float_graph(NETWORKS["lenet"], seed=7), x)["logits"]
    np.testing.assert_allclose(evaluate(read_model(path), x)["logits"], wanted, rtol=1e-5)


def test_a_seed_decides_every_byte(zoo: Command, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        zoo("mlp", "-o", tmp_path / f"{name}.onnx", "--seed", seed)
    first, again, other = ((tmp_path / f"{name}.onnx").read_bytes() for name in "abc")
    assert first == again != other


def test_a_binary_network_is_small(zoo: Command, tmp_path: Path) -> None:
    code, out, _ = zoo("mlp", "-o", tmp_path / "mlp.circle", "--scheme", "binary", "--json")
    assert code == 0 and json.loads(out)["bytes"] < 540_610 / 8 + 12_000


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("resnet21", "-o", "net.onnx"), 6, "resnet20"),
        (("lenet",), 2, "where to write"),
        (("lenet", "-o", "net.onnx", "--weights", "ternary"), 6, "ternary"),
        (("lenet", "-o", "net.docx"), 5, "docx"),
    ],
)
def test_wrong_words_are_explained(zoo: Command, words: tuple[str, ...], code: int, says: str) -> None:
    found, _, err = zoo(*words)
    assert found == code and says in err
