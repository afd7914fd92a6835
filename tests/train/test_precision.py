"""What is said of bfloat16 before training begins, where it is slower than float32."""

from pathlib import Path

import pytest

pytest.importorskip("lightning_fabric")

import torch

from lowbit.train import precision, train
from tests.train.test_loop import made, recipe

CPU = torch.device("cpu")


def test_slow_bfloat16_is_told_of_with_its_cost_and_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "times_of_float32", lambda: 17.3)
    said = precision.cost_of("bf16", CPU)
    assert "17 times as long as float32" in said and "--precision float32" in said


def test_nothing_is_said_where_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "times_of_float32", lambda: 17.3)
    assert precision.cost_of("float32", CPU) == "" == precision.cost_of("bf16", torch.device("meta"))
    monkeypatch.setattr(precision, "times_of_float32", lambda: precision.SLOWER - 0.01)
    assert precision.cost_of("bf16", CPU) == ""


def test_the_cost_is_measured_and_leaves_chance_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    assert 0.01 < precision.times_of_float32() < 1000
    assert torch.equal(torch.rand(3), expected)


def test_a_run_says_it_before_its_first_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []
    monkeypatch.setattr(precision, "times_of_float32", lambda: 9.0)
    settings = recipe(precision="bf16", epochs=1)
    train(settings, made(60), out=tmp_path, tell=said.append, progress=lambda *_: said.append("step"))
    assert "9 times" in said[0] and said[1] == "step"
    said.clear()
    train(recipe(epochs=1), made(60), out=tmp_path / "float32", tell=said.append)
    assert not any("bf16" in line for line in said)
