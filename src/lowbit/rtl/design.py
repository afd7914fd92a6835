"""What a project is made of, whatever the engine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from lowbit.errors import PlanError
from lowbit.rtl.package import write_pynq
from lowbit.rtl.primitives.target import Target

if TYPE_CHECKING:
    from amaranth.lib import wiring

Proof = list[tuple[str, str, int, int]]


class Design(ABC):
    """An engine, planned: a byte stream in; out, for each picture, its scores and then its class.

    Attributes:
        top: name of the top module.
        target: the family.
    """

    top: ClassVar[str]
    target: Target

    @property
    @abstractmethod
    def variant(self) -> str:
        """What kind of engine it is."""

    @property
    @abstractmethod
    def number_format(self) -> str:
        """How numbers are represented."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Scores per picture."""

    @property
    @abstractmethod
    def cycles_per_image(self) -> int:
        """Clocks from picture to picture, as planned."""

    @property
    @abstractmethod
    def proof(self) -> Proof:
        """What is stored and summed: name, range, bits it takes, bits of the number format or adder."""

    @property
    @abstractmethod
    def header(self) -> list[str]:
        """What the Verilog says about itself."""

    @property
    def units(self) -> Sequence[Mapping[str, Any]]:
        """The parts that work side by side, in the order of the stream; none where one part does all."""
        return ()

    @property
    def picture(self) -> tuple[int, int, int] | None:
        """Channels, rows and columns of a picture; None where its axes are the sample's."""
        return None

    @property
    def large_memories(self) -> bool:
        """Whether the contents of memories go into files of their own."""
        return False

    @property
    def whole_beats(self) -> bool:
        """Whether a beat is a picture, and all its results; else a byte, and a word."""
        return False

    @property
    def text(self) -> str:
        """Verilog of modules that are written as they are."""
        return ""

    @property
    def parts(self) -> Mapping[str, str]:
        """Modules that are synthesized each for itself; none where the whole is.

        With each the one that it takes as much as: itself, or one before it of the same plan.
        """
        return {}

    @abstractmethod
    def draw(self, *, counters: bool) -> "wiring.Component":
        """Return the hardware, with counters behind AXI-Lite where they are wanted."""

    @property
    @abstractmethod
    def score_bits(self) -> int:
        """Bits of a word that goes out."""

    @property
    @abstractmethod
    def score_scale(self) -> npt.NDArray[np.float64]:
        """What the sum of each class is multiplied by, ``[classes]``."""

    @property
    @abstractmethod
    def score_bias(self) -> npt.NDArray[np.float64]:
        """What is added then, ``[classes]``."""

    def real_scores(self, scores: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return scores ``[n, classes]`` of the hardware as the reference evaluator gives them.

        They are computed in float64, then rounded: ``float32(score_scale · sum + score_bias)``.
        """
        return np.asarray(self.score_scale * scores + self.score_bias).astype(np.float32)

    @abstractmethod
    def real_class(self, scores: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the class ``[n]`` that belongs to scores of the hardware."""

    @property
    @abstractmethod
    def stream_shape(self) -> tuple[int, ...]:
        """Lengths of a picture as its bytes come: rows and columns, and channels where it has some."""

    def write_package(self, folder: Path, *, counters: bool) -> None:
        """Write scripts for the vendor's tool, and a driver.

        Raises:
            PlanError: a beat of its streams is a whole picture, which no DMA sends.
        """
        if self.whole_beats:
            raise PlanError(
                "no package of an engine whose beats are pictures is written",
                where=self.top,
                expected="a stream of bytes",
                found="a picture per beat",
                remedy="Add --stream bytes, or leave --package out and use the Verilog.",
            )
        write_pynq(self, folder, counters=counters)
