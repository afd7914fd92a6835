"""Fixtures of all tests."""

import os
import sys

import pytest

os.environ.pop(
    "COLUMNS", None
)  # readline sets it for children, and a console made then has that width for ever

from lowbit.cli import app, guarded
from tests.command import Command


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take ``--nightly``."""
    parser.addoption("--nightly", action="store_true", help="run the cases that take many seconds, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked nightly, and say so, unless it is asked for."""
    if config.getoption("--nightly"):
        return
    for item in items:
        if item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.skip(reason="nightly: scripts/test --nightly runs it"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return what runs a command of `lowbit` in this process."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lowbit", *map(str, words)])
        code = guarded(app)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
