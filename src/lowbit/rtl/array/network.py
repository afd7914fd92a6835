"""A chain of low-bit layers and pools, as the integers that hardware computes with.

Codes travel as *ranks*: the r-th smallest level is r, so a pool takes the largest number, and where levels
are evenly spaced a rank is itself the number to multiply with. A map [c, h, w] travels pixel by pixel, the
channels of a pixel together. A fully connected layer is a convolution whose window is its whole input: one
pixel of many channels, its weights in the order of the stream.

    acc_o = Σ_valid taps levels[rank] · weights[o, tap]
    rank  = #{c : acc_o > thresholds[row class, column class, o, c]}

as `lowbit.ir.deployed` says; padded taps are skipped.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from lowbit.ir.window import Window

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Basis:
    """A layer of learned bases, as sums of signs: ``level = Σ_i m_i s_i`` of the bits of a code.

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
        weights: integer levels ``[o, kh, kw, c]``.
        window: rows, then columns.
        thresholds: ``[row classes, column classes, o, steps]``, or None for the last layer.
        basis: of the input and the weights, where both have one.
    """

    name: str
    levels: Integers
    weights: Integers
    window: Window
    thresholds: Integers | None
    basis: Basis | None = None

    @property
    def channels(self) -> int:
        """Channels of a pixel that comes in."""
        return int(self.weights.shape[3])

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
    """A max-pool of ranks; padding never wins."""

    name: str
    channels: int
    bits: int
    window: Window

    @property
    def outputs(self) -> int:
        """Channels of a pixel that goes out."""
        return self.channels


@dataclass(frozen=True, eq=False)
class ArrayNetwork:
    """What an array engine computes.

    Attributes:
        name: of the graph.
        shape: of a picture, ``(channels, rows, columns)``.
        pixels: rank of every byte, ``[256]``.
        stages: layers and pools, from input to output; the last is a layer without thresholds.
        scale, bias: real score of a last sum: ``float32(scale · acc + bias)``, float64 ``[classes]``.
    """

    name: str
    shape: tuple[int, int, int]
    pixels: Integers
    stages: tuple[Layer | Pool, ...]
    scale: Floats
    bias: Floats

    @property
    def last(self) -> Layer:
        """The layer whose sums are the scores."""
        return cast(Layer, self.stages[-1])

    @property
    def classes(self) -> int:
        """How many scores there are."""
        return self.last.outputs

    def real_scores(self, sums: Integers) -> npt.NDArray[np.float32]:
        """Return scores ``[..., classes]`` of last sums, as the reference evaluator gives them."""
        return np.asarray(self.scale * sums + self.bias).astype(np.float32)
