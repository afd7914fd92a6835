"""Products of a row with weights of several outputs at a time: an entry is read once, skipped if zero."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.c99.lanes import Lanes, lanes_function, lanes_of
from lowbit.c99.packing import Packed
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit, narrowest

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Walk:
    """Where the taps of a window lie that is read in place: `row` side by side, the next `stride` further."""

    row: int
    stride: int


@dataclass(frozen=True)
class Block:
    """What sums several outputs at a time.

    Attributes:
        key: what differs between functions that use it.
        call: C that fills `sums` and says in `made` how many; it moves `w` to the next weights.
        fields: of the layer's struct.
        ctype: of the weights.
        start, step: ``[o]``: a sum of weights is `start` times the sum of the row and `step` times it.
        total: C of the sum of the row behind a call; empty: it does not make one.
        walks: whether it reads windows in place, through the table of entries if there is one.
    """

    key: str
    call: str
    fields: list[tuple[str, str, str]]
    ctype: str
    start: Integers
    step: Integers
    total: str = ""
    walks: bool = False


def block_of(unit: Unit, x: Stored, form: Packed, walk: Walk | None = None) -> Block | None:
    """Return what sums a row, or None where that is better done output by output.

    Args:
        unit: the program.
        x: what is read.
        form: the weights.
        walk: how a window lies in `x`, if it might be read in place.
    """
    if x.form != "bytes" or len(form.codes) < 2:
        return None
    if form.way == "whole":
        return _of_bytes(unit, form) if narrowest(form.codes, bytes_too=True) == "int8_t" else None
    lanes = lanes_of(form)
    part = lanes.part(x.high) if lanes is not None else 0
    return _of_lanes(unit, x, lanes, part, walk) if lanes is not None and part else None


def _of_lanes(unit: Unit, x: Stored, lanes: Lanes, part: int, walk: Walk | None) -> Block:
    """Add the function for codes in lanes."""
    length = lanes.codes.shape[1]
    walks = walk is not None and walk.row <= part
    row = walk.row if walk is not None and walks else min(length, part)
    total, looked_up = bool(lanes.start.any()), walks and bool(x.lookup)
    name = lanes_function(unit, lanes, in_parts=length > part, total=total, looked_up=looked_up)
    words = unit.array("uint32_t", lanes.words(row), "weights", weights=True)
    stride = walk.stride if walk is not None and walks else row
    fields = [
        ("const uint32_t *", "weights", words),
        ("int32_t", "row", str(row)),
        ("int32_t", "stride", str(stride)),
    ]
    given = "x, &w, l->length, l->row, l->stride, last - o, sums"
    if not lanes.even:
        fields.append(("const uint32_t *", "pairs", unit.array("uint32_t", lanes.pairs(), "pairs")))
        given += ", l->pairs"
    call = f"made = {name}({given}{', l->lookup' * looked_up})"
    return Block(name, call, fields, "uint32_t", lanes.start, lanes.step, "sums[made]" * total, walks)


def _of_bytes(unit: Unit, form: Packed) -> Block:
    """Add the function for weights that are bytes."""
    weights = form.codes
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
    return Block(
        name,
        f"made = 4, w = {name}(x, w, l->length, last - o, sums)",
        [field],
        "int8_t",
        form.start,
        form.step,
    )


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

#if defined(LOWBIT_NO_MULTIPLY)
#define add_fours(f, g, h, i) do { \
    int32_t p = (f), q = (g), r = (h), s = (i); \
    do { if (t & 1u) a += p, b += q, c += r, d += s; p *= 2, q *= 2, r *= 2, s *= 2; t >>= 1; } while (t); \
  } while (0)
#else
#define add_fours(f, g, h, i) \
  do { a += (int32_t)t * (f); b += (int32_t)t * (g); c += (int32_t)t * (h); d += (int32_t)t * (i); } while (0)
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
      uint32_t t = x[0];
      if (t) add_fours(w[0], w[4], w[8], w[12]);
      t = x[1];
      if (t) add_fours(w[1], w[5], w[9], w[13]);
      t = x[2];
      if (t) add_fours(w[2], w[6], w[10], w[14]);
      t = x[3];
      if (t) add_fours(w[3], w[7], w[11], w[15]);
#endif
    }
    for (; n > 0; --n, w += 4) {
      uint32_t t = *x++;
      if (t) add_fours(w[0], w[1], w[2], w[3]);
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
