"""What operators share that choose, repeat and rearrange elements, as nodes in the layout of what they read.

Codes stay codes where the result means the same by them; else they are copied all the same, as TFLite does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowbit.formats.circle.file_tensors import unsupported
from lowbit.formats.circle.importer import Importer
from lowbit.formats.circle.layout import TO_NHWC
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import Attribute
from lowbit.ir.lengths import Length

FAR = 2**31 - 1
"""As a bound: the end of an axis."""


def moved(
    importer: Importer,
    op: str,
    source: int,
    rest: tuple[str, ...],
    output: int,
    as_map: bool = False,
    **attributes: Attribute,
) -> None:
    """Append an operator that only moves elements; codes keep what they mean, or are coded again."""
    if importer.constant(source) is not None:
        importer.compute(op, (importer.plain_constant(source), *rest), output, attributes=attributes)
        return
    if importer.encoding_of(source) == importer.encoding_of(output):
        before = importer.map(source) if as_map else importer.value(source)
        importer.node(op, (before, *rest), importer.output(output, as_map), attributes=attributes)
        return
    given = _copied(importer, source, output, as_map)
    importer.compute(op, (given, *rest), output, as_map=as_map, attributes=attributes)


def _copied(importer: Importer, index: int, output: int, as_map: bool) -> str:
    """Return a tensor as numbers that the codes of another one stand for when they are copied as they are.

    TFLite's operators that only move do that: codes q of scale s and zero point z mean s' (q - z') then.
    """
    real = importer.real(index, as_map)
    meanings = (importer.encoding_of(each) for each in (index, output))
    before, after = (None if meaning is None else meaning.as_affine() for meaning in meanings)
    if before is None or after is None or max(before.channels, after.channels) > 1:
        return real
    stem, own, new = importer.name(output), float(before.scale[0]), float(after.scale[0])
    move = new * (int(before.zero_point[0]) - int(after.zero_point[0]))
    if own != new:
        factor = importer.add_constant(f"{stem}_factor", np.float32(new / own))
        real = importer.insert("Mul", (real, factor), stem)
    if not move:
        return real
    return importer.insert("Add", (real, importer.add_constant(f"{stem}_moved", np.float32(move))), stem)


def in_codes(importer: Importer, index: int, output: int, as_map: bool = False) -> str:
    """Return a tensor as codes where a result means the same by them, else as numbers."""
    if importer.constant(index) is not None:
        return importer.plain_constant(index)
    if importer.encoding_of(index) == importer.encoding_of(output):
        return importer.map(index) if as_map else importer.value(index)
    return _copied(importer, index, output, as_map)


def given(importer: Importer, output: int, name: str) -> None:
    """Let a tensor be what the last step of several made: coded where it holds codes."""
    made = importer.graph.values.get(name)
    codes = made is not None and made.encoding is not None
    if codes or importer.encoding_of(output) is None:
        importer.node("Identity", (name,), importer.value(output))
    else:
        importer.compute("Identity", (name,), output)


def given_in_layout(importer: Importer, output: int, name: str, as_map: bool) -> None:
    """Let a tensor be what the last step of several made, in the layout in which it was made."""
    if not as_map:
        given(importer, output, name)
        return
    coded = importer.graph.value(name).encoding is not None
    if coded or importer.encoding_of(output) is None:
        importer.node("Identity", (name,), importer.map_output(output))
    else:
        importer.compute("Identity", (name,), output, as_map=True)


def numbers(importer: Importer, index: int, what: str, place: str) -> list[Any]:
    """Return a constant row of integers, some of which may be open lengths."""
    data = importer.constant(index)
    if data is None or data.dtype.kind not in "iuO":
        found = "a tensor" if data is None else data.dtype
        raise unsupported(f"{what} must be known", place, "a constant", found)
    return list(data.reshape(-1))


def axis_of(importer: Importer, index: int, axis: Any, place: str, extra: int = 0) -> int:
    """Return an axis counted from the front."""
    rank = len(importer.shape(index)) + extra
    require(-rank <= int(axis) < rank, "an axis is out of range", place, f"below {rank}", axis)
    return int(axis) % rank


def there(axis: int, as_map: bool) -> int:
    """Return where an axis of the file is in the layout that is read."""
    return TO_NHWC[axis] if as_map else axis


def row_of(importer: Importer, row: Sequence[Any], stem: str) -> str:
    """Return integers, some of which may be open lengths, as an operand."""
    if any(isinstance(number, Length) for number in row):
        name = importer.fresh(stem)
        importer.symbols[name] = np.array([*row, None], object)[:-1]
        return name
    return importer.integers([int(number) for number in row], stem)
