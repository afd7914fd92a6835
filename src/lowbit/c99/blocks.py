"""Products of a row with the weights of four outputs at a time: an entry is read once, and skipped if zero.

Weights at few bits are codes, and two outputs share a multiplication: codes lie 16 bits apart in one word,

    x (u0 + 2^16 u1) = x u0 + 2^16 x u1,

exact as long as a sum of such products stays below 2^16, which the largest entry and code decide; longer rows
are summed in parts. A core that cannot multiply adds shifted words instead, both lanes at once.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.c99.packing import Packed
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit, narrowest, times_function

Integers = npt.NDArray[np.int64]

_LANE = 16
_LEAST_PART = 8
"""Taps of a part, below which bringing lanes apart costs more than they save."""


@dataclass(frozen=True)
class Block:
    """What sums four outputs at a time.

    Attributes:
        function: ``w = NAME(x, w, n, left, sums)`` fills up to four sums; the next weights lie at `w` then.
        fields: of the layer's struct.
        ctype: of the weights.
    """

    function: str
    fields: list[tuple[str, str, str]]
    ctype: str


def block_of(unit: Unit, x: Stored, form: Packed) -> Block | None:
    """Return the function of a row's blocks, or None where a row is better summed output by output."""
    if x.form != "bytes" or len(form.codes) < 2:
        return None
    if form.way == "whole":
        return _of_bytes(unit, form.codes) if narrowest(form.codes, bytes_too=True) == "int8_t" else None
    part = _part(x, form) if form.way == "units" else 0
    return _of_lanes(unit, x, form, part) if part >= min(_LEAST_PART, form.codes.shape[1]) else None


def _part(x: Stored, form: Packed) -> int:
    """Return how many taps may be summed in lanes."""
    most = (1 << _LANE) - 1
    taps = _LANE // form.bits
    largest = max(x.high * int(form.codes.max(initial=0)), 1)
    return min(most // largest // taps * taps, 1 << 14)


def _of_lanes(unit: Unit, x: Stored, form: Packed, part: int) -> Block:
    """Add the function for codes in lanes."""
    bits, taps = form.bits, _LANE // form.bits
    mask = ((1 << bits) - 1) * ((1 << _LANE) + 1)
    length = form.codes.shape[1]
    in_parts = length > part
    name = f"lanes_{bits}_{x.high.bit_length()}{f'_{part}' if in_parts else ''}"
    times = times_function(unit, "uint32_t", x.high.bit_length())
    both = _lanes_loop(bits, taps, mask, times, in_parts=in_parts, double=True)
    one = _lanes_loop(bits, taps, mask, times, in_parts=in_parts, double=False)
    unit.function(name, _LANES.format(name=name, both=both, one=one, part=part))
    words = _lane_words(form)
    return Block(
        name,
        [("const uint32_t *", "weights", unit.array("uint32_t", words, "weights", weights=True))],
        "uint32_t",
    )


def _lane_words(form: Packed) -> npt.NDArray[np.uint32]:
    """Return codes as words of two outputs, those of four outputs side by side for each of their taps."""
    outputs, length = form.codes.shape
    taps = _LANE // form.bits
    padded = np.zeros((outputs + outputs % 2, -(-length // taps) * taps), np.uint64)
    padded[:outputs, :length] = form.codes
    shifts = (np.arange(taps) * form.bits).astype(np.uint64)
    halves = (padded.reshape(len(padded), -1, taps) << shifts).sum(axis=2)
    pairs = halves[0::2] | halves[1::2] << np.uint64(_LANE)
    fours = len(pairs) // 2 * 2
    rows = [pairs[at : at + 2].T.reshape(-1) for at in range(0, fours, 2)]
    return np.concatenate([*rows, *pairs[fours:]]).astype(np.uint32)


def _lanes_loop(bits: int, taps: int, mask: int, times: str, *, in_parts: bool, double: bool) -> str:
    names = ("a", "b") if double else ("a",)
    words = ("v", "u") if double else ("v",)

    def tap(at: int | None) -> str:
        place = f"x[{at}]" if at is not None else "*x++"
        shift = f" >> {bits * at}" if at else ""
        sums = " ".join(
            f"{total} += {times}({f'({word}{shift})' if shift else word} & 0x{mask:x}u, t);"
            for total, word in zip(names, words, strict=True)
        )
        return f"t = {place}; if (t) {{ {sums} }}"

    read = " ".join(f"{word} = *w++;" for word in words)
    later = " ".join(f"{word} >>= {bits};" for word in words)
    whole = "\n".join(f"        {tap(at)}" for at in range(taps))
    flush = "\n".join(
        f"      sums[{2 * at}] {'+=' if in_parts else '='} (int32_t)({total} & 0xffffu);\n"
        f"      sums[{2 * at + 1}] {'+=' if in_parts else '='} (int32_t)({total} >> 16);"
        for at, total in enumerate(names)
    )
    begin = " ".join(f"{total} = 0;" for total in names)
    body = f"""      {begin}
      for (; k >= {taps}; k -= {taps}, x += {taps}) {{
        {read}
{whole}
      }}
      if (k > 0) {{
        {read}
        do {{
          {tap(None)}
          {later}
        }} while (--k > 0);
      }}
{flush}"""
    return body


_LANES = """
static const uint32_t *{name}(const uint8_t *x, const uint32_t *w, int32_t n, int32_t left, int32_t *sums)
{{
  uint32_t a, b, v, u, t;
  int32_t k;
  sums[0] = sums[1] = sums[2] = sums[3] = 0;
  for (; n > 0; n -= {part}) {{
    k = n < {part} ? n : {part};
    if (left > 2) {{
{both}
    }} else {{
{one}
    }}
  }}
  return w;
}}
"""


def _of_bytes(unit: Unit, weights: Integers) -> Block:
    """Add the function for weights that are bytes."""
    outputs, length = weights.shape
    fours, whole = outputs // 4 * 4, length // 4 * 4
    rows = []
    for at in range(0, fours, 4):
        block = weights[at : at + 4]
        rows += [
            block[:, :whole].reshape(4, -1, 4).transpose(1, 0, 2).reshape(-1),
            block[:, whole:].T.reshape(-1),
        ]
    dense = np.concatenate([*rows, weights[fours:].reshape(-1)])
    assert dense.size == outputs * length
    name = unit.function("fours_8", _FOURS)
    field = ("const int8_t *", "weights", unit.array("int8_t", dense, "weights", weights=True))
    return Block(name, [field], "int8_t")


_FOURS = """
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && !defined(__ARM_BIG_ENDIAN)
#define DOT_OF_PAIRS /* two products of 16 bits in an instruction */
struct four_bytes {
  uint32_t word;
} __attribute__((__packed__, __may_alias__));

static inline uint32_t word_at(const void *place)
{
  return ((const struct four_bytes *)place)->word;
}

static inline uint32_t even_bytes(uint32_t word)
{
  uint32_t pair;
  __asm__("uxtb16 %0, %1" : "=r"(pair) : "r"(word));
  return pair;
}

static inline uint32_t odd_bytes(uint32_t word)
{
  uint32_t pair;
  __asm__("uxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
  return pair;
}

static inline int32_t dot_of_four(uint32_t even, uint32_t odd, uint32_t weights, int32_t sum)
{
  uint32_t first, second;
  __asm__("sxtb16 %0, %1" : "=r"(first) : "r"(weights));
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(second) : "r"(weights));
  __asm__("smlad %0, %1, %2, %3" : "=r"(sum) : "r"(even), "r"(first), "r"(sum));
  __asm__("smlad %0, %1, %2, %3" : "=r"(sum) : "r"(odd), "r"(second), "r"(sum));
  return sum;
}
#endif

static const int8_t *fours_8(const uint8_t *x, const int8_t *w, int32_t n, int32_t left, int32_t *sums)
{
  if (left > 3) {
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (; n >= 4; n -= 4, x += 4, w += 16) {
#ifdef DOT_OF_PAIRS
      const uint32_t four = word_at(x);
      if (four) {
        const uint32_t even = even_bytes(four), odd = odd_bytes(four);
        a = dot_of_four(even, odd, word_at(w), a);
        b = dot_of_four(even, odd, word_at(w + 4), b);
        c = dot_of_four(even, odd, word_at(w + 8), c);
        d = dot_of_four(even, odd, word_at(w + 12), d);
      }
#else
      int32_t t = x[0];
      if (t) a += t * w[0], b += t * w[4], c += t * w[8], d += t * w[12];
      t = x[1];
      if (t) a += t * w[1], b += t * w[5], c += t * w[9], d += t * w[13];
      t = x[2];
      if (t) a += t * w[2], b += t * w[6], c += t * w[10], d += t * w[14];
      t = x[3];
      if (t) a += t * w[3], b += t * w[7], c += t * w[11], d += t * w[15];
#endif
    }
    for (; n > 0; --n, w += 4) {
      const int32_t t = *x++;
      if (t) a += t * w[0], b += t * w[1], c += t * w[2], d += t * w[3];
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
  } else {
    int32_t o;
    for (o = 0; o < left; ++o) {
      int32_t k, a = 0;
      for (k = 0; k < n; ++k) a += x[k] * *w++;
      sums[o] = a;
    }
  }
  return w;
}
"""
