"""Encoders in C: of reals, of integers that stand for reals, and of means of them."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.c99.elements import each_element, like, of_integers, put_function
from lowbit.c99.endings import made_of, ranked
from lowbit.c99.functions import float32_of, ordinal_of
from lowbit.c99.inputs import encoded
from lowbit.c99.layers import cleared
from lowbit.c99.pools import average_pool
from lowbit.c99.recoded import Recode, exact_means, form_of
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit, integer, number
from lowbit.c99.windows import add_window
from lowbit.program.steps import EncodeAffine, EncodeBytes, EncodePlanes, Rank, Round

_TABLE, _FEW = 256, 8
_FLOAT = np.finfo(np.float32).max


_Ranks = EncodePlanes | EncodeBytes | Rank


def encode_ranks(unit: Unit, step: _Ranks, x: list[Stored], number_: int) -> Stored:
    """Add an encoder of reals by thresholds."""
    (source,) = x
    form = {EncodePlanes: "planes", EncodeBytes: "bytes", Rank: "words"}[type(step)]
    table = step.table.astype(np.int16).view(np.uint16) if form == "words" else step.table
    entries = step.table.astype(np.int64)
    made = made_of(form, table)
    if source.pixels is not None:
        return of_integers(unit, source, made, encoded(step, source.pixels), number_)
    steps = len(step.thresholds)
    thresholds = unit.array("float", np.clip(step.thresholds, -_FLOAT, _FLOAT), "thresholds")
    name = ranked(unit, "float", steps)
    body = [f"int32_t code = {name}(value, thresholds, steps);"]
    given, names = ", const float *thresholds, int32_t steps", f", {thresholds}, {steps}"
    if not np.array_equal(entries, np.arange(len(entries))):
        kind = "int16_t" if form == "words" else "uint8_t"
        body.append("code = table[code];")
        given += f", const {kind} *table"
        names += f", {unit.array(kind, entries, 'table')}"
    stem = f"encode_{name}{'_t' if len(body) > 1 else ''}"
    return each_element(unit, source, like(source, made, number_), stem, body, given, names)


_ROUND = """
static int32_t nearest_{rule}(double value, double low, double high)
{{
  int32_t whole;
  if (!(value > low)) return (int32_t)low;
  if (value >= high) return (int32_t)high;
  whole = (int32_t)value;
  if ((double)whole > value) --whole;
  value -= (double)whole;
  return whole + ({further});
}}
"""
_FURTHER = {
    "round_even": "value > 0.5 || (value == 0.5 && (whole & 1) != 0)",
    "round_up": "value >= 0.5",
    "round_down": "0",
}


def encode_affine(unit: Unit, step: EncodeAffine, x: list[Stored], number_: int) -> Stored:
    """Add an encoder of reals by rounding, half to even."""
    low = -int(step.zero)
    ends = low, low + int(step.top), low
    return _round(unit, x[0], step, "bytes", "round_even", step.scale, *ends, number_)


def encode_round(unit: Unit, step: Round, x: list[Stored], number_: int) -> Stored:
    """Add an encoder of reals by rounding, by any rule."""
    ends = step.low, step.high, step.base
    return _round(unit, x[0], step, step.form, step.rule, step.step, *ends, number_)


def _round(
    unit: Unit,
    x: Stored,
    encoder: EncodeAffine | Round,
    form: str,
    rule: str,
    step: float,
    low: int,
    high: int,
    base: int,
    number_: int,
) -> Stored:
    made = made_of(form, np.arange(low - base, high - base + 1).astype(np.int16).view(np.uint16))
    if x.pixels is not None:
        return of_integers(unit, x, made, encoded(encoder, x.pixels), number_)
    if high - low < _TABLE:  # a search is quicker than a division of float64
        levels = np.arange(low - base, high - base + 1)
        thresholds = _last_of_levels(encoder, levels[:-1])
        if form == "words":
            return encode_ranks(unit, Rank(thresholds, levels.astype(np.int16)), [x], number_)
        kind = EncodePlanes if form == "planes" else EncodeBytes
        return encode_ranks(unit, kind(thresholds, levels.astype(np.uint8)), [x], number_)
    unit.function(f"nearest_{rule}", _ROUND.format(rule=rule, further=_FURTHER[rule]))
    body = [f"const int32_t code = nearest_{rule}((double)value / step, low, high) - base;"]
    given = ", double step, double low, double high, int32_t base"
    names = f", {number(step)}, {low}, {high}, {integer(base)}"
    return each_element(unit, x, like(x, made, number_), rule, body, given, names)


def _last_of_levels(step: EncodeAffine | Round, levels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the largest float32 of each level, in the engine's own arithmetic."""
    below = np.full(len(levels), ordinal_of(-_FLOAT) - 1)
    above = np.full(len(levels), ordinal_of(_FLOAT))
    while (below < above).any():
        middle = below + (above - below + 1) // 2
        stays = encoded(step, float32_of(middle)) <= levels
        below, above = np.where(stays, middle, below), np.where(stays, above, middle - 1)
    return float32_of(below)


def recode(unit: Unit, step: Recode, x: list[Stored], number_: int) -> Stored:
    """Add an encoder of what integers, or the sums of windows of them, stand for."""
    view = replace(
        x[0],
        form="reals",
        low=step.whole.least,
        high=step.whole.last,
        pixels=step.whole.reals,
        element=x[0].ctype,
    )
    if step.pool is not None and step.means is None:
        return _exact_means(unit, step, x[0], number_)
    if step.pool is not None and step.means is not None:
        view = replace(average_pool(unit, step.pool[1], [view], step.pool[0]), pixels=step.means.reals)
    if isinstance(step.encoder, EncodeAffine):
        return encode_affine(unit, step.encoder, [view], number_)
    if isinstance(step.encoder, Round):
        return encode_round(unit, step.encoder, [view], number_)
    return encode_ranks(unit, step.encoder, [view], number_)


def _exact_means(unit: Unit, step: Recode, x: Stored, number_: int) -> Stored:
    """Add the codes of means by exact sums of what integers stand for."""
    assert step.pool is not None and x.lengths is not None
    pool = step.pool[1]
    window, constants = (pool.rows, pool.columns), add_window(unit, (pool.rows, pool.columns), x, 1)
    lengths = (x.lengths[0], window[0].outputs, window[1].outputs)
    exact = exact_means(step.encoder, step.whole, window[0].kernel * window[1].kernel)
    last = exact.first + len(exact.thresholds)
    made = made_of(form_of(step.encoder), np.arange(exact.first, last + 1).astype(np.int16).view(np.uint16))
    y = replace(made, number=number_, count=lengths[0] * lengths[1] * lengths[2], lengths=lengths)
    put, rank = put_function(unit, y), ranked(unit, "int64_t", len(exact.thresholds))
    name = f"exact_mean_{x.ctype[:-2]}_{put[4:]}"
    unit.function(
        name,
        f"""
static void {name}(const {x.ctype} *x, {y.ctype} *y, const struct window *v, const int64_t *numbers,
    int32_t least, const int64_t *thresholds, int32_t steps, int32_t first)
{{
  int32_t i, j, c, a, b;
  for (i = 0; i < v->out_height; ++i)
    for (j = 0; j < v->out_width; ++j)
      for (c = 0; c < v->channels; ++c) {{
        const int32_t row = i * v->stride_height, column = j * v->stride_width;
        int64_t sum = 0;
        for (a = 0; a < v->kernel_height; ++a)
          for (b = 0; b < v->kernel_width; ++b)
            sum += numbers[x[((row + a * v->dilation_height) * v->width + column + b * v->dilation_width)
                * v->channels + c] - least];
        {put}(y, (i * v->out_width + j) * v->channels + c, {rank}(sum, thresholds, steps) + first);
      }}
}}
""",
    )
    numbers = unit.array("int64_t", exact.numbers, "numbers")
    thresholds = unit.array("int64_t", exact.thresholds, "thresholds")
    given = f"{numbers}, {step.whole.least}, {thresholds}, {len(exact.thresholds)}, {exact.first}"
    return unit.put(f"{cleared(unit, y)}{name}({x.name}, {y.name}, &{constants}, {given});", y, [x])
