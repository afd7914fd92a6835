"""What made a figure: a result without its conditions is no result."""

import os
import platform
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.version import __version__


def provenance(command: str) -> dict[str, Any]:
    """Return command, commit, machine, versions, threads and date, JSON-ready.

    Args:
        command: what remakes the figures, paths of the reader's own written as names (``DIR``).
    """
    package = Path(__file__).parent
    return {
        "command": command,
        "commit": commit(package),
        **({"changes": found} if (found := changes(package)) else {}),
        "date": time.strftime("%Y-%m-%d"),
        "lowbit": __version__,
        "machine": machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "threads": {name: os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")},
    }


def machine() -> str:
    """Return processor, family and model, and the number of cores that this process may use."""
    info = Path("/proc/cpuinfo")
    pairs = [line.partition(":") for line in info.read_text().splitlines()] if info.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    name = facts.get("model name", platform.processor() or platform.machine())
    kind = f" (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else ""
    return f"{name}{kind}, {_cores()} cores"


def _cores() -> int:
    """Return how many cores this process may use; where the system does not say, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def commit(package: Path) -> str:
    """Return the commit of lowbit's own checkout, with ``+`` where it was changed; "" elsewhere.

    Beside the branch ``main`` it is the newest of its commits that the checkout is made of, changed: commits
    of a branch are others once they join it, and a figure would name what nobody finds.

    An installed package may lie inside somebody's repository, whose commit says nothing of lowbit and whose
    hooks and filters are not ours to run: only a checkout of which ``src/lowbit`` is this package is asked,
    without hooks, without a monitor of files, and without what the caller's environment says of repositories.

    Args:
        package: the folder of the package.
    """
    root = _checkout(package)
    if root is None:
        return ""
    here, base = _git(root, "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"), _base(root)
    return here if not base or here.startswith(base) else f"{base}+"


def changes(package: Path) -> list[str]:
    """Return the subjects of the commits that a checkout has beside `commit`; joining keeps them."""
    root = _checkout(package)
    base = _base(root) if root else ""
    lines = _git(root, "rev-list", "--reverse", "--format=%s", f"{base}..HEAD") if root and base else ""
    return [line for line in lines.splitlines() if not line.startswith("commit ")]


def _checkout(package: Path) -> Path | None:
    """Return the folder of lowbit's own checkout, or None."""
    root = package.parent.parent
    ours = package == root / "src" / "lowbit" and (root / ".git").exists() and _is_ours(root)
    return root if ours else None


def _base(root: Path) -> str:
    """Return the newest commit of the branch ``main`` in a checkout; "" without such a branch."""
    found = (_git(root, "merge-base", "HEAD", name) for name in ("main", "origin/main"))
    return next(filter(None, found), "")


def _git(root: Path, *words: str) -> str:
    """Return what git says of a checkout, "" where it says nothing."""
    said = ["git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", *words]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603
            said,
            cwd=root,
            env={**clean, "GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _is_ours(root: Path) -> bool:
    """Return whether a folder is a checkout of lowbit."""
    try:
        with (root / "pyproject.toml").open("rb") as file:
            return bool(tomllib.load(file)["project"]["name"] == "lowbit")
    except (OSError, ValueError, KeyError, TypeError):
        return False
