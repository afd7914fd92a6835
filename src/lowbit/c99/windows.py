"""Windows of maps in C: their struct, and what brings the taps of one together."""

from typing import Any

import numpy as np

from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit
from lowbit.ir.window import Axis

Window = tuple[Axis, Axis]

_STRUCT = """
struct window {
  int32_t height, width, channels, group;
  int32_t out_height, out_width, kernel_height, kernel_width;
  int32_t stride_height, stride_width, dilation_height, dilation_width, top, left, zero;
};
"""


def add_window(unit: Unit, window: Window, x: Stored, group: int, zero: int = 0) -> str:
    """Add the constants of a window over a map, which `zero` pads; return their name."""
    unit.function("window", _STRUCT)
    assert x.lengths is not None
    rows, columns = window
    numbers = {
        "height": rows.extent,
        "width": columns.extent,
        "channels": x.lengths[0],
        "group": group,
        "out_height": rows.outputs,
        "out_width": columns.outputs,
        "kernel_height": rows.kernel,
        "kernel_width": columns.kernel,
        "stride_height": rows.stride,
        "stride_width": columns.stride,
        "dilation_height": rows.dilation,
        "dilation_width": columns.dilation,
        "top": rows.before,
        "left": columns.before,
        "zero": zero,
    }
    return unit.struct("window", [(key, str(value)) for key, value in numbers.items()], 4 * len(numbers))


def patch_elements(window: Window, x: Stored, group: int) -> int:
    """Return the elements of a window's taps of one group."""
    assert x.lengths is not None
    return window[0].kernel * window[1].kernel * x.lengths[0] // group


def region_arrays(unit: Unit, window: Window) -> list[str]:
    """Add the region of every row and column, as parts that are added up; return the names of both arrays.

    Regions are numbered as in `lowbit.program.windows`: by rows first, in the order in which they appear.
    """
    found = [_appeared(axis.classes()[0]) for axis in window]
    columns = int(found[1].max()) + 1
    return [
        unit.array("uint8_t", found[0] * columns, "row_regions"),
        unit.array("uint8_t", found[1], "column_regions"),
    ]


def _appeared(classes: Any) -> Any:
    _, first, inverse = np.unique(classes, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[inverse]


_PATCH = """
static void patch_{short}(const {x} *x, {x} *patch, const struct window *v, int32_t row, int32_t column,
    int32_t group{given})
{{
  const int32_t depth = v->channels / v->group;
  int32_t i, j, n;
  x += group * depth;
  for (i = 0; i < v->kernel_height; ++i, row += v->dilation_height) {{
    for (j = 0; j < v->kernel_width; ++j) {{
      const int32_t at = column + j * v->dilation_width;
      if (row < 0 || row >= v->height || at < 0 || at >= v->width) {{
        for (n = 0; n < depth; ++n) *patch++ = ({x})v->zero;
      }} else {{
        const {x} *from = x + (row * v->width + at) * v->channels;
        for (n = 0; n < depth; ++n) *patch++ = {entry};
      }}
    }}
  }}
}}
"""


_INSIDE = """
static void inside_{short}(const {x} *x, {x} *patch, const struct window *v, int32_t row, int32_t column,
    int32_t group{given})
{{
  const int32_t length = v->kernel_width * v->channels, stride = v->width * v->channels;
  int32_t i, n;
  (void)group;
  x += row * stride + column * v->channels;
  for (i = 0; i < v->kernel_height; ++i, x += stride) {{
    const {x} *from = x;
    for (n = length; n > 0; --n) *patch++ = {entry};
  }}
}}
"""


def patch_function(unit: Unit, ctype: str, *, looked_up: bool = False, inside: bool = False) -> str:
    """Add what copies the taps of a window of bytes or words, and what pads them; return its name.

    Args:
        unit: the program.
        ctype: of an element.
        looked_up: whether bytes go through a table, which is a last argument.
        inside: whether windows of all channels lie inside the map, tap beside tap: rows are copied whole.
    """
    unit.function("window", _STRUCT)
    short = ctype[0] + ("t" if looked_up else "")
    given, entry = (", const uint8_t *table", "table[*from++]") if looked_up else ("", "*from++")
    name, text = ("inside", _INSIDE) if inside else ("patch", _PATCH)
    return unit.function(f"{name}_{short}", text.format(short=short, x=ctype, given=given, entry=entry))


_APPEND = """
static void append(uint32_t *y, int32_t at, uint32_t bits)
{
  y[at >> 5] |= bits << (at & 31);
  if ((at & 31) != 0 && (bits >> (32 - (at & 31))) != 0) y[(at >> 5) + 1] |= bits >> (32 - (at & 31));
}
"""

_PLANE_PATCH = """
static void patch_planes_{short}(const {x} *x, uint32_t *patch, const struct window *v, int32_t row,
    int32_t column, int32_t group, int32_t planes, int32_t words, int32_t masked)
{{
  const int32_t depth = v->channels / v->group, first = group * (depth / {bits});
  const int32_t stride = (v->channels + {bits} - 1) / {bits}, parts = (depth + {bits} - 1) / {bits};
  int32_t i, j, p, n, at = 0, taps = 0;
  for (n = 0; n < (planes + masked) * words; ++n) patch[n] = 0;
  for (i = 0; i < v->kernel_height; ++i, row += v->dilation_height) {{
    for (j = 0; j < v->kernel_width; ++j, at += depth) {{
      const int32_t place = column + j * v->dilation_width;
      if (row < 0 || row >= v->height || place < 0 || place >= v->width) continue;
      for (p = 0; p < planes; ++p) {{
        const {x} *from = x + ((row * v->width + place) * planes + p) * stride + first;
        for (n = 0; n < parts; ++n) append(patch + p * words, at + n * {bits}, from[n]);
      }}
      ++taps;
      if (masked)
        for (n = 0; n < depth; ++n) append(patch + planes * words, at + n, 1u);
    }}
  }}
  if (masked) patch[(planes + 1) * words] = (uint32_t)(taps * depth);
}}
"""


def plane_patch_function(unit: Unit, ctype: str) -> str:
    """Add what brings the bits of a window's taps together; return its name.

    ``NAME(x, patch, window, row, column, group, planes, words, masked)`` makes ``[planes][words]``, and where
    it is masked, the mask of taps that are there ``[words]`` and the number of their elements.
    """
    unit.function("window", _STRUCT)
    unit.function("append", _APPEND)
    bits = {"uint8_t": 8, "half_t": 16, "uint32_t": 32}[ctype]
    short = ctype[:-2]
    return unit.function(f"patch_planes_{short}", _PLANE_PATCH.format(short=short, x=ctype, bits=bits))
