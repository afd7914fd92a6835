"""How values lie in the memory of a generated program, and where."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Lengths = tuple[int, int, int]
WORD_BITS = 32

_ELEMENTS = {"bytes": "uint8_t", "words": "word_t", "reals": "real_t"}
_SIZES = {
    "uint8_t": 1,
    "int8_t": 1,
    "half_t": 2,
    "uint16_t": 2,
    "int16_t": 2,
    "word_t": 2,
    "uint32_t": 4,
    "int32_t": 4,
    "real_t": 4,
    "float": 4,
    "double": 8,
    "int64_t": 8,
}


def size_of(ctype: str) -> int:
    """Return the bytes of an element of a type of C."""
    return _SIZES[ctype]


def shift_of(ctype: str) -> int:
    """Return the shift that turns the number of a bit into that of its word, of planes."""
    return (8 * size_of(ctype)).bit_length() - 1


def put_bits(value: "Stored", at: str) -> list[str]:
    """Return C that puts the bits of `code` into cleared planes at `y`, as those of the element `at`."""
    width = shift_of(value.ctype)
    lines = []
    for bit in range(value.bits):
        place = f"({at} >> {width})" + (f" + {bit * value.words}" if bit else "")
        one = f"(code >> {bit}) & 1" if bit else "code & 1"
        lines.append(f"y[{place}] |= ({value.ctype})((uint32_t)({one}) << ({at} & {(1 << width) - 1}));")
    return lines


@dataclass(frozen=True)
class Stored:
    """A value of a generated program.

    Bytes, words and reals lie dense, in the order of the value or as a map with channels innermost. Planes
    lie flat as ``[plane][word]``, or as a map as ``[pixel][plane][word]``, whose words are as narrow as its
    channels allow.

    Attributes:
        number: of the value; see `lowbit.program.steps`.
        form: ``planes``, ``bytes``, ``words`` or ``reals``.
        count: elements.
        lengths: channels, height and width of a map; None of what lies flat.
        bits: planes.
        low, high: the least and largest entry of bytes and words.
        text: the C expression of where it begins; empty: in the arena.
        pixels: of an input that is bytes: the entry's real, by byte; see `lowbit.c99.inputs`.
        channels_first: a map whose elements lie in the order (channel, height, width).
        element: the type of its elements, where its form does not say it.
        lookup: the C expression of the table of bytes that its bytes go through when a window is brought
            together; empty: none.
    """

    number: int
    form: str
    count: int
    lengths: Lengths | None = None
    bits: int = 0
    low: int = 0
    high: int = 0
    text: str = ""
    pixels: npt.NDArray[np.float32] | None = None
    channels_first: bool = False
    element: str = ""
    lookup: str = ""

    @property
    def ctype(self) -> str:
        """The type of its elements, of planes that of its words."""
        if self.element:
            return self.element
        if self.form != "planes":
            return _ELEMENTS[self.form]
        if self.lengths is None or self.lengths[0] > WORD_BITS // 2:
            return "uint32_t"
        return "uint8_t" if self.lengths[0] <= WORD_BITS // 4 else "half_t"

    @property
    def words(self) -> int:
        """Words of a plane: of one pixel where it is a map."""
        features = self.count if self.lengths is None else self.lengths[0]
        return -(-features // (8 * size_of(self.ctype)))

    @property
    def pixel(self) -> int:
        """Elements of C from one pixel of a map to the next."""
        assert self.lengths is not None
        return self.bits * self.words if self.form == "planes" else self.lengths[0]

    @property
    def elements(self) -> int:
        """Elements of C that it takes."""
        if self.form != "planes":
            return self.count
        pixels = 1 if self.lengths is None else self.lengths[1] * self.lengths[2]
        return pixels * self.bits * self.words

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.elements * size_of(self.ctype)

    @property
    def name(self) -> str:
        """The C expression of where it begins."""
        return self.text or f"value_{self.number}"

    def made(self, number: int, count: int, lengths: Lengths | None = None) -> "Stored":
        """Return a value of the same entries, in the arena."""
        element = "" if self.element == "float" else self.element
        return replace(
            self,
            number=number,
            count=count,
            lengths=lengths,
            text="",
            channels_first=False,
            element=element,
        )

    def entries(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return codes, entries or reals ``[count]`` in the network's order from its elements of C."""
        if self.form != "planes":
            return self._in_order(stored)
        ones = np.unpackbits(stored.view(np.uint8), bitorder="little")
        planes = ones.reshape(-1, self.bits, self.words * 8 * size_of(self.ctype))
        features = self.count if self.lengths is None else self.lengths[0]
        places = np.arange(self.bits, dtype=np.uint8)[:, None]
        codes = (planes[..., :features] << places).sum(axis=1)
        return self._in_order(codes.reshape(-1).astype(np.uint8))

    def _in_order(self, flat: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.lengths is None or self.channels_first:
            return flat
        channels, height, width = self.lengths
        return flat.reshape(height, width, channels).transpose(2, 0, 1).reshape(-1)
