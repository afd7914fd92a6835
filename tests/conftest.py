"""Fixtures of all tests."""

import sys

import pytest

from lowbit.cli import app, guarded
from tests.command import Command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return what runs a command of `lowbit` in this process."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lowbit", *map(str, words)])
        code = guarded(app)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
