"""A low-bit network as a graph of stages, as the integers that hardware computes with.

Codes travel as *ranks*: the r-th smallest level is r, so a pool takes the largest number, and where levels
are evenly spaced a rank is itself the number to multiply with. A map [c, h, w] travels pixel by pixel, the
channels of a pixel together. A fully connected layer is a convolution whose window is its whole input: one
pixel of many channels, its weights in the order of the stream.

    Layer    acc_o = sum over valid taps of levels[rank] * weights[o, tap], then thresholds, or acc itself
    Pool     of the ranks in a window, the largest or the sum; padded taps are skipped
    Recode   a number becomes a rank (`lowbit.rtl.array.endings`)
    Add      two ranks and a constant, scaled: a residual sum of fixed point
    Concat   the channels of several maps, pixel by pixel

A stage reads the stages that it names; the picture has no name. What several stages read is copied.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lowbit.ir.window import Axis, Window
from lowbit.rtl.array.endings import Ending, Scaled

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Shape = tuple[int, int, int]

PICTURE = ""
"""What stages read that read the picture."""


@dataclass(frozen=True, eq=False)
class Basis:
    """A layer of learned bases, as sums of signs: ``level = sum_i m_i s_i`` of the bits of a code.

    Attributes:
        code_of_rank: of the input, ``[2**bits]``.
        multipliers: ``m_i`` of the input's bits.
        codes: of the weights, ``[o, kh, kw, c]``.
        coefficients: ``m_oj`` of the weights' bits, ``[o, bits]``.
    """

    code_of_rank: Integers
    multipliers: tuple[int, ...]
    codes: Integers
    coefficients: Integers


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution, or a fully connected layer.

    Attributes:
        name: of its node.
        levels: integer level of every input rank, ascending, ``[2**bits]``.
        weights: integer levels ``[o, kh, kw, c / group]``.
        window: rows, then columns.
        thresholds: ``[row classes, column classes, o, steps]``, or None where its sums go out.
        basis: of the input and the weights, where both have one.
        sources: the stage that it reads.
        group: how many parts the channels fall into.
    """

    name: str
    levels: Integers
    weights: Integers
    window: Window
    thresholds: Integers | None
    basis: Basis | None = None
    sources: tuple[str, ...] = (PICTURE,)
    group: int = 1

    @property
    def channels(self) -> int:
        """Channels of a pixel that comes in."""
        return int(self.weights.shape[3]) * self.group

    @property
    def outputs(self) -> int:
        """Channels of a pixel that goes out."""
        return int(self.weights.shape[0])

    @property
    def has_border(self) -> bool:
        """Whether there are windows that lack taps."""
        return not all(axis.classes()[1].all() for axis in self.window)

    @property
    def bits(self) -> int:
        """Bits of a rank that comes in."""
        return (len(self.levels) - 1).bit_length()

    @property
    def output_bits(self) -> int:
        """Bits of a rank that goes out; 0 where sums do."""
        return 0 if self.thresholds is None else int(self.thresholds.shape[-1]).bit_length()


@dataclass(frozen=True, eq=False)
class Pool:
    """The largest rank of each window, or the sum of the ranks; padding never wins and adds nothing."""

    name: str
    channels: int
    bits: int
    window: Window
    sources: tuple[str, ...] = (PICTURE,)
    sums: bool = False

    @property
    def outputs(self) -> int:
        """Channels of a pixel that goes out."""
        return self.channels

    @property
    def output_bits(self) -> int:
        """Bits of a number that goes out."""
        taps = self.window[0].kernel * self.window[1].kernel
        return (((1 << self.bits) - 1) * taps).bit_length() if self.sums else self.bits


@dataclass(frozen=True, eq=False)
class Recode:
    """Numbers become ranks, each by itself.

    Attributes:
        name: unique.
        channels: of a pixel.
        window: of the stage whose numbers these are: border classes differ in what a number means.
        ending: how; of a layer's accumulators, or of ranks or sums of ranks as they are.
        sources: the stage that it reads.
    """

    name: str
    channels: int
    window: Window
    ending: Ending
    sources: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Channels of a pixel that goes out."""
        return self.channels

    @property
    def output_bits(self) -> int:
        """Bits of a rank."""
        return self.ending.bits


@dataclass(frozen=True, eq=False)
class Add:
    """The ranks of two maps, added, scaled and kept between two ranks: a sum of fixed point."""

    name: str
    channels: int
    bits: tuple[int, int]
    window: Window
    ending: Scaled
    sources: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Channels of a pixel that goes out."""
        return self.channels

    @property
    def output_bits(self) -> int:
        """Bits of a rank."""
        return self.ending.bits


@dataclass(frozen=True, eq=False)
class Concat:
    """The channels of several maps of one size, those of the first source first."""

    name: str
    parts: tuple[int, ...]
    window: Window
    output_bits: int
    sources: tuple[str, ...]

    @property
    def channels(self) -> int:
        """Channels of all parts."""
        return sum(self.parts)

    @property
    def outputs(self) -> int:
        """Channels of a pixel that goes out."""
        return self.channels


Stage = Layer | Pool | Recode | Add | Concat


def point(rows: int, columns: int) -> Window:
    """Return the window of what takes a map pixel by pixel."""
    return Axis(rows, 1), Axis(columns, 1)


def output_shape(stage: Stage) -> Shape:
    """Return channels, rows and columns of what goes out."""
    rows, columns = stage.window
    return stage.outputs, rows.outputs, columns.outputs


@dataclass(frozen=True, eq=False)
class Scores:
    """What the numbers of a last stage mean: ``float32(scale * (number + addend) + bias)``, by channel.

    Attributes:
        stage: whose numbers they are: accumulators of a layer, or ranks.
        scale, bias: float64 ``[channels]``.
        addend: ``[channels]``; the scores that go out have it.
    """

    stage: str
    scale: Floats
    bias: Floats
    addend: Integers


@dataclass(frozen=True, eq=False)
class ArrayNetwork:
    """What an array engine computes.

    Attributes:
        name: of the graph.
        shape: of a picture, ``(channels, rows, columns)``.
        pixels: rank of every byte, ``[256]``, or of every byte of each channel, ``[channels, 256]``.
        stages: from the input to the outputs.
        heads: what gives scores, an output of the network each.
    """

    name: str
    shape: Shape
    pixels: Integers
    stages: tuple[Stage, ...]
    heads: tuple[Scores, ...] = field(default=())

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The stages with weights."""
        return tuple(stage for stage in self.stages if isinstance(stage, Layer))

    @property
    def last(self) -> Stage:
        """The stage whose numbers are the scores, of the first output."""
        return self.stage(self.heads[0].stage)

    def stage(self, name: str) -> Stage:
        """Return a stage by its name."""
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def scale(self) -> Floats:
        """Of all scores, output after output."""
        return np.concatenate([head.scale for head in self.heads])

    @property
    def bias(self) -> Floats:
        """Of all scores, output after output."""
        return np.concatenate([head.bias for head in self.heads])

    @property
    def classes(self) -> int:
        """How many scores there are."""
        return len(self.scale)

    @property
    def ranked(self) -> int:
        """How many scores the class is chosen of: those of the first output."""
        return len(self.heads[0].scale)

    def real_scores(self, sums: Integers) -> npt.NDArray[np.float32]:
        """Return scores ``[..., classes]`` of last numbers, as the reference evaluator gives them."""
        return np.asarray(self.scale * sums + self.bias).astype(np.float32)
