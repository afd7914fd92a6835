"""How layers sum: by counting bits of planes, or by products with weights at the bits that they need."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.c99.blocks import Block, Walk, block_of
from lowbit.c99.packing import Packed, packed
from lowbit.c99.parts import Part
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit, integer, narrowest, times_function
from lowbit.program.steps import ByteWeights, PlaneWeights, WordWeights

Integers = npt.NDArray[np.int64]
INT32 = (1 << 31) - 1

_POPCOUNT = """
#if defined(__POPCNT__) || (defined(__riscv_zbb) && defined(__GNUC__)) || defined(LOWBIT_BUILTIN_POPCOUNT)
#define popcount(word) ((uint32_t)__builtin_popcount((unsigned)(word)))
#else
static uint32_t popcount(uint32_t word)
{
  word -= (word >> 1) & 0x55555555u;
  word = (word & 0x33333333u) + ((word >> 2) & 0x33333333u);
  word = (word + (word >> 4)) & 0x0f0f0f0fu;
  word += word >> 8;
  return (word + (word >> 16)) & 0x3fu;
}
#endif
"""

_DIFFERING = """
static int32_t differing(const uint32_t *x, const uint32_t *w, int32_t words)
{
  uint32_t count = 0;
  do {
    count += popcount(*x++ ^ *w++);
  } while (--words > 0);
  return (int32_t)count;
}
"""

_DIFFERING_MASKED = """
static int32_t differing_masked(const uint32_t *x, const uint32_t *w, const uint32_t *mask, int32_t words)
{
  uint32_t count = 0;
  do {
    count += popcount((*x++ ^ *w++) & *mask++);
  } while (--words > 0);
  return (int32_t)count;
}
"""

_ONES = """
static int32_t ones(const uint32_t *x, int32_t words)
{
  uint32_t count = 0;
  do {
    count += popcount(*x++);
  } while (--words > 0);
  return (int32_t)count;
}
"""


def popcount(unit: Unit) -> None:
    """Add the function that counts the ones of a word."""
    unit.function("popcount", _POPCOUNT)


def plane_sums(unit: Unit, weights: PlaneWeights, length: int, *, masked: bool) -> tuple[Part, int]:
    """Return the part that sums products of planes, and the largest magnitude of a sum.

    A row `x` is ``[planes][words]``, and where it is masked, as a window that may hang over a border, then a
    mask of the taps that are there and their number.

    Args:
        unit: the program.
        weights: of the step.
        length: of a row, in elements.
        masked: see above.
    """
    popcount(unit)
    unit.function("differing", _DIFFERING)
    _, planes, words = weights.planes.shape
    in_planes = len(weights.input_factors)
    scales, offsets = weights.factors.astype(np.int64), weights.offsets.astype(np.int64)
    inputs = np.abs(weights.input_factors.astype(np.int64)).sum()
    reach = np.abs(scales).sum(axis=1) + (np.abs(offsets) if offsets.size else 0)
    bound = int(inputs) * length * int(reach.max())
    key = f"planes_{in_planes}x{planes}"
    fields = [
        ("const uint32_t *", "weights", unit.array("uint32_t", weights.planes, "weights", weights=True))
    ]
    fields += [("int32_t", "words", str(words)), ("int32_t", "length", str(length))]
    plain = in_planes == 1 and weights.input_factors[0] == 1
    if not plain:
        key += "f"
        ctype = narrowest(weights.input_factors)
        fields.append((f"const {ctype} *", "factors", unit.array(ctype, weights.input_factors, "factors")))
    same = (scales == 1).all()
    if not same:
        key += "s"
        ctype = narrowest(scales, bytes_too=True)
        fields.append((f"const {ctype} *", "scales", unit.array(ctype, scales, "scales")))
        key += ctype[3:].removesuffix("_t")
    before = ["  const int32_t words = l->words, length = l->length;"]
    count = "differing(x + {at}, w, words)"
    if masked:
        key += "m"
        unit.function("differing_masked", _DIFFERING_MASKED)
        before = [
            "  const int32_t words = l->words;",
            f"  const uint32_t *mask = x + {in_planes} * words;",
            "  const int32_t length = (int32_t)mask[words];",
        ]
        count = "differing_masked(x + {at}, w, mask, words)"
    each = ["    int32_t sum = 0;", f"    const uint32_t *w = l->weights + o * {planes} * words;"]
    for j in range(planes):
        terms = []
        for i in range(in_planes):
            at = "0" if i == 0 else "words" if i == 1 else f"{i} * words"
            term = f"(length - 2 * {count.format(at=at)})"
            terms.append(term if plain else f"l->factors[{i}] * {term}")
        inner = " + ".join(terms)
        each.append(f"    sum += {inner if same else f'l->scales[o * {planes} + {j}] * ({inner})'};")
        if j + 1 < planes:
            each.append("    w += words;")
    if offsets.size:
        unit.function("ones", _ONES)
        key += "o"
        ctype = narrowest(offsets)
        key += ctype[3:].removesuffix("_t")
        fields.append((f"const {ctype} *", "offsets", unit.array(ctype, offsets, "offsets")))
        terms = []
        for i in range(in_planes):
            at = "0" if i == 0 else "words" if i == 1 else f"{i} * words"
            term = f"(2 * ones(x + {at}, words) - length)"
            terms.append(term if plain else f"l->factors[{i}] * {term}")
        before.append(f"  const int32_t total = {' + '.join(terms)};")
        each.append("    sum += l->offsets[o] * total;")
    part = Part(key, tuple(fields), "\n".join(before), "\n".join(each))
    assert bound <= INT32  # planes are chosen where sums are of 32 bits
    return part, bound


def byte_sums(
    unit: Unit, x: Stored, weights: ByteWeights, *, grouped: bool = False, walk: Walk | None = None
) -> tuple[Part, int]:
    """Return the part that sums products of bytes, and the largest magnitude of a sum.

    Args:
        unit: the program.
        x: what is read.
        weights: of the step.
        grouped: whether a row is one group's, which begins with any output.
        walk: how a window lies in `x`, if it might be read in place: the part says whether it is.
    """
    return _products(
        unit, x, matrix_of(weights), weights.constant.astype(np.int64), grouped=grouped, walk=walk
    )


def word_sums(unit: Unit, x: Stored, weights: WordWeights) -> tuple[Part, int]:
    """Return the part that sums products of words, and the largest magnitude of a sum."""
    constant = weights.constant.astype(np.int64)
    return _products(unit, x, weights.weights.astype(np.int64), constant, grouped=True)


def _products(
    unit: Unit, x: Stored, matrix: Integers, constant: Integers, *, grouped: bool, walk: Walk | None = None
) -> tuple[Part, int]:
    outputs, length = matrix.shape
    most = max(abs(x.low), abs(x.high))
    row = np.abs(matrix).sum(axis=1) * most
    bound = int((row + np.abs(constant.reshape(-1, outputs)).max(axis=0)).max())
    form = packed(matrix)
    # What codes and where they start add up to may be larger than the sum of both.
    parts = form.codes.max(initial=0) * form.step + np.abs(form.start) if form.way == "units" else 0
    wide = max(bound, int(np.max(parts)) * most * length + int(np.abs(constant).max(initial=0))) > INT32
    block = None if grouped or wide else block_of(unit, x, form, walk)
    part = _by_rows(unit, x, form, "int64_t" if wide else "int32_t") if block is None else _by_blocks(block)
    part = replace(part, fields=(("int32_t", "length", str(length)), *part.fields))
    if block is not None:
        part = _from_codes(unit, x, block.start, block.step, part, block.total)
    elif form.way == "units":
        part = _from_codes(unit, x, form.start, form.step, part, "")
    return add_constant(unit, part, constant, outputs), bound


def _from_codes(unit: Unit, x: Stored, start: Integers, step: Integers, part: Part, total: str) -> Part:
    """Return a part whose sums of codes become those of ``start + step * code``.

    Args:
        unit: the program.
        x: what is read.
        start, step: ``[o]``.
        part: makes the sum of codes.
        total: C of the sum of the row, where that is known; empty: it is added up.
    """
    key, fields, before, each = part.key, [*part.fields], part.before, part.each
    ctype = "int64_t" if "int64_t sum" in each else "int32_t"
    if not (step == 1).all():
        one = bool((step == step[0]).all())
        key += "S" if one else "s"
        fields.append(_per_output(unit, "step", step, one=one))
        each += f"\n    sum *= {'l->step' if one else 'l->step[o]'};"
    if start.any():
        one = bool((start == start[0]).all())
        key += "A" if one else "a"
        fields.append(_per_output(unit, "start", start, one=one))
        if not total:
            before += f"\n  const {ctype} total = {_total(unit, x, ctype)}(x, l->length);"
        each += f"\n    sum += {'l->start' if one else 'l->start[o]'} * {total or 'total'};"
    return replace(part, key=key, fields=tuple(fields), before=before, each=each)


def add_constant(unit: Unit, part: Part, constant: Integers, outputs: int) -> Part:
    """Return a part that adds a constant to each sum, ``[o]`` or for each region."""
    if not constant.any():
        return part
    by_region, ctype = constant.size > outputs, narrowest(constant)
    field = (f"const {ctype} *", "constant", unit.array(ctype, constant, "constant"))
    return replace(
        part,
        key=f"{part.key}c{ctype[3:5]}{'r' * by_region}",
        fields=(*part.fields, field),
        each=f"{part.each}\n    sum += l->constant[{'region * l->outputs + ' * by_region}o];",
        by_region=by_region,
    )


def matrix_of(weights: ByteWeights | WordWeights) -> Integers:
    """Return the whole numbers that entries are multiplied by, ``[o, n]``."""
    matrix = weights.weights.astype(np.int64)
    if isinstance(weights, ByteWeights) and weights.row_factor.size:
        matrix = matrix + weights.row_factor.astype(np.int64)[:, None]
    return matrix


def _by_blocks(block: Block) -> Part:
    before = ["  int32_t sums[12], made = 0, taken = 0;", f"  const {block.ctype} *w = l->weights;"]
    each = f"""\
    int32_t sum;
    if (taken == made) {{
      {block.call};
      taken = 0;
    }}
    sum = sums[taken++];"""
    return Part(block.key, tuple(block.fields), "\n".join(before), each, walks=block.walks)


def _by_rows(unit: Unit, x: Stored, form: Packed, total: str) -> Part:
    dot, fields = _dot(unit, x, form, total)
    stride = "l->row" if form.way != "whole" else "l->length"
    given = f", l->levels + (o << {form.bits})" if form.way == "levels" else ""
    each = f"    {total} sum = {dot}(x, l->weights + o * {stride}{given}, l->length);"
    return Part(dot[4:], tuple(fields), "", each)


def _per_output(unit: Unit, name: str, numbers: Integers, *, one: bool) -> tuple[str, str, str]:
    if one:
        return "int32_t", name, integer(int(numbers[0]))
    return "const int16_t *", name, unit.array("int16_t", numbers, name)


def _total(unit: Unit, x: Stored, total: str) -> str:
    name = f"total_{x.ctype[0]}{total[3:5]}"
    return unit.function(
        name,
        f"""
static {total} {name}(const {x.ctype} *x, int32_t n)
{{
  {total} sum = 0;
  do {{
    sum += *x++;
  }} while (--n > 0);
  return sum;
}}
""",
    )


_SHIFTED = 4  # bits of a code up to which shifted entries are added where a core cannot multiply


_DOT = """
static {total} {name}(const {x} *x, const {w} *w,{levels} int32_t n)
{{
  {total} sum = 0;
{loop}
  return sum;
}}
"""


def _dot(unit: Unit, x: Stored, form: Packed, total: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Add the function of products of a row; return its name, and the fields that its calls need."""
    if form.way == "whole":
        narrow = narrowest(form.codes, bytes_too=True) == "int8_t"
        ctype = "int8_t" if narrow else "int16_t"
        name = f"dot_{x.ctype[0]}_w{8 if narrow else 16}_{total[3:5]}"
        factor = "*x++ * *w++" if total == "int32_t" else "(int64_t)*x++ * *w++"
        loop = f"  do {{\n    sum += {factor};\n  }} while (--n > 0);"
        unit.function(name, _DOT.format(total=total, name=name, x=x.ctype, w=ctype, levels="", loop=loop))
        return name, [(f"const {ctype} *", "weights", unit.array(ctype, form.codes, "weights", weights=True))]
    words = form.words()
    name = f"dot_{x.ctype[0]}_{form.way[0]}{form.bits}_{total[3:5]}"
    mask = (1 << form.bits) - 1
    levels, entry = "", narrowest(form.levels, bytes_too=True)
    name += "b" * (form.way == "levels" and entry == "int8_t")
    factor = "(int32_t)(codes & 1u)" if form.bits == 1 else f"(int32_t)(codes & {mask}u)"
    if form.way == "levels":
        factor = f"levels[codes & {mask}u]"
        levels = f" const {entry} *levels,"
    wide = "(int64_t)" if total == "int64_t" else ""
    add = f"sum += {wide}*x++ * {factor};"
    if form.way == "units" and 1 < form.bits <= _SHIFTED and not wide:
        add = f"sum += {times_function(unit, 'int32_t', form.bits)}(*x++, {factor});"
    if form.bits == 1 and form.way == "units":
        add = "sum += (codes & 1u) ? *x : 0;\n      ++x;"
    per = form.per_word
    loop = f"""  for (; n >= {per}; n -= {per}) {{
    uint32_t codes = *w++;
    int32_t left = {per};
    do {{
      {add}
      codes >>= {form.bits};
    }} while (--left > 0);
  }}
  if (n > 0) {{
    uint32_t codes = *w;
    do {{
      {add}
      codes >>= {form.bits};
    }} while (--n > 0);
  }}"""
    unit.function(
        name, _DOT.format(total=total, name=name, x=x.ctype, w="uint32_t", levels=levels, loop=loop)
    )
    fields = [
        ("const uint32_t *", "weights", unit.array("uint32_t", words, "weights", weights=True)),
        ("int32_t", "row", str(words.shape[1])),
    ]
    if form.way == "levels":
        fields.append((f"const {entry} *", "levels", unit.array(entry, form.levels, "levels")))
    return name, fields
