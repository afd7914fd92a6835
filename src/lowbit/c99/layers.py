"""Layers in C: fully connected ones, and windows of maps, whose rows one shared function computes."""

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lowbit.c99.arena import distance_of
from lowbit.c99.blocks import Walk
from lowbit.c99.depthwise import depthwise_map, depthwise_sums, is_depthwise
from lowbit.c99.endings import Sums, end_of, store, takes_offset
from lowbit.c99.padding import padded_with
from lowbit.c99.parts import Part, Row, row_function
from lowbit.c99.stored import Stored, size_of
from lowbit.c99.sums import byte_sums, matrix_of, plane_sums, word_sums
from lowbit.c99.unit import Unit
from lowbit.c99.windows import add_window, patch_elements, patch_function, plane_patch_function, region_arrays
from lowbit.ir.window import Axis
from lowbit.program.steps import (
    ByteConvolution,
    ByteFullyConnected,
    ByteWeights,
    Ending,
    PlaneConvolution,
    PlaneFullyConnected,
    WordConvolution,
    WordFullyConnected,
    WordWeights,
)

_ZERO = """
static void clear(uint8_t *y, int32_t bytes)
{
  do {
    *y++ = 0;
  } while (--bytes > 0);
}
"""


def plane_fully_connected(unit: Unit, step: PlaneFullyConnected, x: list[Stored], number: int) -> Stored:
    """Add the layer, on planes that lie flat."""
    (source,) = x
    if source.lengths is not None:
        source = packed_flat(unit, source)
    sums, bound = plane_sums(unit, step.weights, source.count, masked=False)
    return _rows(unit, source, 1, sums, bound, len(step.weights.planes), step.ending, number)


def byte_fully_connected(unit: Unit, step: ByteFullyConnected, x: list[Stored], number: int) -> Stored:
    """Add the layer."""
    weights, offset = _offset(step.weights, step.ending)
    sums, bound = byte_sums(unit, x[0], weights)
    return _rows(unit, x[0], 1, sums, bound, len(weights.weights), step.ending, number, offset)


def word_fully_connected(unit: Unit, step: WordFullyConnected, x: list[Stored], number: int) -> Stored:
    """Add the layer, of one row or several."""
    weights, offset = _offset(step.weights, step.ending)
    sums, bound = word_sums(unit, x[0], weights)
    return _rows(unit, x[0], step.rows, sums, bound, len(weights.weights), step.ending, number, offset)


_Weights = TypeVar("_Weights", ByteWeights, WordWeights)
_NONE = np.zeros(0, np.int64)


def _offset(weights: _Weights, ending: Ending) -> tuple[_Weights, npt.NDArray[np.int64]]:
    """Return weights, and what of their constants the ending adds instead, or none."""
    constant = weights.constant.astype(np.int64)
    if not constant.any() or not takes_offset(ending, constant, len(weights.weights)):
        return weights, _NONE
    return replace(weights, constant=np.zeros_like(weights.constant[: len(weights.weights)])), constant


def _rows(
    unit: Unit,
    x: Stored,
    rows: int,
    sums: Part,
    bound: int,
    outputs: int,
    ending: Ending,
    number: int,
    offset: npt.NDArray[np.int64] = _NONE,
) -> Stored:
    end = end_of(unit, ending, Sums(outputs, bound, "int64_t sum" in sums.each, offset))
    y = replace(end.value, number=number, count=rows * outputs)
    row = row_function(unit, x.ctype, y, outputs, sums, end.part, store(y))
    call = f"{row.function}({x.name}, {y.name}, &{row.constants}, 0, 0, {outputs});"
    if rows > 1:
        call = (
            f"for (i = 0; i < {rows}; ++i) {row.function}({x.name} + i * {x.count // rows}, "
            f"{y.name} + i * {outputs}, &{row.constants}, 0, 0, {outputs});"
        )
    return unit.put(cleared(unit, y) + call, y, [x])


def cleared(unit: Unit, y: Stored) -> str:
    """Return C that brings planes to zero, before bits are put in."""
    if y.form != "planes":
        return ""
    unit.function("clear", _ZERO)
    return f"clear((uint8_t *){y.name}, {y.nbytes}); "


def packed_flat(unit: Unit, x: Stored) -> Stored:
    """Add what makes planes of a map ones that lie flat, in the order of its pixels."""
    assert x.lengths is not None
    pixels = x.lengths[1] * x.lengths[2]
    flat = replace(x, number=-x.number - 1, lengths=None, text=f"flat_{x.number}")
    function = plane_patch_function(unit, x.ctype)
    whole = (Axis(1, 1), Axis(pixels, pixels))
    window = add_window(unit, whole, x, 1)
    call = f"{function}({x.name}, {flat.name}, &{window}, 0, 0, 0, {x.bits}, {flat.words}, 0);"
    return unit.put(call, flat, [x])


def plane_convolution(unit: Unit, step: PlaneConvolution, x: list[Stored], number: int) -> Stored:
    """Add the layer, over windows that are brought together as planes."""
    (source,) = x
    assert source.lengths is not None
    window = (step.rows, step.columns)
    masked = _hangs_over(window)
    length = step.rows.kernel * step.columns.kernel * source.lengths[0] // step.group
    sums, bound = plane_sums(unit, step.weights, length, masked=masked)
    words = -(-length // 32)
    scratch = 4 * (words * (source.bits + masked) + masked)
    outputs = len(step.weights.planes)
    end = end_of(unit, step.ending, Sums(outputs, bound, wide=False))
    y = _map(end.value, number, outputs, window)
    row = row_function(unit, "uint32_t", y, outputs, sums, end.part, store(y))
    patch = plane_patch_function(unit, source.ctype)
    given = f"{source.bits}, l->words, {int(masked)}"
    return _windows(
        unit,
        step,
        source,
        y,
        row,
        f"{patch}(x, patch, v, row, column, {{group}}{given})",
        "uint32_t",
        scratch,
    )


def byte_convolution(unit: Unit, step: ByteConvolution, x: list[Stored], number: int) -> Stored:
    """Add the layer."""
    zero, weights = padded_with(step.weights, (step.rows, step.columns), x[0])
    weights, offset = _offset(weights, step.ending)
    if is_depthwise(x[0], matrix_of(weights), weights.constant.astype(np.int64), step.group):
        return _depthwise(unit, step, x[0], weights, offset, zero, number)
    walk = _walk(step, x[0])
    sums, bound = byte_sums(unit, x[0], weights, grouped=step.group > 1, walk=walk)
    return _products(unit, step, x[0], sums, bound, offset, zero, number)


def word_convolution(unit: Unit, step: WordConvolution, x: list[Stored], number: int) -> Stored:
    """Add the layer."""
    weights, offset = _offset(step.weights, step.ending)
    if is_depthwise(x[0], matrix_of(weights), weights.constant, step.group):
        return _depthwise(unit, step, x[0], weights, offset, 0, number)
    sums, bound = word_sums(unit, x[0], weights)
    return _products(unit, step, x[0], sums, bound, offset, 0, number)


def _depthwise(
    unit: Unit,
    step: ByteConvolution | WordConvolution,
    x: Stored,
    weights: ByteWeights | WordWeights,
    offset: npt.NDArray[np.int64],
    zero: int,
    number: int,
) -> Stored:
    window, outputs = (step.rows, step.columns), len(weights.weights)
    sums, bound = depthwise_sums(unit, x, matrix_of(weights), weights.constant.astype(np.int64))
    end = end_of(unit, step.ending, Sums(outputs, bound, wide=False, offset=offset))
    y = _map(end.value, number, outputs, window)
    constants = add_window(unit, window, x, step.group, zero)
    row = row_function(unit, f"{x.ctype} *const", y, outputs, sums, end.part, store(y))
    name = depthwise_map(unit, row, x, y, window)
    regions = "".join(f", {each}" for each in region_arrays(unit, window)) if row.by_region else ""
    zeros = f"({x.ctype} *)scratch_{number}"
    call = f"{name}({x.name}, {y.name}, &{row.constants}, &{constants}, {zeros}{regions});"
    scratch = outputs * size_of(x.ctype)
    return unit.put(cleared(unit, y) + call, y, [x], scratch, distance=_distance(step.rows, x, y))


def _products(
    unit: Unit,
    step: ByteConvolution | WordConvolution,
    x: Stored,
    sums: Part,
    bound: int,
    offset: npt.NDArray[np.int64],
    zero: int,
    number: int,
) -> Stored:
    window, outputs = (step.rows, step.columns), len(step.weights.weights)
    end = end_of(unit, step.ending, Sums(outputs, bound, "int64_t sum" in sums.each, offset))
    y = _map(end.value, number, outputs, window)
    if x.lookup:
        lookup = ("const uint8_t *", "lookup", x.lookup)
        sums = replace(sums, key=f"{sums.key}L", fields=(*sums.fields, lookup))
    row = row_function(unit, x.ctype, y, outputs, sums, end.part, store(y))
    inside = _walk(step, x) is not None and step.rows.dilation == 1
    scratch, gather = patch_elements(window, x, step.group) * size_of(x.ctype), ""
    if not (sums.walks or (inside and _is_point(window))):
        patch = patch_function(unit, x.ctype, looked_up=bool(x.lookup), inside=inside)
        gather = f"{patch}(x, patch, v, row, column, {{group}}{'l->lookup' if x.lookup else ''})"
    return _windows(unit, step, x, y, row, gather, x.ctype, scratch, zero)


def _walk(step: ByteConvolution | WordConvolution, x: Stored) -> Walk | None:
    """Return how windows of all channels lie in a map, where they lie inside it and tap beside tap."""
    assert x.lengths is not None
    window, channels = (step.rows, step.columns), x.lengths[0]
    if step.group > 1 or _hangs_over(window) or step.columns.dilation > 1:
        return None
    pixels = step.columns.extent * channels
    return Walk(step.columns.kernel * channels, step.rows.dilation * pixels)


def _map(value: Stored, number: int, outputs: int, window: tuple[Axis, Axis]) -> Stored:
    height, width = (axis.outputs for axis in window)
    return replace(value, number=number, count=outputs * height * width, lengths=(outputs, height, width))


def _is_point(window: tuple[Axis, Axis]) -> bool:
    return all(axis.kernel == 1 for axis in window)


def _hangs_over(window: tuple[Axis, Axis]) -> bool:
    return any(not axis.valid().all() for axis in window)


_MAP = """
static void {name}(const {x} *x, {y} *y, const struct {kind} *l, const struct window *v,
    {patch} *patch{regions})
{{
  int32_t i, j;
  for (i = 0; i < v->out_height; ++i) {{
    for (j = 0; j < v->out_width; ++j) {{
      const int32_t row = i * v->stride_height - v->top, column = j * v->stride_width - v->left;
{region}
{work}
      y += {pixel};
    }}
  }}
}}
"""

_ONE = """
      {gather};
      {row}(patch, y, l, region, 0, l->outputs);
"""

_GROUPS = """
      int32_t g;
      for (g = 0; g < v->group; ++g) {{
        {gather};
        {row}(patch, y, l, region, g * (l->outputs / v->group), (g + 1) * (l->outputs / v->group));
      }}
"""

_POINT = """
      {row}(x + (row * v->width + column) * v->channels, y, l, region, 0, l->outputs);
"""


def _windows(
    unit: Unit,
    step: Any,
    x: Stored,
    y: Stored,
    row: Row,
    gather: str,
    patch: str,
    scratch: int,
    zero: int = 0,
) -> Stored:
    """Add the loop over the windows of a map; `gather` brings one together."""
    window = (step.rows, step.columns)
    point = not gather
    constants = add_window(unit, window, x, step.group, zero)
    grouped = step.group > 1
    work = (_POINT if point else _GROUPS if grouped else _ONE).format(
        gather=gather.format(group="g, " if grouped else "0, ").replace(", )", ")"), row=row.function
    )
    name = f"{row.function}_map{'_point' if point else '_groups' if grouped else ''}"
    name += "_inside" if gather.startswith("inside") else ""
    if x.form == "planes":
        name += f"_{x.ctype[:-2]}"
    text = _MAP.format(
        name=name,
        kind=row.function,
        x=x.ctype,
        y=y.ctype,
        patch=patch,
        pixel="l->outputs" if y.form != "planes" else str(y.pixel),
        work=work.strip("\n") + ("\n      (void)patch;" if point else ""),
        regions=", const uint8_t *row_regions, const uint8_t *column_regions" if row.by_region else "",
        region="      const int32_t region = "
        + ("row_regions[i] + column_regions[j];" if row.by_region else "0;"),
    )
    unit.function(name, text)
    regions = "".join(f", {each}" for each in region_arrays(unit, window)) if row.by_region else ""
    held = "0" if point else f"({patch} *)scratch_{y.number}"
    call = f"{name}({x.name}, {y.name}, &{row.constants}, &{constants}, {held}{regions});"
    distance = _distance(step.rows, x, y)
    return unit.put(cleared(unit, y) + call, y, [x], 0 if point else scratch, distance=distance)


def _distance(rows: Axis, x: Stored, y: Stored) -> int:
    """Return how far below its source a map has to begin, or -1 where it may not lie over it."""
    if x.lengths is None or y.lengths is None or y.form == "planes":
        return -1
    return distance_of(rows, x.nbytes // x.lengths[1], y.nbytes // y.lengths[1])
