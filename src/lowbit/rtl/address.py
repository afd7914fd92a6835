"""Addresses of memories: several numbers side by side.

Whoever writes a memory, whoever reads it, and whoever computes its content say numbers by name; where in the
address each has its bits is said here only, and follows from how large each number can be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Address:
    """An address of several numbers.

    Attributes:
        sizes: how many values each number has, by its name; the first is in the lowest bits.
    """

    sizes: Mapping[str, int]

    @cached_property
    def widths(self) -> Mapping[str, int]:
        """The bits of each number; none if it has but one value."""
        return {name: (size - 1).bit_length() for name, size in self.sizes.items()}

    @property
    def bits(self) -> int:
        """Bits of the address."""
        return sum(self.widths.values())

    @property
    def depth(self) -> int:
        """Words up to the last that is ever addressed, all values of the lower numbers included."""
        (*lower, last) = self.sizes
        return self.sizes[last] << sum(self.widths[name] for name in lower)

    def contents(self, word: Callable[..., int]) -> list[int]:
        """Return `depth` words: ``word(**numbers)`` where the numbers have values, elsewhere 0."""
        words = [0] * self.depth
        for values in product(*map(range, self.sizes.values())):
            numbers = dict(zip(self.sizes, values, strict=True))
            words[self.of(**numbers)] = word(**numbers)
        return words

    def table(self, words: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return ``2^bits`` words of an array with an axis per number, the last number's first."""
        padded = np.zeros([1 << width for width in reversed([*self.widths.values()])], np.int64)
        padded[tuple(slice(length) for length in words.shape)] = words
        return padded.ravel()

    def of(self, **numbers: int) -> int:
        """Return the address of numbers in range."""
        address, at = 0, 0
        for name, width in self.widths.items():
            address, at = address | numbers[name] << at, at + width
        return address
