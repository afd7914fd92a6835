"""What shared functions of layers are put together of: a part that sums, and a part that ends."""

from dataclasses import dataclass

from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit

_POINTER = 4


@dataclass(frozen=True)
class Part:
    """Half of a layer's function.

    Attributes:
        key: what differs between functions.
        fields: of the layer's struct: declaration, name and initializer.
        before: C before the loop over outputs.
        each: C for output `o`.
        by_region: whether a constant differs between regions of a map.
        walks: whether it reads windows where they lie in the map.
    """

    key: str
    fields: tuple[tuple[str, str, str], ...]
    before: str
    each: str
    by_region: bool = False
    walks: bool = False


@dataclass(frozen=True)
class Row:
    """A layer's function of one row of inputs, and its constants.

    ``NAME(x, y, layer, region, first, last)`` makes outputs `first` to `last` of a row.
    """

    function: str
    constants: str
    by_region: bool


_ROW = """
struct {kind} {{
{declarations}
}};

static void {kind}(const {x} *x, {y} *y, const struct {kind} *l, int32_t region, int32_t first, int32_t last)
{{
{before}
  int32_t o;
{unused}
  for (o = first; o < last; ++o) {{
{each}
  }}
}}
"""


def row_function(unit: Unit, x: str, y: Stored, outputs: int, sums: Part, ending: Part, store: str) -> Row:
    """Add the function of a layer's rows.

    Args:
        unit: the program.
        x: type of the elements that are read.
        y: what is made.
        outputs: of the layer.
        sums: makes `sum` of `x`.
        ending: makes `code` of `sum`.
        store: C that stores `code` as output `o` at `y`.
    """
    by_region = sums.by_region or ending.by_region
    place = f"_{y.ctype[:-2]}{y.words}" if y.form == "planes" else ""
    kind = f"{sums.key}_{ending.key}{place}"
    fields = [("int32_t", "outputs", str(outputs)), *sums.fields, *ending.fields]
    declarations = "\n".join(
        f"  {ctype}{'' if ctype.endswith('*') else ' '}{name};" for ctype, name, _ in fields
    )
    text = _ROW.format(
        kind=kind,
        x=x,
        y=y.ctype,
        declarations=declarations,
        before="\n".join(each for each in (sums.before, ending.before) if each),
        each="\n".join(each for each in (sums.each, ending.each, store) if each),
        unused="  (void)l;\n  (void)region;",
    )
    function = unit.function(kind, text)
    size = sum(_POINTER for _ in fields)
    constants = unit.struct(kind, [(name, value) for _, name, value in fields], size)
    return Row(function, constants, by_region)
