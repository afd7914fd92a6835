"""A figure names the commit of lowbit's own checkout, and nobody's repository is asked or run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lowbit import provenance

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="this system has no git")

LEFT = "left by a repository"


def git(folder: Path, *words: str) -> str:
    names = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    said = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *said, *words], cwd=folder, env=names, capture_output=True, check=True)
    return done.stdout.decode().strip()


def repository(folder: Path, package: str, project: str) -> Path:
    """Return the package of a repository that leaves a file behind when git runs anything of it."""
    place = folder / package
    place.mkdir(parents=True)
    (place / "provenance.py").write_text("content\n")
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{project}"\n')
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    script = folder / "trap"
    script.write_text(f"#!/bin/sh\ntouch '{folder / LEFT}'\n")
    script.chmod(0o755)
    git(folder, "config", "core.fsmonitor", str(script))
    for name in ("post-index-change", "reference-transaction", "fsmonitor-watchman"):
        shutil.copy(script, folder / ".git" / "hooks" / name)
    return place


@pytest.mark.parametrize(
    ("package", "project"),
    [
        (".venv/lib/python3.11/site-packages/lowbit", "theirs"),
        (".venv/lib/python3.11/site-packages/lowbit", "lowbit"),
        ("src/lowbit", "theirs"),
        ("vendor/lowbit/src/lowbit", "lowbit"),
        ("lowbit", "lowbit"),
    ],
)
def test_a_package_inside_somebodys_repository_has_no_commit(
    tmp_path: Path, package: str, project: str
) -> None:
    assert provenance.commit(repository(tmp_path, package, project)) == ""
    assert not (tmp_path / LEFT).exists()


def test_a_checkout_has_its_own_and_says_when_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = repository(tmp_path / "lowbit", "src/lowbit", "lowbit")
    repository(tmp_path / "other", "src/other", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))  # as inside a hook of theirs
    first = provenance.commit(package)
    (package / "provenance.py").write_text("changed\n")
    changed = provenance.commit(package)
    traps = list(tmp_path.rglob(LEFT))
    monkeypatch.delenv("GIT_DIR")
    assert first == git(tmp_path / "lowbit", "rev-parse", "HEAD") and changed == f"{first}+" and not traps


def test_beside_main_it_is_the_commit_of_main_and_changed(tmp_path: Path) -> None:
    """A branch is rebased before it joins main, so that its own commits are in nobody's history."""
    root = tmp_path / "lowbit"
    package = repository(root, "src/lowbit", "lowbit")
    git(root, "branch", "-M", "main")
    first = git(root, "rev-parse", "HEAD")
    git(root, "checkout", "-q", "-b", "own")
    assert provenance.commit(package) == first
    for name in ("one", "two"):
        git(root, "commit", "-q", "--allow-empty", "-m", name)
    assert provenance.commit(package) == f"{first}+" and provenance.changes(package) == ["one", "two"]
    git(root, "checkout", "-q", "main")
    git(root, "merge", "-q", "own")
    assert provenance.commit(package) == git(root, "rev-parse", "HEAD") != first
    assert provenance.changes(package) == []


def test_without_git_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = repository(tmp_path, "src/lowbit", "lowbit")
    monkeypatch.setenv("PATH", "")
    assert provenance.commit(package) == ""


def test_cores_are_counted_where_the_system_does_not_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert provenance.machine().endswith(f", {os.cpu_count() or 1} cores")
