"""What runs a network: the engine, or the reference where the engine cannot, which is said."""

from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.api import inspect
from lowbit.errors import EngineError, TooLargeError
from lowbit.formats import write_model
from lowbit.ir import Graph, Node, Value, infer
from lowbit.scores import score
from tests.ir.networks import beyond_the_engine, float_mlp, lowbit_mlp


def maps_beyond_the_engine() -> Graph:
    """Return a network of inputs ``[n, 3, 4]`` that only the reference runs."""
    graph = Graph("beyond", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 4))})
    graph.nodes = [Node("Flatten", ("x",), ("y",), {}, "flat")]
    infer(graph)
    return beyond_the_engine(graph)


def test_the_reference_runs_what_the_engine_does_not_and_says_so() -> None:
    graph = maps_beyond_the_engine()
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    found = score(graph, x)
    assert found.backend == "reference" and "Conv" in found.why
    assert len(found.notes) == 1 and found.why in found.notes[0]
    with pytest.raises(EngineError, match=r"volume.*reference"):
        score(graph, x, "engine")
    assert score(float_mlp((12, 5)), x.reshape(5, 12)).notes == ()


def test_evaluate_says_what_ran(tmp_path: Path) -> None:
    labels = np.zeros(5, np.int64)
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).random((5, 3, 4), np.float32), y=labels)
    result = lowbit.evaluate(maps_beyond_the_engine(), str(tmp_path / "data.npz"))
    assert result["backend"] == "reference"
    assert any("reference" in note and "Conv" in note for note in result["notes"])


def test_too_little_memory_is_no_reason_for_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWBIT_MEMORY", "10K")
    with pytest.raises(TooLargeError, match="LOWBIT_MEMORY"):
        score(lowbit_mlp((65, 700, 10)), np.zeros((1, 65), np.float32))


def test_inspect_says_what_a_network_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = lowbit_mlp((65, 700, 10))
    write_model(graph, tmp_path / "n.circle")
    write_model(maps_beyond_the_engine(), tmp_path / "beyond.txt")
    memory = inspect(tmp_path / "n.circle")["memory"]
    needed = lowbit.load(graph).memory
    assert (memory["constants"], memory["arena"]) == (needed.constants, needed.arena)
    assert memory["allowed"] >= memory["arena"] > 0 and memory["why"] == ""
    assert "Conv" in inspect(tmp_path / "beyond.txt")["memory"]["why"]
    monkeypatch.setenv("LOWBIT_MEMORY", "10K")
    assert "memory" in inspect(tmp_path / "n.circle")["memory"]["why"]
