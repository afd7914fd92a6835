"""Verilator's own runtime, compiled once on a machine for all designs.

It takes longer to compile than most designs do, so its objects are kept in the user's cache folder; where
there is none that can be written, they live as long as the process.
"""

import atexit
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from tempfile import mkdtemp

from lowbit.errors import WriteError
from lowbit.rtl.tools import run
from lowbit.untrusted import cache_folder, write_atomic

FLAGS = ("-std=c++20", "-w", "-fPIC", "-pthread", "-O1")
"""Those of designs, too, of either simulator."""

VERILATED = ("-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0")
"""What Verilator's designs are told besides."""

_ALWAYS = '#include "verilated.cpp"\n#include "verilated_threads.cpp"\n'


def tracing(waveforms: bool) -> tuple[str, ...]:
    """Return what runtime and design are told of waveforms."""
    return (*(f"-DVM_TRACE{kind}={int(waveforms)}" for kind in ("", "_VCD")), "-DVM_TRACE_FST=0")


@cache
def runtime(root: Path, compile_command: tuple[str, ...], waveforms: bool) -> tuple[Path, ...]:
    """Return the objects that a design is linked with.

    Args:
        root: the folder of the Verilator package.
        compile_command: of the C++ compiler.
        waveforms: whether runs can write waveforms.

    Raises:
        EngineError: the compiler failed.
    """
    parts = {"runtime": _ALWAYS}
    if waveforms:  # bears no company in one file
        parts["waveforms"] = '#include "verilated_vcd_c.cpp"\n'
    include = root / "include"
    folders = f"-I{include}", f"-I{include / 'vltstd'}"
    command = [*compile_command, *FLAGS, *VERILATED, *tracing(waveforms), *folders]
    return tuple(_compiled(name, text, command) for name, text in parts.items())


def _compiled(name: str, text: str, command: Sequence[str]) -> Path:
    """Return the object of a source, from the cache folder where it has been made before."""
    kept = cache_folder("verilator")
    path = None if kept is None else kept / f"{name}-{_key(text, command)}.o"
    if path is not None and path.is_file():
        return path
    folder = Path(mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / f"{name}.cpp").write_text(text)
    run([*command, "-c", f"{name}.cpp", "-o", f"{name}.o"], folder, name="the C++ compiler")
    made = folder / f"{name}.o"
    if path is None:
        return made
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, made.read_bytes())
    except (OSError, WriteError):
        return made
    return path


def _key(text: str, command: Sequence[str]) -> str:
    """Return a hash of all that an object hangs on: source, compiler, flags, releases of both."""
    compiler = [word for word in command if not word.startswith("-I")]
    asked = [*compiler[: compiler.index(FLAGS[0])], "--version"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout  # noqa: S603
    facts = (text, *compiler, said, metadata.version("verilator"))
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:24]
