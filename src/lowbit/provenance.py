"""What made a figure: a result without its conditions is no result."""

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.version import __version__


def provenance(command: str) -> dict[str, Any]:
    """Return command, commit, machine, versions, threads and date, JSON-ready.

    Args:
        command: what remakes the figures, paths of the reader's own written as names (``DIR``).
    """
    return {
        "command": command,
        "commit": _commit(),
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
    return f"{name}{kind}, {len(os.sched_getaffinity(0))} cores"


def _commit() -> str:
    """Return the commit of the checkout that this runs in, with ``+`` where it was changed; "" elsewhere."""
    folder = Path(__file__).parent
    words = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ""
    return done.stdout.strip()
