"""Steps that pool maps, or bring elements to other places, in C."""

from dataclasses import replace

import numpy as np

from lowbit.c99.elements import get_function, put_function, read
from lowbit.c99.layers import cleared
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit, integer
from lowbit.c99.windows import add_window
from lowbit.program.steps import (
    NOWHERE,
    Arrange,
    AverageWords,
    Concatenate,
    Flatten,
    Gather,
    MaxPool,
)


def arrange(unit: Unit, step: Arrange, x: list[Stored], number: int) -> Stored:
    """Add what makes a map of elements in the order (channel, height, width): of reals only a view."""
    (source,) = x
    lengths = (step.channels, step.height, step.width)
    same = step.channels == 1 or step.height * step.width == 1
    if source.form == "reals":
        view = replace(source, number=number, lengths=lengths, channels_first=not same)
        return unit.alias(view, source)
    y = source.made(number, source.count, lengths)
    if same and y.form != "planes":
        return unit.alias(y, source)
    return _reordered(unit, source, y, lengths, to_map=True)


def flatten(unit: Unit, step: Flatten, x: list[Stored], number: int) -> Stored:
    """Add what brings a map's elements into the order (channel, height, width)."""
    (source,) = x
    assert source.lengths is not None
    channels, height, width = source.lengths
    del step
    y = source.made(number, source.count)
    if source.channels_first or (source.form != "planes" and (channels == 1 or height * width == 1)):
        return unit.alias(y, source)
    return _reordered(unit, source, y, source.lengths, to_map=False)


def _reordered(unit: Unit, x: Stored, y: Stored, lengths: tuple[int, int, int], *, to_map: bool) -> Stored:
    """Add a loop over (channel, height, width); a map's elements are counted with channels innermost."""
    channels, height, width = lengths
    if y.form == "reals":
        put = f"put_{y.ctype[:-2]}"
        unit.function(
            put, f"static void {put}({y.ctype} *y, int32_t n, {y.ctype} value)\n{{\n  y[n] = value;\n}}"
        )
    else:
        put = put_function(unit, y)
    flat, mapped = "c * pixels + p", "p * channels + c"
    source, target = (flat, mapped) if to_map else (mapped, flat)
    name = f"reorder_{'map' if to_map else 'flat'}_{x.ctype[:-2]}_{put[4:]}"
    got = read(unit, x, source)
    if x.form == "planes":
        name += f"_{get_function(unit, x)[4:]}"
    unit.function(
        name,
        f"""
static void {name}(const {x.ctype} *x, {y.ctype} *y, int32_t channels, int32_t pixels)
{{
  int32_t c, p;
  for (c = 0; c < channels; ++c)
    for (p = 0; p < pixels; ++p) {put}(y, {target}, {got});
}}
""",
    )
    return unit.put(f"{cleared(unit, y)}{name}({x.name}, {y.name}, {channels}, {height * width});", y, [x])


def settled(unit: Unit, x: Stored) -> Stored:
    """Return reals that are seen as a map as one that lies so, for steps that read them where they lie."""
    if not x.channels_first or x.lengths is None:
        return x
    number = -1000 - len(unit.statements)  # of no step
    y = replace(x.made(number, x.count, x.lengths), text=f"settled_{len(unit.statements)}")
    return _reordered(unit, x, y, x.lengths, to_map=True)


def max_pool(unit: Unit, step: MaxPool, x: list[Stored], number: int) -> Stored:
    """Add the largest entry of each window; of planes, the code of the largest rank."""
    (source,) = x
    assert source.lengths is not None
    window = (step.rows, step.columns)
    height, width = (axis.outputs for axis in window)
    lengths, constants = (source.lengths[0], height, width), add_window(unit, window, source, 1)
    y = source.made(number, lengths[0] * height * width, lengths)
    index = "((row * v->width + column) * v->channels + c)"
    if source.channels_first:
        index = "((c * v->height + row) * v->width + column)"
    ranked = source.form == "planes" and not np.array_equal(step.ranks, np.arange(len(step.ranks)))
    got = read(unit, source, index)
    if ranked:
        got = f"ranks[{got}]"
    kind = "real_t" if source.form == "reals" and source.pixels is None else "int32_t"
    put = put_function(unit, y) if kind == "int32_t" else ""
    name = f"max_{source.ctype[:-2]}{'_' + get_function(unit, source)[4:] if source.form == 'planes' else ''}"
    name += f"_{put[4:]}{'_ranked' if ranked else ''}{'_c' if source.channels_first else ''}"
    place = "(i * v->out_width + j) * v->channels + c"
    stored = f"{put}(y, {place}, {'codes[best]' if ranked else 'best'});" if put else f"y[{place}] = best;"
    unit.function(
        name,
        f"""
static void {name}(const {source.ctype} *x, {y.ctype} *y, const struct window *v{
            ", const uint8_t *ranks, const uint8_t *codes" if ranked else ""
        })
{{
  int32_t i, j, c, a, b;
  for (i = 0; i < v->out_height; ++i)
    for (j = 0; j < v->out_width; ++j)
      for (c = 0; c < v->channels; ++c) {{
        {kind} best = 0;
        int32_t seen = 0;
        for (a = 0; a < v->kernel_height; ++a)
          for (b = 0; b < v->kernel_width; ++b) {{
            const int32_t row = i * v->stride_height - v->top + a * v->dilation_height;
            const int32_t column = j * v->stride_width - v->left + b * v->dilation_width;
            if (row >= 0 && row < v->height && column >= 0 && column < v->width) {{
              const {kind} value = {got};
              if (seen == 0 || value > best) best = value;
              seen = 1;
            }}
          }}
        {stored}
      }}
}}
""",
    )
    tables = ""
    if ranked:
        codes = np.argsort(step.ranks).astype(np.uint8)
        tables = f", {unit.array('uint8_t', step.ranks, 'ranks')}, {unit.array('uint8_t', codes, 'codes')}"
    return unit.put(f"{cleared(unit, y)}{name}({source.name}, {y.name}, &{constants}{tables});", y, [source])


def average_words(unit: Unit, step: AverageWords, x: list[Stored], number: int) -> Stored:
    """Add the mean of each window of words, rounded and saturated once."""
    (source,) = x
    assert source.lengths is not None
    window = (step.rows, step.columns)
    height, width = (axis.outputs for axis in window)
    lengths, constants = (source.lengths[0], height, width), add_window(unit, window, source, 1)
    y = Stored(number, "words", lengths[0] * height * width, lengths, 0, step.low, step.high)
    taps = step.rows.kernel * step.columns.kernel
    most = max(abs(source.low), abs(source.high)) * taps
    reach = (most << max(1 - step.shift, 1)) + (taps << (max(step.shift, 0) + 1))
    ctype = "int64_t" if reach >= 1 << 31 else "int32_t"
    up = step.rule == "shift_up"
    name = f"average_{ctype[3:5]}{'_up' if up else ''}{'_all' if step.count_all else ''}"
    half = "sum = 2 * sum + count;\n        count *= 2;" if up else ""
    counted = "" if step.count_all else "++count;"
    unit.function(
        name,
        f"""
static void {name}(const word_t *x, word_t *y, const struct window *v, {ctype} up, {ctype} down,
    int32_t low, int32_t high)
{{
  int32_t i, j, c, a, b;
  for (i = 0; i < v->out_height; ++i)
    for (j = 0; j < v->out_width; ++j)
      for (c = 0; c < v->channels; ++c) {{
        {ctype} sum = 0, count = {"v->kernel_height * v->kernel_width" if step.count_all else "0"}, mean;
        for (a = 0; a < v->kernel_height; ++a)
          for (b = 0; b < v->kernel_width; ++b) {{
            const int32_t row = i * v->stride_height - v->top + a * v->dilation_height;
            const int32_t column = j * v->stride_width - v->left + b * v->dilation_width;
            if (row >= 0 && row < v->height && column >= 0 && column < v->width) {{
              sum += x[(row * v->width + column) * v->channels + c];
              {counted}
            }}
          }}
        sum *= up;
        count *= down;
        {half}
        mean = sum / count;
        if (sum % count < 0) --mean;
        *y++ = (word_t)(mean < low ? low : mean > high ? high : mean);
      }}
}}
""",
    )
    factors = f"{integer(1 << max(-step.shift, 0))}, {integer(1 << max(step.shift, 0))}"
    call = f"{name}({source.name}, {y.name}, &{constants}, {factors}, {step.low}, {step.high});"
    return unit.put(call, y, [source])


def concatenate(unit: Unit, step: Concatenate, x: list[Stored], number: int) -> Stored:
    """Add what lays the channels of maps side by side, or values one after another."""
    del step
    first = x[0]
    low, high = min(each.low for each in x), max(each.high for each in x)
    lengths = None
    if first.lengths is not None:
        lengths = (sum(each.lengths[0] for each in x if each.lengths), *first.lengths[1:])
    y = Stored(number, first.form, sum(each.count for each in x), lengths, first.bits, low, high)
    pixels = 1 if lengths is None else lengths[1] * lengths[2]
    planes = max(y.bits, 1)
    stride = y.pixel if lengths is not None else y.count
    calls, at = [], 0
    for each in x:
        name = f"join_{each.ctype.removesuffix('_t')}"
        unit.function(
            name,
            f"""
static void {name}(const {each.ctype} *x, {y.ctype} *y, int32_t pixels, int32_t count, int32_t stride)
{{
  int32_t i, n;
  for (i = 0; i < pixels; ++i, y += stride)
    for (n = 0; n < count; ++n) y[n] = *x++;
}}
""",
        )
        wide = each.count // pixels if each.form != "planes" else each.words
        groups = pixels * planes if each.form == "planes" else pixels
        step_ = stride // planes if each.form == "planes" else stride
        calls.append(f"{name}({each.name}, {y.name} + {at}, {groups}, {wide}, {step_});")
        at += wide
    return unit.put(" ".join(calls), y, x)


def number_of(real: float, x: Stored) -> str:
    """Return a real in C as a value holds it; of an input of integers the one that stands for it."""
    if x.pixels is None:
        return f"{float(np.float32(real)).hex()}f"
    return integer(x.low + int(np.flatnonzero(x.pixels == np.float32(real))[0]))


def gather(unit: Unit, step: Gather, x: list[Stored], number: int) -> Stored:
    """Add what takes elements from other places."""
    (source,) = x
    count = step.places.size
    lengths = (step.channels, step.height, step.width) if step.height else None
    y = source.made(number, count, lengths)
    filled = bool((step.places == NOWHERE).any())
    places = step.places.astype(np.int64)
    if source.channels_first:
        assert source.lengths is not None
        channels, height, width = source.lengths
        order = np.arange(source.count).reshape(channels, height, width).transpose(1, 2, 0).reshape(-1)
        places = np.where(step.places == NOWHERE, NOWHERE, order[np.minimum(places, source.count - 1)])
    wide = source.count >= (1 << 16) - 1
    ctype = "uint32_t" if wide else "uint16_t"
    nowhere = NOWHERE if wide else (1 << 16) - 1
    places = np.where(step.places == NOWHERE, nowhere, places)
    name = f"gather_{y.ctype[:-2]}_{ctype[4:6]}{'_filled' if filled else ''}"
    got = f"places[n] == {nowhere}u ? fill : x[places[n]]" if filled else "x[places[n]]"
    unit.function(
        name,
        f"""
static void {name}(const {y.ctype} *x, {y.ctype} *y, int32_t count, const {ctype} *places{
            f", {y.ctype} fill" if filled else ""
        })
{{
  int32_t n;
  for (n = 0; n < count; ++n) y[n] = {got};
}}
""",
    )
    table = unit.array(ctype, places, "places")
    fill = f", {number_of(step.fill, source)}" if filled else ""
    return unit.put(f"{name}({source.name}, {y.name}, {count}, {table}{fill});", y, [source])
