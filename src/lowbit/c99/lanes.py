"""Products of a row with weights of few bits, mostly of eight outputs at a time.

An entry is read once for all of them, and skipped if it is zero. Two outputs share a multiplication: their
codes lie 16 bits apart in one word,

    x (u0 + 2^16 u1) = x u0 + 2^16 x u1,

exact as long as a sum of such products stays below 2^16, which the largest entry and code decide; longer rows
are summed in parts. A word holds the codes of as many pairs of outputs as it has room for. A core that cannot
multiply adds shifted words instead, all lanes at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.c99.packing import Packed
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit

Integers = npt.NDArray[np.int64]

_LANE = 16
_LEAST_PART = 8
"""Taps of a part, below which bringing lanes apart costs more than they save."""
_MOST_PAIRS = 4
"""Pairs of outputs of a block where a word has room for more: their sums stay in registers."""


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


def part_of(x: Stored, form: Packed) -> int:
    """Return how many taps may be summed in lanes; 0 where that is not worth it."""
    if form.way != "units" or len(form.codes) < 2:
        return 0
    largest = max(x.high * int(form.codes.max(initial=0)), 1)
    part = min(((1 << _LANE) - 1) // largest, 1 << 14)
    return part if part >= min(_LEAST_PART, form.codes.shape[1]) else 0


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


def words_of(codes: Integers, bits: int, row: int) -> npt.NDArray[np.uint32]:
    """Return codes ``[o, n]`` as words, block by block; each `row` taps begin with a word of their own."""
    outputs, length = codes.shape
    blocks = []
    for first, shape in blocks_of(outputs, bits):
        block = np.zeros((shape.outputs, length), np.uint64)
        block[: outputs - first] = codes[first : first + shape.outputs]
        lanes = block[0::2] | block[1::2] << np.uint64(_LANE)  # [pairs, n]
        for start in range(0, length, row):
            part = lanes[:, start : start + row]
            padded = np.zeros((shape.pairs, -(-part.shape[1] // shape.taps) * shape.taps), np.uint64)
            padded[:, : part.shape[1]] = part
            places = padded.reshape(shape.pairs, -1, shape.taps).transpose(1, 2, 0)  # [words, taps, pairs]
            shifts = (np.arange(shape.taps * shape.pairs) * bits).astype(np.uint64)
            blocks.append((places.reshape(len(places), -1) << shifts).sum(axis=1))
    return np.concatenate(blocks).astype(np.uint32)


def lanes_function(
    unit: Unit, outputs: int, bits: int, *, in_parts: bool, total: bool, looked_up: bool
) -> str:
    """Add the function that sums a block; return its name.

    ``made = NAME(x, &w, length, row, stride, left, sums[, table])`` sums `length` taps, of which `row` lie
    side by side, and the next `row` begin `stride` further. It makes the sums of `made` outputs of `left`,
    and with `total` the sum of the row behind them; `w` is the next block's then.

    Args:
        unit: the program.
        outputs: of the layer.
        bits: of a code.
        in_parts: whether lanes hold a row of taps at a time, not all.
        total: whether the sum of the row is asked for, too.
        looked_up: whether entries go through a table.
    """
    used = [shape for shape in shapes_of(bits) if any(shape == each for _, each in blocks_of(outputs, bits))]
    flags = "p" * in_parts + "t" * total + "l" * looked_up
    name = f"lanes_{bits}_{''.join(str(shape.outputs) for shape in used)}{flags}"
    for shape in used:
        unit.function(_add(shape), _ADD.format(name=_add(shape), **_additions(shape)))
    bodies = [_body(shape, in_parts=in_parts, total=total, looked_up=looked_up) for shape in used]
    text = f"  {bodies[-1]}"
    for shape, body in zip(used[-2::-1], bodies[-2::-1], strict=True):
        text = f"  if (left >= {shape.outputs - 1}) {body} else{text.replace('  {', ' {', 1)}"
    table = ", const uint8_t *table" if looked_up else ""
    return unit.function(name, _LANES.format(name=name, bodies=text, table=table))


def _add(shape: Shape) -> str:
    return f"add_lanes_{shape.bits}x{shape.pairs}"


def _sums(shape: Shape) -> list[str]:
    return [f"sum{pair}" for pair in range(shape.pairs)]


def _additions(shape: Shape) -> dict[str, str]:
    mask = f"0x{((1 << shape.bits) - 1) * ((1 << _LANE) + 1):x}u"
    codes = [
        f"((word) >> {pair * shape.bits} & {mask})" if pair else f"((word) & {mask})"
        for pair in range(shape.pairs)
    ]
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


def _body(shape: Shape, *, in_parts: bool, total: bool, looked_up: bool) -> str:
    """Return C that sums a block and returns how many sums it made."""
    add, sums = _add(shape), _sums(shape)

    def tap(entry: str, word: str) -> str:
        entry = f"table[{entry}]" if looked_up else entry
        return f"t = {entry}; if (t) {{ {'total += t; ' * total}{add}({word}); }}"

    if shape.taps == 1:
        four = "\n".join(f"        {tap(f'p[{at}]', f'w[{at}]')}" for at in range(4))
        loop = f"""\
      for (; n >= 4; n -= 4, p += 4, w += 4) {{
{four}
      }}
      for (; n > 0; --n, ++w) {{ {tap("*p++", "*w")} }}"""
        word = ""
    else:
        width = shape.bits * shape.pairs
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
