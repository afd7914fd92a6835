"""Mutated settings and state raise errors of ours only."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.fuzz.state_mutations import Kind, faults, kinds


@pytest.mark.parametrize("name", kinds())
def test_settings_and_state(name: str, tmp_path: Path) -> None:
    assert faults(kinds()[name], 100, 7, tmp_path) == []


def test_a_raw_exception_is_reported(tmp_path: Path) -> None:
    def read(path: Path) -> object:
        return int(path.read_bytes())

    assert faults(Kind("number", b"17", read), 50, 0, tmp_path)
