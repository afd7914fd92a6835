"""How layers end in C: a row for each kind of ending, from its dataclass to a part of a layer's function."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.c99.even import even_of
from lowbit.c99.parts import Part
from lowbit.c99.regions import Moved, moved_rows
from lowbit.c99.requantize import COARSE, LongMultiplier, Rounding, multiplier_of
from lowbit.c99.scores import scores_of
from lowbit.c99.stored import Stored, put_bits, size_of
from lowbit.c99.unit import Unit, integer, narrowest
from lowbit.program.steps import (
    AffineEnding,
    ByteEnding,
    Ending,
    PlaneEnding,
    RankEnding,
    RealEnding,
    RoundedEnding,
    ShiftedEnding,
)

Integers = npt.NDArray[np.int64]
MANY = 15
"""Thresholds beyond which 64 bits are worth it to save them."""

_COUNTED = 8  # thresholds that are compared one by one: more are searched


@dataclass(frozen=True)
class Sums:
    """What a layer's sums are.

    Attributes:
        outputs: of the layer.
        bound: their largest magnitude.
        wide: whether `sum` has 64 bits.
        offset: what is missing in them, ``[o]`` or for each region: the ending has to add it; or none.
    """

    outputs: int
    bound: int
    wide: bool
    offset: Integers = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def ctype(self) -> str:
        """Their type in C."""
        return "int64_t" if self.wide else "int32_t"


@dataclass(frozen=True)
class End:
    """What an ending makes: a value without a number or a place, and the part that makes it."""

    value: Stored
    part: Part


def store(value: Stored) -> str:
    """Return the C that stores the entry `code` as output `o` of a row at `y`."""
    if value.form == "reals":
        return ""  # what makes a real stores it
    if value.form != "planes":
        return f"    y[o] = ({value.ctype})code;"
    return "\n".join(f"    {line}" for line in put_bits(value, "o"))


def ranked(unit: Unit, ctype: str, steps: int) -> str:
    """Add the function that counts how many of some rising thresholds a number exceeds; return its name.

    Args:
        unit: the program.
        ctype: of the thresholds.
        steps: how many there are, which says how they are looked through.
    """
    sums = {"int64_t": "int64_t", "float": "float"}.get(ctype, "int32_t")
    if steps <= _COUNTED:
        name = f"count_{ctype.removesuffix('_t')}"
        text = f"""
static int32_t {name}({sums} value, const {ctype} *t, int32_t steps)
{{
  int32_t rank = 0;
  do {{
    rank += value > *t++;
  }} while (--steps > 0);
  return rank;
}}
"""
    else:
        name = f"search_{ctype.removesuffix('_t')}"
        text = f"""
static int32_t {name}({sums} value, const {ctype} *t, int32_t steps)
{{
  int32_t low = 0, high = steps;
  while (low < high) {{
    const int32_t middle = (low + high) >> 1;
    if (value > t[middle])
      low = middle + 1;
    else
      high = middle;
  }}
  return low;
}}
"""
    return unit.function(name, text)


def made_of(form: str, table: npt.NDArray[Any]) -> Stored:
    """Return what entries of a table make: a value of a form, without a place."""
    entries = (
        table.astype(np.uint16).view(np.int16).astype(np.int64) if form == "words" else table.astype(np.int64)
    )
    bits = max(int(entries.max()).bit_length(), 1) if form == "planes" else 0
    return Stored(-1, form, 0, None, bits, int(entries.min()), int(entries.max()))


def _ranks(unit: Unit, sums: Sums, form: str, thresholds: npt.NDArray[Any], table: npt.NDArray[Any]) -> End:
    value = made_of(form, table)
    entries = table.astype(np.uint16).view(np.int16) if form == "words" else table
    thresholds = thresholds.astype(np.int64)
    if sums.offset.size:
        rows = max(len(thresholds), len(sums.offset))
        thresholds = np.resize(thresholds, (rows, thresholds.shape[1]))
        thresholds = thresholds - np.resize(sums.offset, rows)[:, None]
    kept = np.clip(thresholds, -sums.bound - 1, sums.bound)
    steps, by_region = thresholds.shape[1], len(thresholds) > sums.outputs
    even = _even_ranks(sums, value, kept, entries.astype(np.int64), by_region=by_region, unit=unit)
    if even is not None:
        return even
    plain = np.array_equal(entries, np.arange(len(entries)))
    at = "region * l->outputs + o" if by_region else "o"
    value_of, row_of, fields, moves = "sum", f"({at})", [], ""
    moved = _moved(thresholds, sums) if by_region and steps else None
    if moved is not None:
        kept, types = moved.thresholds, (narrowest(moved.moved), narrowest(moved.which))
        value_of, row_of = f"sum - l->moved[{at}]", f"l->which[{at}]"
        fields = [
            (f"const {kind} *", name, unit.array(kind, numbers, name))
            for kind, name, numbers in zip(types, ("moved", "which"), (moved.moved, moved.which), strict=True)
        ]
        moves = f"v{types[0][3:5]}{types[1][3:5]}"
    ctype = narrowest(kept)
    name = ranked(unit, ctype, steps) if steps else ""
    searched = "s" if steps > _COUNTED else ""
    key = f"rank{searched}{ctype[3:5]}{moves}{_short(value)}{'' if plain else 't'}{'r' * by_region}"
    fields += [
        (f"const {ctype} *", "thresholds", unit.array(ctype, kept, "thresholds") if steps else "0"),
        ("int32_t", "steps", str(steps)),
    ]
    each = [f"    int32_t code = {name}({value_of}, l->thresholds + {row_of} * l->steps, l->steps);"]
    if not steps:
        key, each = f"none{_short(value)}{'' if plain else 't'}", ["    int32_t code = 0;", "    (void)sum;"]
    if not plain:
        kind = "int16_t" if form == "words" else "uint8_t"
        fields.append((f"const {kind} *", "table", unit.array(kind, entries, "table")))
        each.append("    code = l->table[code];")
    part = Part(key, tuple(fields), "", "\n".join(each), by_region)
    return End(value, part)


def _moved(thresholds: Integers, sums: Sums) -> Moved | None:
    """Return the thresholds of regions as few rows, where that takes fewer bytes and sums keep 32 bits."""
    if sums.wide:
        return None
    found = moved_rows(thresholds, sums.outputs, sums.bound)
    apart = sum(_taken(each) for each in (found.thresholds, found.which, found.moved))
    fits = sums.bound + int(np.abs(found.moved).max()) < (1 << 31) - 1
    return found if fits and apart < _taken(np.clip(thresholds, -sums.bound - 1, sums.bound)) else None


def _taken(numbers: Integers) -> int:
    """Return the bytes of an array of the narrowest type that holds it."""
    return numbers.size * size_of(narrowest(numbers))


def _even_ranks(
    sums: Sums, value: Stored, thresholds: Integers, entries: Integers, *, by_region: bool, unit: Unit
) -> End | None:
    """Return the ending of thresholds that lie evenly, between entries that do, or None."""
    below, above = (thresholds < -sums.bound).sum(axis=1).min(), (thresholds >= sums.bound).sum(axis=1).min()
    met = slice(
        int(below), thresholds.shape[1] - int(above)
    )  # an activation may leave steps that no sum meets
    thresholds, entries = thresholds[:, met], entries[met.start : met.stop + 1]
    stride = np.diff(entries)
    if sums.wide or not len(stride) or (stride != stride[0]).any():
        return None
    found = even_of(thresholds, sums.bound)
    if found is None and len(stride) > MANY:  # of few, comparing is no dearer than words of 64 bits
        found = even_of(thresholds, sums.bound, wide=True)
    if found is None:
        return None
    steps, factor, first = thresholds.shape[1], int(stride[0]), int(entries[0])
    kind, wide = narrowest(found.multiplier), "int64_t" if found.wide else "int32_t"
    at = "region * l->outputs + o" if by_region else "o"
    made = even_code(f"sum * l->multiplier[{at}]", f"l->addend[{at}]", "l->shift", wide=found.wide)
    fields = (
        (f"const {kind} *", "multiplier", unit.array(kind, found.multiplier, "multiplier")),
        (f"const {wide} *", "addend", unit.array(wide, found.addend, "addend")),
        ("int32_t", "shift", str(found.shift)),
    )
    each = [
        f"    {made}",
        f"    code = code < 0 ? 0 : code > {steps} ? {steps} : code;",
    ]
    if factor != 1 or first:
        each.append(f"    code = code * {integer(factor)} + {integer(first)};")
    key = (
        f"even{'w' * found.wide}{kind[3:5]}{_short(value)}_{steps}_{factor}_{first}{'r' * by_region}".replace(
            "-", "m"
        )
    )
    return End(value, Part(key, fields, "", "\n".join(each), by_region))


def even_code(product: str, addend: str, shift: str, *, wide: bool) -> str:
    """Return the C that makes `code` of a number, not yet clipped; see `lowbit.c99.even`."""
    if not wide:
        return f"int32_t code = ({product} + {addend}) >> {shift};"
    return f"int32_t code = (int32_t)(((int64_t){product} + {addend}) >> {shift});"


def _short(value: Stored) -> str:
    """Return what of a value's form a function depends on; words of planes are known later."""
    return f"_{value.form[0]}{value.bits or ''}"


def _ranks_of_planes(unit: Unit, ending: PlaneEnding, sums: Sums) -> End:
    return _ranks(unit, sums, "planes", ending.thresholds, ending.table)


def _ranks_of_bytes(unit: Unit, ending: ByteEnding, sums: Sums) -> End:
    return _ranks(unit, sums, "bytes", ending.thresholds, ending.table)


def _ranks_of_any(unit: Unit, ending: RankEnding, sums: Sums) -> End:
    return _ranks(unit, sums, ending.form, ending.thresholds, ending.table)


def _affine(unit: Unit, ending: AffineEnding, sums: Sums) -> End:
    low, high = -int(ending.out_zero), int(ending.out_top) - int(ending.out_zero)
    none = np.zeros(0)
    rounding = Rounding(ending.scale, none, ending.out_scale, "round_even", low, high, sums.offset)
    return _rounded_to(unit, rounding, "bytes", low, sums)


def _rounded(unit: Unit, ending: RoundedEnding, sums: Sums) -> End:
    ends = ending.low, ending.high, np.resize(sums.offset, len(ending.bias) if sums.offset.size else 0)
    rounding = Rounding(ending.scale, ending.bias, ending.step, ending.rule, *ends)
    return _rounded_to(unit, rounding, ending.form, ending.base, sums)


def _rounded_to(unit: Unit, rounding: Rounding, form: str, base: int, sums: Sums) -> End:
    """Return the ending of a rounding: by a proved multiplier, else by its steps."""
    found = multiplier_of(rounding, sums.bound)
    levels = np.arange(rounding.low - base, rounding.high - base + 1)
    if found is None:
        whole = replace(sums, offset=sums.offset[:0])
        return _ranks(
            unit, whole, form, rounding.all_steps(sums.bound), levels.astype(np.int16).view(np.uint16)
        )
    value = made_of(form, levels.astype(np.int16).view(np.uint16))
    if form == "planes":
        value = replace(value, bits=max(int(levels.max()).bit_length(), 1))
    low, high = rounding.low - base, rounding.high - base
    if isinstance(found, LongMultiplier):
        return End(value, _rounded_by_two_words(unit, found, (low, high, base), value, sums))
    addend = found.addend - (np.int64(base) << found.shift)
    by_region = len(addend) > sums.outputs
    one = bool((found.multiplier == found.multiplier[0]).all()), bool((addend == addend[0]).all())
    key = f"round{_short(value)}{'m' if one[0] else ''}{'a' if one[1] else ''}{'r' * by_region}"
    fields = [
        ("int32_t", "low", str(low)),
        ("int32_t", "high", str(high)),
        ("int32_t", "shift", str(found.shift)),
    ]
    wide = narrowest(found.multiplier) == "int64_t"
    ctype = "int64_t" if wide else "int32_t"
    key += "w" * wide
    if one[0]:
        fields.append((ctype, "multiplier", integer(int(found.multiplier[0]))))
    else:
        fields.append((f"const {ctype} *", "multiplier", unit.array(ctype, found.multiplier, "multiplier")))
    fine = 0
    if one[1]:
        fields.append(("int64_t", "addend", integer(int(addend[0]))))
    else:
        fine = next((each for each in (0, *COARSE) if _is_coarse(addend, each)), -1)
        ctype = "int64_t" if fine < 0 else "int32_t"
        fine = max(fine, 0)
        key += f"{ctype[3:5]}{fine or ''}"
        fields.append((f"const {ctype} *", "addend", unit.array(ctype, addend >> fine, "addend")))
    factor = "l->multiplier" if one[0] else "l->multiplier[o]"
    added = "l->addend" if one[1] else f"l->addend[{'region * l->outputs + ' * by_region}o]"
    if fine:
        added = f"(int64_t)((uint64_t)(int64_t){added} << {fine})"
    reach = (sums.bound * int(found.multiplier.max()) + int(np.abs(addend).max())) >> found.shift
    moved = "int64_t" if reach >= 1 << 31 else "int32_t"
    key += "q" * (moved == "int64_t")
    each = [
        f"    const {moved} moved = ({moved})(((int64_t)sum * {factor} + {added}) >> l->shift);",
        "    const int32_t code = (int32_t)(moved < l->low ? l->low : moved > l->high ? l->high : moved);",
    ]
    part = Part(key, tuple(fields), "", "\n".join(each), by_region)
    return End(value, part)


def _rounded_by_two_words(
    unit: Unit, found: LongMultiplier, levels: tuple[int, int, int], value: Stored, sums: Sums
) -> Part:
    low, high, base = levels
    by_region = len(found.addend_low) > sums.outputs
    above = found.addend_high - (np.int64(base) << found.shift)
    fields = (
        ("int32_t", "low", str(low)),
        ("int32_t", "high", str(high)),
        ("int32_t", "shift", str(found.shift)),
        ("const int32_t *", "multiplier", unit.array("int32_t", found.high, "multiplier")),
        ("const uint32_t *", "fraction", unit.array("uint32_t", found.low, "fraction")),
        ("const int64_t *", "addend", unit.array("int64_t", above, "addend")),
        ("const uint32_t *", "added", unit.array("uint32_t", found.addend_low, "added")),
    )
    at = "region * l->outputs + o" if by_region else "o"
    each = f"""\
    const int64_t below = ((int64_t)sum * (int64_t)l->fraction[o] + (int64_t)l->added[{at}]) >> 32;
    const int64_t moved = ((int64_t)sum * l->multiplier[o] + l->addend[{at}] + below) >> l->shift;
    const int32_t code = (int32_t)(moved < l->low ? l->low : moved > l->high ? l->high : moved);"""
    return Part(f"round2{_short(value)}{'r' * by_region}", fields, "", each, by_region)


def _is_coarse(addend: Integers, fine: int) -> bool:
    """Return whether addends are multiples of so many bits, and of 32 bits without them."""
    return not (addend & ((1 << fine) - 1)).any() and narrowest(addend >> fine) != "int64_t"


def takes_offset(ending: Ending, offset: Integers, outputs: int) -> bool:
    """Return whether an ending had better add what is missing in its sums than the sums themselves.

    Thresholds take it for nothing, a rounding where it has addends for each output anyway.
    """
    if isinstance(ending, PlaneEnding | ByteEnding | RankEnding):
        return len(ending.thresholds) >= len(offset)
    return isinstance(ending, RoundedEnding) and len(ending.bias) >= max(len(offset), 1)


def _shifted(unit: Unit, ending: ShiftedEnding, sums: Sums) -> End:
    low, high = ending.low - ending.base, ending.high - ending.base
    value = made_of(ending.form, np.arange(low, high + 1).astype(np.int16).view(np.uint16))
    if ending.form == "planes":
        value = replace(value, bits=max(high.bit_length(), 1))
    ctype = sums.ctype
    lines = shifted("sum", ctype, ending.rule, ending.shift, sums.bound)
    way = "l" if ending.shift < 0 else "z" if not ending.shift else ""
    key = f"shift{_short(value)}{ending.rule[-2:]}{way}{ctype[3:5]}"
    key += "w" * (lines[0].count("int64_t") > 0)
    fields = [
        ("int32_t", "low", str(ending.low)),
        ("int32_t", "high", str(ending.high)),
        ("int32_t", "base", str(ending.base)),
        ("int32_t", "shift", str(abs(ending.shift))),
    ]
    each = [
        *(f"    {line}" for line in lines),
        "    int32_t code = (int32_t)(moved < l->low ? l->low : moved > l->high ? l->high : moved);",
        "    code -= l->base;",
    ]
    del unit
    return End(value, Part(key, tuple(fields), "", "\n".join(each)))


def shifted(name: str, ctype: str, rule: str, shift: int, bound: int) -> list[str]:
    """Return C that makes `moved` of a sum: shifted by ``l->shift`` bits, right where `shift` is above 0."""
    limit = (1 << 62 if ctype == "int64_t" else 1 << 30) - 1
    wide = "int64_t" if max(bound << max(-shift, 0), bound + (1 << max(shift, 0))) > limit else ctype
    if shift < 0:
        return [f"const {wide} moved = ({wide}){name} * (({wide})1 << l->shift);"]
    if shift == 0:
        return [f"const {wide} moved = {name};"]
    half = f" + (({wide})1 << (l->shift - 1))" if rule == "shift_up" else ""
    return [f"const {wide} moved = (({wide}){name}{half}) >> l->shift;"]


def _real(unit: Unit, ending: RealEnding, sums: Sums) -> End:
    by_region = len(ending.bias) > sums.outputs
    if unit.integers and not by_region:
        return _scores(unit, ending, sums)
    value = Stored(-1, "reals", 0)
    fields = [("const double *", "scale", unit.array("double", ending.scale, "scale"))]
    fields.append(("const double *", "bias", unit.array("double", ending.bias, "bias")))
    at = "region * l->outputs + o" if by_region else "o"
    each = [
        "    const double scaled = l->scale[o] * (double)sum;",
        f"    y[o] = (real_t)(scaled + l->bias[{at}]);",
    ]
    return End(value, Part(f"real{'r' * by_region}", tuple(fields), "", "\n".join(each), by_region))


def _scores(unit: Unit, ending: RealEnding, sums: Sums) -> End:
    found = scores_of(ending.scale, ending.bias, sums.bound)
    unit.proved = unit.proved and found.proved
    value = Stored(-1, "reals", 0, element="int32_t")
    wide = unit.array("int64_t", found.addend, "addend")
    fields = [
        ("const int32_t *", "multiplier", unit.array("int32_t", found.multiplier, "multiplier")),
        ("const int64_t *", "addend", wide),
        ("int32_t", "shift", str(found.shift)),
    ]
    each = "    y[o] = (int32_t)(((int64_t)sum * l->multiplier[o] + l->addend[o]) >> l->shift);"
    return End(value, Part("scores", tuple(fields), "", each))


ENDINGS: dict[type, Callable[[Unit, Any, Sums], End]] = {
    PlaneEnding: _ranks_of_planes,
    ByteEnding: _ranks_of_bytes,
    RankEnding: _ranks_of_any,
    AffineEnding: _affine,
    RoundedEnding: _rounded,
    ShiftedEnding: _shifted,
    RealEnding: _real,
}
"""By the dataclass of the ending."""


def end_of(unit: Unit, ending: Ending, sums: Sums) -> End:
    """Return what an ending makes of sums."""
    return ENDINGS[type(ending)](unit, ending, sums)
