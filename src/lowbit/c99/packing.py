"""Weights packed at the bits that they need: what is stored of a matrix of integers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
WORD = 32
MOST_BITS = 6
"""Wider weights are bytes or words as they are."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A matrix ``w[o, n]`` of integers, in one of three ways.

    ``units``: ``w = start[o] + step[o] * code``; ``levels``: ``w = levels[o, code]``; ``whole``: as it is.

    Attributes:
        way: which one.
        bits: of a code; 0 where there are none.
        codes: ``[o, n]``, of ``whole`` the matrix itself.
        start, step: ``[o]``.
        levels: ``[o, 2^bits]``.
    """

    way: str
    bits: int
    codes: Integers
    start: Integers
    step: Integers
    levels: Integers

    @property
    def per_word(self) -> int:
        """Codes of one word of 32 bits."""
        return WORD // self.bits

    def words(self) -> npt.NDArray[np.uint32]:
        """Return codes as ``[o, words]``, the first of a word in its lowest bits."""
        outputs, length = self.codes.shape
        count = -(-length // self.per_word)
        padded = np.zeros((outputs, count * self.per_word), np.uint64)
        padded[:, :length] = self.codes
        shifts = (np.arange(self.per_word) * self.bits).astype(np.uint64)
        joined = (padded.reshape(outputs, count, -1) << shifts).sum(axis=2)
        return np.asarray(joined, np.uint32)


def packed(weights: Integers) -> Packed:
    """Return a matrix ``[o, n]`` in the way that takes the fewest bits."""
    none = np.zeros((len(weights), 0), np.int64)
    low, step = _grid(weights)
    codes = (weights - low[:, None]) // step[:, None]
    bits = max(int(codes.max(initial=0)).bit_length(), 1)
    levels = [np.unique(row) for row in weights]
    everywhere = np.unique(weights)
    if (len(everywhere) - 1).bit_length() <= max(len(row) - 1 for row in levels).bit_length():
        levels = [everywhere] * len(weights)
    fewest = max(max(len(row) - 1 for row in levels).bit_length(), 1)
    if fewest < bits and fewest <= MOST_BITS and weights.shape[1] > 1 << fewest:
        table = np.zeros((len(weights), 1 << fewest), np.int64)
        for row, found in zip(table, levels, strict=True):
            row[: len(found)] = found
        places = np.stack([np.searchsorted(found, row) for found, row in zip(levels, weights, strict=True)])
        return Packed("levels", fewest, places, low, step, table)
    if bits > MOST_BITS:
        return Packed("whole", 0, weights, low * 0, step * 0 + 1, none)
    return Packed("units", bits, codes, low, step, none)


def _grid(weights: Integers) -> tuple[Integers, Integers]:
    """Return where codes start and their step ``[o]``, one of all outputs where that takes no bit more."""
    low = weights.min(axis=1)
    step = np.maximum(np.gcd.reduce(weights - low[:, None], axis=1), 1)
    all_low, all_step = int(low.min()), max(int(np.gcd.reduce((weights - low.min()).reshape(-1))), 1)
    most = int(((weights.max(axis=1) - low) // step).max(initial=0))
    if ((int(weights.max(initial=0)) - all_low) // all_step).bit_length() <= most.bit_length():
        return np.full_like(low, all_low), np.full_like(step, all_step)
    return low, step
