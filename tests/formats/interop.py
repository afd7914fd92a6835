"""Finds third-party tools: in this interpreter, or in the one that LOWBIT_INTEROP_PYTHON names."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "LOWBIT_INTEROP_PYTHON"


def python_with(package: str) -> str:
    """Return a Python that can import the package; skip the test where there is none."""
    if importlib.util.find_spec(package):
        return sys.executable
    other = os.environ.get(VARIABLE, "")
    if other and subprocess.run([other, "-c", f"import {package}"], capture_output=True).returncode == 0:
        return other
    pytest.skip(f"{package} is not installed; name a Python that has it in {VARIABLE}")


def folder_of(package: str) -> Path:
    """Return where a package is installed; skip the test where it is not."""
    code = f"import importlib.util as u; print(u.find_spec({package!r}).submodule_search_locations[0])"
    found = subprocess.run([python_with(package), "-c", code], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip())
