"""Depthwise layers in C: a channel at a time, over the pixels that a window sees."""

import numpy as np
import numpy.typing as npt

from lowbit.c99.parts import Part, Row
from lowbit.c99.stored import Stored
from lowbit.c99.sums import INT32, add_constant
from lowbit.c99.unit import Unit, times_function
from lowbit.ir.window import Window

Integers = npt.NDArray[np.int64]

_MOST_TAPS = 25
"""Taps that are written out one by one."""

_HALF, _IN_WORD = 16, 8
"""Values of half a byte, and how many of them a word of 32 bits holds."""


def is_depthwise(x: Stored, matrix: Integers, constant: Integers, group: int) -> bool:
    """Return whether a layer has one output for each channel, from weights of bytes and sums of 32 bits."""
    outputs, taps = matrix.shape
    alone = x.lengths is not None and x.lengths[0] == group == outputs > 1 and not x.lookup
    fits = int(matrix.min()) >= -128 and int(matrix.max()) <= 127
    return alone and fits and taps <= _MOST_TAPS and _bound(x, matrix, constant) <= INT32


def _bound(x: Stored, matrix: Integers, constant: Integers) -> int:
    reach = np.abs(matrix).sum(axis=1) * max(abs(x.low), abs(x.high))
    return int((reach + np.abs(constant.reshape(-1, len(matrix))).max(axis=0)).max())


def depthwise_sums(unit: Unit, x: Stored, matrix: Integers, constant: Integers) -> tuple[Part, int]:
    """Return the part that sums the taps of a channel, and the largest magnitude of a sum.

    A row `x` is the pixels of a window, tap by tap.
    """
    found = _of_half_bytes(unit, x, matrix) or _of_bytes(unit, x, matrix)
    return add_constant(unit, found, constant, len(matrix)), _bound(x, matrix, constant)


def _of_bytes(unit: Unit, x: Stored, matrix: Integers) -> Part:
    taps = matrix.shape[1]
    name = unit.array("int8_t", matrix, "weights", weights=True)
    products = [f"{_times(unit, x)}(w[{tap}], x[{tap}][o])" for tap in range(taps)]
    lines = [f"    const int8_t *w = l->weights + o * {taps};", f"    int32_t sum = {products[0]};"]
    lines += [f"    sum += {each};" for each in products[1:]]
    return Part(f"each_{_key(x)}{taps}", (("const int8_t *", "weights", name),), "", "\n".join(lines))


def _times(unit: Unit, x: Stored) -> str:
    """Return what multiplies a weight by an entry: bytes shift it where a core cannot multiply."""
    name = "times_words"
    if x.form == "bytes":
        return times_function(unit, "int32_t", x.high.bit_length())
    return unit.function(name, f"#define {name}(x, code) ((x) * (code))")


def _key(x: Stored) -> str:
    return f"u{x.high.bit_length()}_" if x.form == "bytes" else x.ctype[0]


def _of_half_bytes(unit: Unit, x: Stored, matrix: Integers) -> Part | None:
    """Return the part for weights that are a factor times -8 to 7, or None where they are not.

    Eight taps of a channel are a word, so each takes an instruction or two where a byte is loaded else. The
    taps that are left are half bytes, of two channels side by side.
    """
    taps, factor = matrix.shape[1], max(int(np.gcd.reduce(matrix.reshape(-1))), 1)
    small = matrix // factor
    if small.min() < -(_HALF // 2) or small.max() >= _HALF // 2:
        return None
    halves, whole = small & (_HALF - 1), taps - taps % _IN_WORD
    rest = np.pad(halves[:, whole:], ((0, len(matrix) % 2), (0, 0)))
    shifts = 4 * np.arange(_IN_WORD)
    words = (halves[:, :whole].reshape(len(matrix), -1, _IN_WORD) << shifts).sum(axis=2)
    fields, lines = [], []
    if words.size:
        count, name = words.shape[1], unit.array("uint32_t", words, "weights", weights=True)
        fields.append(("const uint32_t *", "weights", name))
        lines += [f"    const uint32_t *w = l->weights + o * {count};"]
    if rest.size:
        count, name = rest.shape[1], unit.array("uint8_t", rest[::2] | rest[1::2] << 4, "rest", weights=True)
        fields.append(("const uint8_t *", "rest", name))
        lines += [
            f"    const uint8_t *r = l->rest + (o >> 1) * {count};",
            "    const int32_t up = 28 - (o & 1) * 4;",
        ]
    places = [f"w[{n // _IN_WORD}] << {28 - n % _IN_WORD * 4}" for n in range(whole)]
    places += [f"(uint32_t)r[{n}] << up" for n in range(taps - whole)]
    products = [
        f"{_times(unit, x)}(((int32_t)({place}) >> 28), x[{tap}][o])" for tap, place in enumerate(places)
    ]
    lines += [f"    int32_t sum = {products[0]};", *(f"    sum += {each};" for each in products[1:])]
    if factor != 1:
        lines.append(f"    sum *= {factor};")
    return Part(f"halves_{_key(x)}{taps}_{factor}", tuple(fields), "", "\n".join(lines))


_MAP = """
static void {name}(const {x} *x, {y} *y, const struct {kind} *l, const struct window *v, {x} *zeros{regions})
{{
  int32_t i, j, a, b;
  const {x} *at[{taps}];
  for (i = 0; i < v->channels; ++i) zeros[i] = ({x})v->zero;
  for (i = 0; i < v->out_height; ++i)
    for (j = 0; j < v->out_width; ++j) {{
      const {x} **tap = at;
      int32_t row = i * v->stride_height - v->top;
      for (a = 0; a < v->kernel_height; ++a, row += v->dilation_height) {{
        int32_t column = j * v->stride_width - v->left;
        for (b = 0; b < v->kernel_width; ++b, column += v->dilation_width)
          *tap++ = row >= 0 && row < v->height && column >= 0 && column < v->width
                       ? x + (row * v->width + column) * v->channels
                       : zeros;
      }}
      {kind}(at, y, l, {region}, 0, l->outputs);
      y += {pixel};
    }}
}}
"""


def depthwise_map(unit: Unit, row: Row, x: Stored, y: Stored, window: Window) -> str:
    """Add the loop over the windows of a map; return its name."""
    taps = window[0].kernel * window[1].kernel
    return unit.function(
        f"{row.function}_map",
        _MAP.format(
            name=f"{row.function}_map",
            kind=row.function,
            x=x.ctype,
            y=y.ctype,
            taps=taps,
            pixel="l->outputs" if y.form != "planes" else str(y.pixel),
            regions=", const uint8_t *row_regions, const uint8_t *column_regions" if row.by_region else "",
            region="row_regions[i] + column_regions[j]" if row.by_region else "0",
        ),
    )
