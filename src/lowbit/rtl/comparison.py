"""Simulated hardware beside the reference evaluator: scores and classes, picture by picture."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from lowbit.rtl.design import Design
from lowbit.rtl.report import Bench, HardwareReport, Options
from lowbit.rtl.saif import vcd_to_saif
from lowbit.rtl.simulate import Disturbance, SimulatedRun, Simulation

_DISTURBED_CYCLES = 400_000
_ACTIVE_PICTURES = 2


def compared(report: HardwareReport, design: Design, simulation: Simulation, bench: Bench) -> HardwareReport:
    """Simulate all pictures undisturbed, then the first ones with gaps, stalls, a reset and cut packets."""
    pictures, disturbed = bench.pictures, bench.pictures[: _disturbed(design)]
    shape = (design.classes, design.cycles_per_image)
    clean = simulation.run(pictures, *shape)
    bad = _differ(design, clean, bench.scores)
    for packet, reset_after in ((7, None), (3, pictures[0].size * 3 // 2)):
        reset = reset_after if len(disturbed) > 1 else None
        disturbance = Disturbance(0.05, 0.05, reset, packet, cut=0.5)
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


def traced(
    report: HardwareReport,
    design: Design,
    simulation: Simulation,
    folder: Path,
    bench: Bench,
    options: Options,
) -> HardwareReport:
    """Write the waveform around the first picture that differs, and the activity of the first ones.

    The simulation was compiled for waveforms.
    """
    shape = (design.classes, design.cycles_per_image)
    if options.waveform:
        around = bench.pictures[max(0, (report.first_mismatch or 0) - 1) :][:2]
        simulation.run(around, *shape, waveform=folder / "waveform.vcd")
    if options.activity:
        first = bench.pictures[:_ACTIVE_PICTURES]
        report = replace(report, toggles_per_image=_activity(simulation, first, shape, folder))
    return report


def _activity(
    traced: Simulation,
    pictures: npt.NDArray[np.uint8],
    shape: tuple[int, int],
    folder: Path,
) -> float:
    """Write the activity of pictures and return how often signals change per picture."""
    with TemporaryDirectory() as build:
        waveform = Path(build) / "activity.vcd"
        traced.run(pictures, *shape, waveform=waveform)
        return vcd_to_saif(waveform, folder / "activity.saif") / len(pictures)


def _disturbed(design: Design) -> int:
    """Return how many pictures are simulated again with disturbances: some seconds' worth."""
    return min(200, max(4, _DISTURBED_CYCLES // design.cycles_per_image))


def _differ(design: Design, run: SimulatedRun, want: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return for each picture whether a score, as the reference gives it, or the class is another."""
    wrong = (design.real_scores(run.scores) != want).any(axis=1)
    return np.asarray(wrong | (run.classes != design.real_class(run.scores)))
