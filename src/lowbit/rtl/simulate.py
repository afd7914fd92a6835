"""Cycle-accurate simulation of a streaming design over whole data sets.

A design becomes a library (`lowbit.rtl.compiled`) that feeds it clock by clock; ctypes runs it.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from lowbit.errors import EngineError

_SLOWEST = 64
"""A run is given up after so many times the clocks that it should take."""


@dataclass(frozen=True)
class Disturbance:
    """What a run has to bear: chances per clock, and a reset.

    Attributes:
        gap: chance that no pixel is offered.
        stall: chance that no score is taken.
        reset_after: pixels, after which the design is reset and all pictures are sent from the first.
        packet: pictures per packet, that is, per TLAST.
        cut: chance, per packet, that another one comes before it that ends inside its picture; where a beat
            is a byte.
        seed: of the chances.
    """

    gap: float = 0.0
    stall: float = 0.0
    reset_after: int | None = None
    packet: int = 1
    cut: float = 0.0
    seed: int = 1


@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """What came out.

    Attributes:
        scores: sums ``[n, classes]``.
        classes: ``[n]``.
        finished: clock in which the last beat of each picture was taken ``[n]``.
        started: clock in which its first pixel was taken ``[n]``.
    """

    scores: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    finished: npt.NDArray[np.int64]
    started: npt.NDArray[np.int64]

    @property
    def cycles_per_image(self) -> int:
        """The most clocks between two pictures' results; 0 for a single picture."""
        return int(np.diff(self.finished).max(initial=0))

    @property
    def latency(self) -> int:
        """Clocks from the first pixel of the first picture to its class, both included."""
        return int(self.finished[0] - self.started[0]) + 1


class Simulation:
    """A compiled design.

    Args:
        library: made by `lowbit.rtl.compiled.compile_design`; it must stay while the simulation is used.
        function: of the library, where it has several designs.
        whole_beats: whether a beat is a picture, and all its results; else a byte, and a word.
    """

    def __init__(self, library: Path, function: str = "run", *, whole_beats: bool = False) -> None:
        self._whole = whole_beats
        self._run = getattr(ctypes.CDLL(str(library)), function)

    def run(
        self,
        pictures: npt.NDArray[np.uint8],
        classes: int,
        cycles_per_image: int,
        disturbance: Disturbance | None = None,
        waveform: Path | None = None,
    ) -> SimulatedRun:
        """Return what the design makes of pictures ``[n, rows, columns]``.

        Args:
            pictures: one byte per pixel.
            classes: scores per picture.
            cycles_per_image: what it should take; a run of many times that is given up.
            disturbance: gaps, stalls, a reset; none by default.
            waveform: a VCD file to write, where the simulation was made for it.

        Raises:
            EngineError: the design gave too few results, or results out of step.
        """
        count, disturbance = len(pictures), disturbance or Disturbance()
        beats = np.zeros(count * (classes + 1), np.int64)
        lasts, cycles = np.zeros(len(beats), np.uint8), np.zeros(len(beats), np.int64)
        started, pixels = np.zeros(count, np.int64), np.ascontiguousarray(pictures, np.uint8)
        request = _Request(
            pixels=pixels.ctypes.data,
            pixel_count=pixels.size,
            pixels_per_picture=pixels.size // count,
            beats_wanted=len(beats),
            gap=disturbance.gap,
            stall=disturbance.stall,
            seed=disturbance.seed,
            reset_after=-1 if disturbance.reset_after is None else disturbance.reset_after,
            most_cycles=_SLOWEST * (count + 4) * cycles_per_image,
            pictures_per_packet=disturbance.packet,
            beat_pixels=pixels.size // count if self._whole else 1,
            beat_words=classes + 1 if self._whole else 1,
            cut=0.0 if self._whole or pixels.size == count else disturbance.cut,
            waveform=str(waveform).encode() if waveform else None,
        )
        answer = _Answer(beats.ctypes.data, lasts.ctypes.data, cycles.ctypes.data, started.ctypes.data, 0, 0)
        failed = self._run(ctypes.byref(request), ctypes.byref(answer))
        right = np.zeros((count, classes + 1), np.uint8)
        right[disturbance.packet - 1 :: disturbance.packet, -1] = 1
        if failed or not np.array_equal(lasts, right.ravel()):
            raise EngineError(
                "the simulated design does not keep to its protocol",
                expected=f"{len(beats)} beats, TLAST with every {disturbance.packet * (classes + 1)}th",
                found=f"{answer.beat_count} beats and {lasts.sum()} TLAST in {answer.cycle_count} clocks",
                remedy="This is a defect of the generator; please report it with the network.",
            )
        table = beats.reshape(count, classes + 1)
        return SimulatedRun(table[:, :-1], table[:, -1], cycles.reshape(count, -1)[:, -1], started)


class _Request(ctypes.Structure):
    """`Request` of the harness."""

    _fields_: ClassVar[Sequence[tuple[str, type]]] = [
        ("pixels", ctypes.c_void_p),
        ("pixel_count", ctypes.c_int64),
        ("pixels_per_picture", ctypes.c_int64),
        ("beats_wanted", ctypes.c_int64),
        ("gap", ctypes.c_double),
        ("stall", ctypes.c_double),
        ("seed", ctypes.c_uint64),
        ("reset_after", ctypes.c_int64),
        ("most_cycles", ctypes.c_int64),
        ("pictures_per_packet", ctypes.c_int64),
        ("beat_pixels", ctypes.c_int64),
        ("beat_words", ctypes.c_int64),
        ("cut", ctypes.c_double),
        ("waveform", ctypes.c_char_p),
    ]


class _Answer(ctypes.Structure):
    """`Answer` of the harness."""

    _fields_: ClassVar[Sequence[tuple[str, type]]] = [
        ("beats", ctypes.c_void_p),
        ("lasts", ctypes.c_void_p),
        ("cycles", ctypes.c_void_p),
        ("started", ctypes.c_void_p),
        ("beat_count", ctypes.c_int64),
        ("cycle_count", ctypes.c_int64),
    ]
