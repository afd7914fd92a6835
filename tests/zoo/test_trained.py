"""Trained networks of the zoo: what they are right about, and which there are."""

import json
from pathlib import Path

import pytest

import lowbit
from lowbit.data import load
from lowbit.errors import PlanError
from lowbit.zoo import NETWORKS, TRAINED, trained
from tests.command import Command


def test_the_network_of_the_digits_knows_them_and_stays_so_at_two_bits() -> None:
    graph = trained("digits")
    assert lowbit.evaluate(graph, "digits")["top1"] == 0.982
    small, _ = lowbit.quantize(graph, load("digits", split="train").samples, bits=2)
    assert lowbit.evaluate(small, "digits")["top1"] >= 0.96


def test_all_are_networks_of_the_zoo_and_others_are_refused() -> None:
    assert set(TRAINED) <= set(NETWORKS)
    with pytest.raises(PlanError, match="expected digits"):
        trained("vgg16")


def test_the_command_writes_trained_weights_unless_a_seed_is_said(tmp_path: Path, command: Command) -> None:
    for words, known in (([], True), (["--seed", 0], False), (["--scheme", "binary"], False)):
        path = tmp_path / "x.circle"
        code, out, _ = command("zoo", "digits", "-o", path, "--json", *words)
        assert code == 0 and json.loads(out)["trained"] is known
        assert (lowbit.evaluate(path, "digits")["top1"] == 0.982) is known
