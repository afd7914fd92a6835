"""Elementwise steps in C: encoders, tables, decoders and sums of codes."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.c99.endings import MANY, even_code, made_of, ranked, shifted
from lowbit.c99.even import even_of
from lowbit.c99.layers import cleared
from lowbit.c99.recoded import AddCodes, form_of
from lowbit.c99.stored import Stored, put_bits, shift_of, size_of
from lowbit.c99.unit import Unit, integer, narrowest
from lowbit.program.steps import (
    AddWords,
    Decode,
    DecodeWords,
    LookUp,
    LookUpEntries,
    RankWords,
)

Integers = npt.NDArray[np.int64]

_TABLE, _FEW = 256, 8
_FLOAT = np.finfo(np.float32).max


def put_function(unit: Unit, y: Stored) -> str:
    """Add what stores an entry as element `n` of a value; return its name: ``NAME(y, n, code)``.

    Planes of a map are counted as a map's elements are: channels innermost.
    """
    if y.form != "planes":
        name = f"put_{y.ctype[0]}"
        return unit.function(
            name,
            f"static void {name}({y.ctype} *y, int32_t n, int32_t code)\n{{\n  y[n] = ({y.ctype})code;\n}}",
        )
    channels = y.count if y.lengths is None else y.lengths[0]
    name = f"put_planes_{y.ctype[:-2]}_{y.bits}_{channels}"
    flat = y.count == channels
    lines = [
        f"static void {name}({y.ctype} *y, int32_t n, int32_t code)",
        "{",
        *(() if flat else (f"  y += n / {channels} * {y.pixel};", f"  n %= {channels};")),
    ]
    lines += (f"  {line}" for line in put_bits(y, "n"))
    return unit.function(name, "\n".join([*lines, "}"]))


def get_function(unit: Unit, x: Stored) -> str:
    """Add what reads the code of element `n` of planes, counted as a map's are; return its name."""
    channels = x.count if x.lengths is None else x.lengths[0]
    width = shift_of(x.ctype)
    name = f"get_planes_{x.ctype[:-2]}_{x.bits}_{channels}"
    flat = x.count == channels
    lines = [
        f"static int32_t {name}(const {x.ctype} *x, int32_t n)",
        "{",
        *(() if flat else (f"  x += n / {channels} * {x.pixel};", f"  n %= {channels};")),
    ]
    terms = []
    for bit in range(x.bits):
        place = f"(n >> {width})" + (f" + {bit * x.words}" if bit else "")
        one = f"((x[{place}] >> (n & {(1 << width) - 1})) & 1u)"
        terms.append(f"{one} << {bit}" if bit else one)
    return unit.function(name, "\n".join([*lines, f"  return (int32_t)({' | '.join(terms)});", "}"]))


def read(unit: Unit, x: Stored, at: str = "n") -> str:
    """Return C that reads the entry or the real at element `at`, channels innermost where it is a map."""
    if x.form == "planes":
        return f"{get_function(unit, x)}(x, {at})"
    return f"x[{at}]"


def _place(x: Stored) -> str:
    """Return C of where element `n` of a map lies in `x`."""
    if not x.channels_first or x.lengths is None:
        return "n"
    channels, height, width = x.lengths
    return f"n % {channels} * {height * width} + n / {channels}"


def each_element(
    unit: Unit, x: Stored, y: Stored, stem: str, body: list[str], given: str = "", names: str = ""
) -> Stored:
    """Add a loop over the elements of a value that makes `code` of `value`, and stores it.

    Args:
        unit: the program.
        x: what is read.
        y: what is made.
        stem: what the function's name begins with; all that differs in `body` but for what is given.
        body: C.
        given: declarations of further parameters.
        names: their arguments.
    """
    put, place = put_function(unit, y), _place(x)
    got = read(unit, x, place)
    name = f"{stem}_{x.ctype[:-2].replace('real', 'f')}_{put[4:]}"
    if x.form == "planes":
        name += f"_{get_function(unit, x)[4:]}"
    if place != "n":
        name += f"_{'_'.join(map(str, x.lengths or ()))}"
    kind = "const real_t" if x.form == "reals" and x.pixels is None else "const int32_t"
    lines = "\n".join(f"    {line}" for line in body)
    unit.function(
        name,
        f"""
static void {name}(const {x.ctype} *x, {y.ctype} *y, int32_t count{given})
{{
  int32_t n;
  for (n = 0; n < count; ++n) {{
    {kind} value = {got};
{lines}
    {put}(y, n, code);
  }}
}}
""",
    )
    alike = x.form != "planes" != y.form and place == "n" and size_of(x.ctype) == size_of(y.ctype)
    call = f"{cleared(unit, y)}{name}({x.name}, {y.name}, {x.count}{names});"
    return unit.put(call, y, [x], in_place=alike)


def like(x: Stored, value: Stored, number_: int) -> Stored:
    """Return a value that has the elements of another one."""
    return replace(value, number=number_, count=x.count, lengths=x.lengths)


def of_integers(unit: Unit, x: Stored, made: Stored, entries: npt.NDArray[np.int64], number_: int) -> Stored:
    """Add what makes entries of integers: as they lie, by thresholds, or by a table, whichever is smaller.

    Args:
        unit: the program.
        x: an input, or codes.
        made: what its entries are.
        entries: of every integer that `x` may hold.
        number_: of the result.
    """
    y = like(x, made, number_)
    plain = np.array_equal(entries, np.arange(x.low, x.high + 1))
    if y.form == "bytes" and plain and not x.channels_first and x.pixels is not None:
        kept = replace(x, number=number_, form="bytes", pixels=None, low=y.low, high=y.high)
        return unit.alias(kept, x)
    if number_ in unit.gathered and y.form == "bytes" and x.ctype == "uint8_t" and x.low == 0:
        table = unit.array("uint8_t", entries, "table")
        return unit.alias(replace(y, lookup=table, channels_first=False), x)
    steps = np.flatnonzero(np.diff(entries) != 0)
    size = len(entries) * (1 if entries.min() >= 0 and entries.max() < 256 else 2)
    if not len(steps) or (len(steps) > _FEW and size <= max(4 * len(steps), _TABLE)):
        return by_table(unit, x, y, entries, x.low)
    values = np.append(entries[steps], entries[-1])
    stem, body, given, names = rank_of(unit, steps + x.low, max(-x.low, x.high))
    if not np.array_equal(values, np.arange(len(values))):
        body.append("code = table[code];")
        given += ", const int16_t *table"
        names += f", {unit.array('int16_t', values, 'table')}"
        stem += "_t"
    return each_element(unit, x, y, stem, body, given, names)


def rank_of(unit: Unit, thresholds: Integers, bound: int) -> tuple[str, list[str], str, str]:
    """Return how `code` counts the thresholds that `value` exceeds, as `_each` takes it.

    By a multiplication where they lie evenly, as those of uniform codes do, else by looking through them.

    Args:
        unit: the program.
        thresholds: rising.
        bound: the largest magnitude of a value.
    """
    steps, kept = len(thresholds), np.clip(thresholds, -bound - 1, bound)[None]
    even = even_of(kept, bound) or (even_of(kept, bound, wide=True) if steps > MANY else None)
    if even is None:
        ctype = narrowest(thresholds)
        name, array = ranked(unit, ctype, steps), unit.array(ctype, thresholds, "thresholds")
        body = [f"int32_t code = {name}(value, thresholds, steps);"]
        return f"rank_{name}", body, f", const {ctype} *thresholds, int32_t steps", f", {array}, {steps}"
    body = [
        even_code("value * multiplier", "addend", "shift", wide=even.wide),
        "code = code < 0 ? 0 : code > steps ? steps : code;",
    ]
    given = (
        f", int32_t multiplier, {'int64_t' if even.wide else 'int32_t'} addend, int32_t shift, int32_t steps"
    )
    numbers = (int(even.multiplier[0]), int(even.addend[0]), even.shift, steps)
    return f"even{'w' * even.wide}", body, given, "".join(f", {integer(each)}" for each in numbers)


def by_table(unit: Unit, x: Stored, y: Stored, entries: npt.NDArray[Any], least: int) -> Stored:
    """Add a table of the entries of integers from `least` on."""
    ctype = "uint8_t" if entries.min() >= 0 and entries.max() < 256 else "int16_t"
    table = unit.array(ctype, entries, "table")
    shift = f" - ({least})" if least else ""
    body = [f"const int32_t code = table[value{shift}];"]
    stem = f"look_up_{ctype[:-2]}{'_' if least else ''}{str(least).replace('-', 'm') if least else ''}"
    return each_element(unit, x, y, stem, body, f", const {ctype} *table", f", {table}")


def look_up(unit: Unit, step: LookUp, x: list[Stored], number_: int) -> Stored:
    """Add a table of bytes."""
    table = step.table[: x[0].high + 1]
    return by_table(unit, x[0], like(x[0], made_of("bytes", table), number_), table.astype(np.int64), 0)


def look_up_entries(unit: Unit, step: LookUpEntries, x: list[Stored], number_: int) -> Stored:
    """Add a table of bytes or words, as bytes or words."""
    entries = step.table.view(np.int16).astype(np.int64)
    if step.form == "bytes":
        entries = step.table.astype(np.int64)
    first, last = max(x[0].low - step.least, 0), x[0].high - step.least + 1
    made = made_of(step.form, step.table[first:last])
    assert step.least + first == x[0].low  # all that may be looked up is in the table
    return of_integers(unit, x[0], made, entries[first:last], number_)


def rank_words(unit: Unit, step: RankWords, x: list[Stored], number_: int) -> Stored:
    """Add what counts thresholds that words exceed."""
    made = made_of(step.form, step.table)
    entries = step.table.view(np.int16) if step.form == "words" else step.table
    bound = max(-x[0].low, x[0].high)
    stem, body, given, names = rank_of(unit, step.thresholds.reshape(-1).astype(np.int64), bound)
    if not np.array_equal(entries, np.arange(len(entries))):
        kind = "int16_t" if step.form == "words" else "uint8_t"
        body.append("code = table[code];")
        given += f", const {kind} *table"
        names += f", {unit.array(kind, entries, 'table')}"
        stem += "_t"
    return each_element(unit, x[0], like(x[0], made, number_), stem, body, given, names)


def decode(unit: Unit, step: Decode, x: list[Stored], number_: int) -> Stored:
    """Add a table of codes or bytes, as reals."""
    (source,) = x
    table = step.table[: 1 << source.bits] if source.form == "planes" else step.table[: source.high + 1]
    return _reals(unit, source, table, 0, number_)


def decode_words(unit: Unit, step: DecodeWords, x: list[Stored], number_: int) -> Stored:
    """Add a table of words, as reals."""
    first, last = x[0].low - step.least, x[0].high - step.least + 1
    return _reals(unit, x[0], step.table[first:last], x[0].low, number_)


def _reals(unit: Unit, x: Stored, table: npt.NDArray[np.float32], least: int, number_: int) -> Stored:
    y = like(x, Stored(number_, "reals", x.count, element="int32_t" if unit.integers else ""), number_)
    kind = "int32_t" if unit.integers else "float"
    name = f"decode_{x.ctype[:-2]}"
    if x.form == "planes":
        name += f"_{get_function(unit, x)[4:]}"
    got = read(unit, x)
    unit.function(
        name,
        f"""
static void {name}(const {x.ctype} *x, {y.ctype} *y, int32_t count, const {kind} *table, int32_t least)
{{
  int32_t n;
  for (n = 0; n < count; ++n) y[n] = table[{got} - least];
}}
""",
    )
    ordered = np.unique(table, return_inverse=True)[1]  # integers of the same order
    numbers = unit.array(kind, ordered if unit.integers else table, "table")
    return unit.put(f"{name}({x.name}, {y.name}, {x.count}, {numbers}, {integer(least)});", y, [x])


def add_words(unit: Unit, step: AddWords, x: list[Stored], number_: int) -> Stored:
    """Add the sum of two values in words, rounded and saturated once."""
    first, second = x
    bound = max(abs(each) for one in x for each in (one.low, one.high)) * 2
    lines = [
        line.replace("l->shift", "shift") for line in shifted("sum", "int32_t", step.rule, step.shift, bound)
    ]
    ordered = first.channels_first != second.channels_first
    assert not ordered
    name = f"add_{step.rule[-2:]}{'l' if step.shift < 0 else 'z' if not step.shift else ''}"
    body = "\n".join(f"    {line}" for line in lines)
    unit.function(
        name,
        f"""
static void {name}(const word_t *a, const word_t *b, word_t *y, int32_t count, int32_t shift,
    int32_t low, int32_t high)
{{
  int32_t n;
  (void)shift;
  for (n = 0; n < count; ++n) {{
    const int32_t sum = a[n] + b[n];
{body}
    y[n] = (word_t)(moved < low ? low : moved > high ? high : moved);
  }}
}}
""",
    )
    made = Stored(number_, "words", first.count, first.lengths, 0, step.low, step.high)
    bounds = f"{abs(step.shift)}, {step.low}, {step.high}"
    call = f"{name}({first.name}, {second.name}, {made.name}, {first.count}, {bounds});"
    return unit.put(call, made, x, in_place=True)


def add_codes(unit: Unit, step: AddCodes, x: list[Stored], number_: int) -> Stored:
    """Add the sum of two values of codes, as codes."""
    entries = np.arange(step.low, step.high + 1)
    made = made_of(form_of(step.encoder), entries.astype(np.int16).view(np.uint16))
    y = replace(like(x[0], made, number_), low=step.low, high=step.high)
    put = put_function(unit, y)
    got = [read(unit, each).replace("x", name, 1) for each, name in zip(x, "ab", strict=True)]
    name = f"add_{x[0].ctype[:-2]}_{x[1].ctype[:-2]}_{put[4:]}"
    unit.function(
        name,
        f"""
static void {name}(const {x[0].ctype} *a, const {x[1].ctype} *b, {y.ctype} *y, int32_t count,
    int32_t first, int32_t second, int32_t addend, int32_t shift, int32_t low, int32_t high)
{{
  int32_t n;
  for (n = 0; n < count; ++n) {{
    const int32_t code = ({got[0]} * first + {got[1]} * second + addend) >> shift;
    {put}(y, n, code < low ? low : code > high ? high : code);
  }}
}}
""",
    )
    numbers = ", ".join(map(integer, (step.first, step.second, step.addend, step.shift, step.low, step.high)))
    text = f"{cleared(unit, y)}{name}({x[0].name}, {x[1].name}, {y.name}, {y.count}, {numbers});"
    alike = x[0].form != "planes" != y.form and size_of(x[0].ctype) == size_of(y.ctype)
    return unit.put(text, y, x, in_place=alike)
