"""300 mutated files, loaded and run; thousands: ``python -m tests.fuzz.mutated_models --count 10000``."""

import json
import sys
from pathlib import Path

import pytest

from tests.fuzz import mutated_models

pytest.importorskip("onnx")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs interval timers")

FILES = 300


def test_mutated_files_run_or_are_refused() -> None:
    outcomes, faults, _ = mutated_models.run(FILES, seed=20261129)
    assert not faults
    assert outcomes["ran"] > FILES // 10, outcomes
    assert sum(outcomes.values()) == FILES


def test_a_raw_exception_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Path] = []

    def broken(path: Path) -> str:
        seen.append(path)
        if len(seen) > 1:  # the first file is a good one
            raise KeyError("y")
        return "ran"

    monkeypatch.setattr(mutated_models, "attempt", broken)
    mutated_models.child(0, 0, 1)
    begun, ended = map(json.loads, capsys.readouterr().out.splitlines())
    assert ended["fault"] == "KeyError: 'y'" and begun["index"] == ended["index"] == 0


def test_a_crash_is_a_fault_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    children = [
        [
            {"index": 0, "file": "a.txt"},
            {"index": 0, "outcome": "ran", "fault": "", "grown": 0},
            {"index": 1, "file": "a.onnx"},
        ],
        [{"index": 2, "file": "a.txt"}, {"index": 2, "outcome": "ran", "fault": "", "grown": 7}],
    ]
    monkeypatch.setattr(mutated_models, "_child", lambda *_: iter(children.pop(0)))
    outcomes, faults, grown = mutated_models.run(3, seed=0)
    assert outcomes == {"ran": 2, "crash or hang": 1} and grown == 7
    assert [fault["index"] for fault in faults] == [1]
