"""What is wanted of a hardware project, and what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import MismatchError
from lowbit.rtl.design import Design, Proof
from lowbit.rtl.primitives.target import Target

CLOCK_HZ = 100_000_000
"""The clock that pictures per second are stated for, unless another is said."""


@dataclass(frozen=True)
class Options:
    """What is wanted of a project.

    Attributes:
        lint: ask Verilator for warnings.
        synthesize: count resources.
        bitstream: place and route, of ECP5 and iCE40.
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
        counted_by: the program that counted them.
        fmax_mhz: clock after place and route.
        toggles_per_image: changes of signals of the Verilog, from end to end of each clock.
        blocks: resources by module.
        proof: see `Design.proof`.
        units: see `Design.units`.
        left_out: functions at the end of the network that are not in hardware: they change no class.
        why: why it has this engine, where that was chosen for it.
        warnings: of the linter, see `lowbit.rtl.lint`.
    """

    variant: str
    target: Target
    number_format: str
    cycles_per_image: int
    proof: Proof
    units: list[dict[str, Any]] | None = None
    left_out: list[str] | None = None
    why: str | None = None
    warnings: list[str] | None = None
    images: int | None = None
    mismatches: int | None = None
    first_mismatch: int | None = None
    latency_cycles: int | None = None
    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    ramb18: int | None = None
    counted_by: str | None = None
    fmax_mhz: float | None = None
    toggles_per_image: float | None = None
    blocks: dict[str, dict[str, int]] | None = None

    def pictures_per_second(self, clock_hz: int = CLOCK_HZ) -> int:
        """Return how many pictures it takes in a second with this clock, whole ones."""
        return clock_hz // self.cycles_per_image


def planned(design: Design, left_out: Sequence[str] = ()) -> HardwareReport:
    """Return what is known of a design before it is made, and what of the network is not in it."""
    facts = design.variant, design.target, design.number_format, design.cycles_per_image, design.proof
    units = [dict(unit) for unit in design.units] or None
    return HardwareReport(*facts, units=units, left_out=list(left_out) or None)


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
