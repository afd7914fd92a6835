"""Products of a row with weights of few bits, mostly of eight outputs at a time.

An entry is read once for all of them, and skipped if it is zero. Two outputs share a multiplication: their
codes lie 16 bits apart in one word,

    x (u0 + 2^16 u1) = x u0 + 2^16 x u1,

exact as long as a sum of such products stays below 2^16, which the largest entry and code decide; longer rows
are summed in parts. A word holds the codes of as many pairs of outputs as it has room for. A core that cannot
multiply adds shifted words instead, all lanes at once.

Levels that lie unevenly, as powers of two do, become such lanes by a table of pairs of codes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.c99.packing import Packed
from lowbit.c99.unit import Unit

Integers = npt.NDArray[np.int64]

_LANE = 16
_LEAST_PART = 8
"""Taps of a part, below which bringing lanes apart costs more than they save."""
_MOST_PAIRS = 4
"""Pairs of outputs of a block where a word has room for more: their sums stay in registers."""
_FREE_TABLE = 256
"""Bytes of a table of pairs that any layer may take; a larger one has to be half as large as the codes."""


@dataclass(frozen=True, eq=False)
class Lanes:
    """Weights ``w[o, n] = start[o] + step[o] * numbers[code]``.

    Attributes:
        bits: of a code.
        codes: ``[o, n]``.
        numbers: what lanes hold, by code; of even levels the code itself.
        even: whether it is.
        start, step: ``[o]``.
    """

    bits: int
    codes: Integers
    numbers: Integers
    even: bool
    start: Integers
    step: Integers

    def part(self, high: int) -> int:
        """Return how many taps may be summed in lanes, of entries up to `high`; 0: not worth it."""
        largest = max(high * int(self.numbers[self.codes].max(initial=0)), 1)
        part = min(((1 << _LANE) - 1) // largest, 1 << 14)
        return part if part >= min(_LEAST_PART, self.codes.shape[1]) else 0

    def pairs(self) -> npt.NDArray[np.uint32]:
        """Return what two lanes hold, by the codes of both: the first in the lower bits."""
        numbers = np.resize(self.numbers, 1 << self.bits).astype(np.uint32)
        return (numbers[None] | numbers[:, None] << np.uint32(_LANE)).reshape(-1)

    def words(self, row: int) -> npt.NDArray[np.uint32]:
        """Return codes as words, block by block; each `row` taps begin with a word of their own."""
        outputs, length = self.codes.shape
        apart = np.uint64(_LANE if self.even else self.bits)
        width = self.bits if self.even else 2 * self.bits
        blocks = []
        for first, shape in blocks_of(outputs, self.bits):
            block = np.zeros((shape.outputs, length), np.uint64)
            block[: outputs - first] = self.codes[first : first + shape.outputs]
            pairs = block[0::2] | block[1::2] << apart  # [pairs, n]
            for start in range(0, length, row):
                part = pairs[:, start : start + row]
                padded = np.zeros((shape.pairs, -(-part.shape[1] // shape.taps) * shape.taps), np.uint64)
                padded[:, : part.shape[1]] = part
                places = padded.reshape(shape.pairs, -1, shape.taps).transpose(1, 2, 0)
                shifts = (np.arange(shape.taps * shape.pairs) * width).astype(np.uint64)
                blocks.append((places.reshape(len(places), -1) << shifts).sum(axis=1))  # [words]
        return np.concatenate(blocks).astype(np.uint32)


def lanes_of(form: Packed) -> Lanes | None:
    """Return packed weights as lanes hold them, or None where they have no such form."""
    if len(form.codes) < 2 or form.way == "whole":
        return None
    if form.way == "units":
        numbers = np.arange(1 << form.bits)
        return Lanes(form.bits, form.codes, numbers, True, form.start, form.step)
    table = 4 << 2 * form.bits
    if (form.levels != form.levels[0]).any() or table > max(_FREE_TABLE, form.codes.size * form.bits // 16):
        return None
    levels = form.levels[0, : int(form.codes.max()) + 1]
    step = max(int(np.gcd.reduce(levels - levels[0])), 1)
    alike = np.ones(len(form.codes), np.int64)
    return Lanes(form.bits, form.codes, (levels - levels[0]) // step, False, alike * levels[0], alike * step)


@dataclass(frozen=True)
class Shape:
    """How words hold codes: `taps` times `pairs` of two outputs each, `bits` a code."""

    bits: int
    pairs: int

    @property
    def taps(self) -> int:
        """Taps of a word."""
        return _LANE // self.bits // self.pairs

    @property
    def outputs(self) -> int:
        """Outputs of a block."""
        return 2 * self.pairs


def shapes_of(bits: int) -> tuple[Shape, ...]:
    """Return the shapes of blocks, the largest first; the last is of one pair."""
    places = _LANE // bits
    most = _MOST_PAIRS if places % _MOST_PAIRS == 0 else min(places, _MOST_PAIRS + 1)
    return tuple(Shape(bits, pairs) for pairs in (most, 2, 1) if pairs == most or pairs < most)


def blocks_of(outputs: int, bits: int) -> Iterator[tuple[int, Shape]]:
    """Yield the first output of each block, and its shape: a larger one may lack an output, not a pair."""
    first = 0
    while first < outputs:
        left = outputs - first
        shape = next(each for each in shapes_of(bits) if left >= each.outputs - 1)
        yield first, shape
        first += shape.outputs


def lanes_function(unit: Unit, lanes: Lanes, *, in_parts: bool, total: bool, looked_up: bool) -> str:
    """Add the function that sums a block; return its name.

    ``made = NAME(x, &w, length, row, stride, left, sums[, pairs][, table])`` sums `length` taps, of which
    `row` lie side by side, and the next `row` begin `stride` further. It makes the sums of `made` outputs of
    `left`, and with `total` the sum of the row behind them; `w` is the next block's then.

    Args:
        unit: the program.
        lanes: of the layer.
        in_parts: whether lanes hold a row of taps at a time, not all.
        total: whether the sum of the row is asked for, too.
        looked_up: whether entries go through a table.
    """
    found = {shape for _, shape in blocks_of(len(lanes.codes), lanes.bits)}
    used = [shape for shape in shapes_of(lanes.bits) if shape in found]
    flags = "v" * (not lanes.even) + "p" * in_parts + "t" * total + "l" * looked_up
    name = f"lanes_{lanes.bits}_{'_'.join(str(shape.outputs) for shape in used)}{flags}"
    for shape in used:
        add = _add(shape, even=lanes.even)
        unit.function(add, _ADD.format(name=add, **_additions(shape, even=lanes.even)))
    bodies = [
        _body(shape, even=lanes.even, in_parts=in_parts, total=total, looked_up=looked_up) for shape in used
    ]
    text = f"  {bodies[-1]}"
    for shape, body in zip(used[-2::-1], bodies[-2::-1], strict=True):
        text = f"  if (left >= {shape.outputs - 1}) {body} else{text.replace('  {', ' {', 1)}"
    table = ", const uint32_t *pairs" * (not lanes.even) + ", const uint8_t *table" * looked_up
    return unit.function(name, _LANES.format(name=name, bodies=text, table=table))


def _add(shape: Shape, *, even: bool) -> str:
    return f"add_{'lanes' if even else 'levels'}_{shape.bits}x{shape.pairs}"


def _sums(shape: Shape) -> list[str]:
    return [f"sum{pair}" for pair in range(shape.pairs)]


def _additions(shape: Shape, *, even: bool) -> dict[str, str]:
    mask = ((1 << shape.bits) - 1) * ((1 << _LANE) + 1) if even else (1 << 2 * shape.bits) - 1
    width = shape.bits if even else 2 * shape.bits
    codes = [
        f"((word) >> {pair * width} & 0x{mask:x}u)" if pair else f"((word) & 0x{mask:x}u)"
        for pair in range(shape.pairs)
    ]
    codes = codes if even else [f"pairs[{code[1:-1]}]" for code in codes]
    names = [f"lanes{pair}" for pair in range(shape.pairs)]
    return {
        "products": " ".join(f"{s} += {code} * t;" for s, code in zip(_sums(shape), codes, strict=True)),
        "codes": ", ".join(f"{name} = {code}" for name, code in zip(names, codes, strict=True)),
        "sums": ", ".join(f"{s} += {name}" for s, name in zip(_sums(shape), names, strict=True)),
        "doubled": ", ".join(f"{name} += {name}" for name in names),
    }


_ADD = """
#if defined(LOWBIT_NO_MULTIPLY)
#define {name}(word) do {{ \\
    uint32_t {codes}; \\
    do {{ if (t & 1u) {sums}; {doubled}; t >>= 1; }} while (t); \\
  }} while (0)
#else
#define {name}(word) do {{ {products} }} while (0)
#endif
"""

_LANES = """
static int32_t {name}(const uint8_t *x, const uint32_t **weights, int32_t length, int32_t row, int32_t stride,
    int32_t left, int32_t *sums{table})
{{
  const uint32_t *w = *weights;
  (void)left;
{bodies}
}}
"""


def _body(shape: Shape, *, even: bool, in_parts: bool, total: bool, looked_up: bool) -> str:
    """Return C that sums a block and returns how many sums it made."""
    add, sums = _add(shape, even=even), _sums(shape)

    def tap(entry: str, word: str) -> str:
        entry = f"table[{entry}]" if looked_up else entry
        return f"t = {entry}; if (t) {{ {'total += t; ' * total}{add}({word}); }}"

    if shape.taps == 1:
        together = 4 if even else 2  # written out: a table leaves fewer registers, and is more code
        several = "\n".join(f"        {tap(f'p[{at}]', f'w[{at}]')}" for at in range(together))
        loop = f"""\
      for (; n >= {together}; n -= {together}, p += {together}, w += {together}) {{
{several}
      }}
      for (; n > 0; --n, ++w) {{ {tap("*p++", "*w")} }}"""
        word = ""
    else:
        width = shape.bits * shape.pairs * (1 if even else 2)
        words = [f"word >> {width * at}" if at else "word" for at in range(shape.taps)]
        whole = "\n".join(f"        {tap(f'p[{at}]', each)}" for at, each in enumerate(words))
        loop = f"""\
      for (; n >= {shape.taps}; n -= {shape.taps}, p += {shape.taps}) {{
        word = *w++;
{whole}
      }}
      if (n > 0) {{
        word = *w++;
        do {{ {tap("*p++", "word")} word >>= {width}; }} while (--n > 0);
      }}"""
        word = ", word"
    names = ", ".join(f"{each} = 0" for each in sums)
    flush = "\n".join(
        f"sums[{2 * at}] {'+=' if in_parts else '='} (int32_t)({each} & 0xffffu); "
        f"sums[{2 * at + 1}] {'+=' if in_parts else '='} (int32_t)({each} >> 16);"
        for at, each in enumerate(sums)
    )
    cleared = " ".join(f"sums[{at}] = 0;" for at in range(shape.outputs)) if in_parts else ""
    again = f"\n{flush}\n{' '.join(f'{each} = 0;' for each in sums)}" if in_parts else ""
    last = "" if in_parts else f"\n{flush}"
    made = f"\n    sums[{shape.outputs}] = (int32_t)total;" if total else ""
    again, last = again.replace("\n", "\n      "), last.replace("\n", "\n    ")
    return f"""{{
    uint32_t {names}, t{word}{", total = 0" * total};
    {cleared}
    for (; length > 0; length -= row, x += stride) {{
      const uint8_t *p = x;
      int32_t n = length < row ? length : row;
{loop}{again}
    }}{last}{made}
    *weights = w;
    return {shape.outputs};
  }}"""
