"""Places of largest or smallest elements in C, of reals or of integer scores: what a network ends with."""

from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit
from lowbit.program.steps import FindExtreme, SortExtremes

_FIND = """
static void {name}(const {x} *x, {x} *y, int32_t outer, int32_t axis, int32_t inner)
{{
  int32_t i, j, n;
  for (i = 0; i < outer; ++i, x += axis * inner)
    for (j = 0; j < inner; ++j) {{
      int32_t best = 0;
      for (n = 1; n < axis; ++n) {{
        const {value} one = x[n * inner + j], found = x[best * inner + j];
        if ({further}) best = n;
      }}
      *y++ = ({x})best;
    }}
}}
"""

_SORT = """
static void {name}(const {x} *x, {x} *y, int32_t outer, int32_t axis, int32_t inner, int32_t count)
{{
  int32_t i, j, k, n;
  {x} *places = y + outer * count * inner;
  for (i = 0; i < outer; ++i, x += axis * inner, y += count * inner, places += count * inner)
    for (j = 0; j < inner; ++j) {{
      int32_t last = -1;
      for (k = 0; k < count; ++k) {{
        int32_t best = -1;
        for (n = 0; n < axis; ++n) {{
          const {value} one = x[n * inner + j];
          if (last >= 0) {{
            const {value} before = x[last * inner + j];
            if ({further} || (n <= last && !({behind}))) continue; /* taken */
          }}
          if (best >= 0) {{
            const {value} before = x[best * inner + j];
            if (!({further})) continue;
          }}
          best = n;
        }}
        y[k * inner + j] = x[best * inner + j];
        places[k * inner + j] = ({x})best;
        last = best;
      }}
    }}
}}
"""


def _types(x: Stored) -> tuple[str, str]:
    return ("float", "real") if x.ctype == "real_t" else (x.ctype, x.ctype.removesuffix("_t"))


def find_extreme(unit: Unit, step: FindExtreme, x: list[Stored], number: int) -> Stored:
    """Add the place of the largest or smallest element along an axis; of equal ones the first or last."""
    (source,) = x
    value, short = _types(source)
    further = f"one {'>' if step.largest else '<'}{'=' if step.last else ''} found"
    if value == "float":
        further += " || one != one" if step.last else " || (one != one && found == found)"
    name = f"{'largest' if step.largest else 'smallest'}_{short}{'_last' if step.last else ''}"
    unit.function(name, _FIND.format(name=name, x=source.ctype, value=value, further=further))
    y = source.made(number, step.outer * step.inner)
    return unit.put(f"{name}({source.name}, {y.name}, {step.outer}, {step.axis}, {step.inner});", y, x)


def sort_extremes(unit: Unit, step: SortExtremes, x: list[Stored], number: int) -> Stored:
    """Add the largest or smallest elements along an axis in order, then their places."""
    (source,) = x
    value, short = _types(source)
    larger, smaller = "one > before", "one < before"
    if value == "float":  # NaN is larger than all else
        larger += " || (one != one && before == before)"
        smaller += " || (one == one && before != before)"
    further, behind = (larger, smaller) if step.largest else (smaller, larger)
    name = f"{'largest' if step.largest else 'smallest'}_of_{short}"
    unit.function(name, _SORT.format(name=name, x=source.ctype, value=value, further=further, behind=behind))
    y = source.made(number, 2 * step.outer * step.count * step.inner)
    sizes = f"{step.outer}, {step.axis}, {step.inner}, {step.count}"
    return unit.put(f"{name}({source.name}, {y.name}, {sizes});", y, x)
