"""Fixtures of all tests."""

import os
import sys

import pytest

os.environ.pop(
    "COLUMNS", None
)  # readline sets it for children, and a console made then has that width for ever

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
