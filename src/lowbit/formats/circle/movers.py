"""Builtin operators that choose, repeat and rearrange elements, as nodes in the layout of what they read.

Codes stay codes where the result means the same by them; else they are copied all the same, as TFLite does.
Begin, size, axis and repeats are constants, of the file or worked out from shapes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.formats.batch import BATCH
from lowbit.formats.circle.file_tensors import lengths_of, unsupported
from lowbit.formats.circle.foreign_options import (
    DepthToSpaceOptions,
    GatherOptions,
    MirrorPadOptions,
    OneHotOptions,
    SpaceToDepthOptions,
    UnpackOptions,
)
from lowbit.formats.circle.importer import FIX, Importer, options_of
from lowbit.formats.circle.layout import TO_NCHW, TO_NHWC
from lowbit.formats.circle.schema import Operator, PackOptions, SqueezeOptions, StridedSliceOptions
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import DTYPES, Attribute, Dimension, Shape
from lowbit.ir.lengths import Length
from lowbit.ir.worked_out import shape_array

Import = Callable[[Importer, Operator, str], None]

MOST_PLACES = 1 << 20
"""Numbers of places that are written down as a constant."""

_FAR = 2**31 - 1


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


def _row(importer: Importer, row: Sequence[Any], stem: str) -> str:
    """Return integers, some of which may be open lengths, as an operand."""
    if any(isinstance(number, Length) for number in row):
        name = importer.fresh(stem)
        importer.symbols[name] = np.array([*row, None], object)[:-1]
        return name
    return importer.integers([int(number) for number in row], stem)


def cut(
    importer: Importer, operator: Operator, bounds: Sequence[tuple[Any, Any, int]], output: int, as_map: bool
) -> None:
    """Append a slice: start, end and step of every axis, in the order of the file."""
    source, stem, shape = operator.inputs[0], importer.name(output), importer.shape(operator.inputs[0])
    kept = [
        (there(axis, as_map), start, end, step)
        for axis, (start, end, step) in enumerate(bounds)
        if (start, step) != (0, 1) or not (_is_end(end, shape[axis]))
    ]
    if not kept:
        moved(importer, "Identity", source, (), output, as_map)
        return
    axes, starts, ends, steps = zip(*kept, strict=True)
    rows = ("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps)
    operands = tuple(_row(importer, row, f"{stem}_{what}") for what, row in rows)
    moved(importer, "Slice", source, operands, output, as_map)


def _is_end(end: Any, length: Dimension) -> bool:
    """Return whether a bound is the end of an axis."""
    if isinstance(end, Length) or isinstance(length, str):
        return str(end) == str(length) or end == _FAR
    return int(end) >= length


def part(importer: Importer, operator: Operator, place: str) -> None:
    """SLICE: from begin on, so many elements, -1 for all that are left."""
    source = operator.inputs[0]
    begin, size = (numbers(importer, index, "bounds", place) for index in operator.inputs[1:])
    rank = len(importer.shape(source))
    require(len(begin) == len(size) == rank, "bounds do not fit", place, f"{rank} of each", (begin, size))
    bounds = [
        (start, _FAR if not isinstance(count, Length) and int(count) == -1 else start + count, 1)
        for start, count in zip(begin, size, strict=True)
    ]
    cut(importer, operator, bounds, operator.outputs[0], importer.is_map(source))


def strided(importer: Importer, operator: Operator, place: str) -> None:
    """STRIDED_SLICE: as Python writes it, with an ellipsis, new axes and single elements."""
    options = options_of(operator, StridedSliceOptions())
    source, output = operator.inputs[0], operator.outputs[0]
    begin, end, steps = (numbers(importer, index, "bounds", place) for index in operator.inputs[1:])
    shape = importer.shape(source)
    require(len(begin) == len(end) == len(steps), "bounds do not fit", place, "as many of each", len(begin))
    require(all(int(step) for step in steps), "a step is 0", place, "another number", steps)
    bounds: list[tuple[Any, Any, int]] = []
    drops: list[int] = []
    adds: list[int] = []
    bits = range(len(begin))
    given_axes = sum(not (options.new_axis_mask | options.ellipsis_mask) >> bit & 1 for bit in bits)
    for bit in bits:
        if options.ellipsis_mask >> bit & 1:
            bounds += [(0, _FAR, 1)] * max(len(shape) - given_axes, 0)
        elif options.new_axis_mask >> bit & 1:
            adds.append(len(bounds) - len(drops) + len(adds))
        else:
            require(len(bounds) < len(shape), "bounds do not fit", place, f"{len(shape)} axes", len(begin))
            step, start, stop = int(steps[bit]), begin[bit], end[bit]
            if options.shrink_axis_mask >> bit & 1:
                drops.append(len(bounds))
                stop = _FAR if not isinstance(start, Length) and int(start) == -1 else start + 1
                bounds.append((start, stop, 1))
                continue
            stop = start + stop if options.offset else stop
            start = start if not options.begin_mask >> bit & 1 else 0 if step > 0 else _FAR
            stop = stop if not options.end_mask >> bit & 1 else _FAR if step > 0 else -_FAR
            bounds.append((start, stop, step))
    if not drops and not adds:
        cut(importer, operator, bounds, output, importer.is_map(source))
        return
    name = in_codes(importer, source, output)
    name = _sliced(importer, name, bounds, output)
    if drops:
        rows = importer.integers(drops, f"{importer.name(output)}_dropped")
        name = importer.insert("Squeeze", (name, rows), importer.name(output))
    if adds:
        rows = importer.integers(adds, f"{importer.name(output)}_added")
        name = importer.insert("Unsqueeze", (name, rows), importer.name(output))
    given(importer, output, name)


def _sliced(importer: Importer, name: str, bounds: Sequence[tuple[Any, Any, int]], output: int) -> str:
    stem = importer.name(output)
    kept = [(axis, *bound) for axis, bound in enumerate(bounds) if bound != (0, _FAR, 1)]
    if not kept:
        return name
    axes, starts, ends, steps = zip(*kept, strict=True)
    rows = ("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps)
    return importer.insert(
        "Slice", (name, *(_row(importer, row, f"{stem}_{what}") for what, row in rows)), stem
    )


def split(importer: Importer, operator: Operator, place: str) -> None:
    """SPLIT: equal parts; the axis is the first input."""
    axis = axis_of(
        importer, operator.inputs[1], numbers(importer, operator.inputs[0], "an axis", place)[0], place
    )
    length, count = importer.shape(operator.inputs[1])[axis], len(operator.outputs)
    if not isinstance(length, int):
        raise unsupported("a split of an open length", place, "a fixed length", length)
    require(count > 0 and length % count == 0, "parts do not fit", place, f"a divisor of {length}", count)
    _parts(importer, operator, operator.inputs[1], axis, [length // count] * count)


def split_by(importer: Importer, operator: Operator, place: str) -> None:
    """SPLIT_V: parts of these lengths, of which one may be -1."""
    source = operator.inputs[0]
    sizes = [int(size) for size in numbers(importer, operator.inputs[1], "lengths", place)]
    axis = axis_of(importer, source, numbers(importer, operator.inputs[2], "an axis", place)[0], place)
    length = importer.shape(source)[axis]
    if -1 in sizes and isinstance(length, int):
        sizes[sizes.index(-1)] = length - sum(size for size in sizes if size != -1)
    fits = len(sizes) == len(operator.outputs) and min(sizes, default=0) >= 0
    require(fits and (sum(sizes) == length), "parts do not fit", place, f"lengths of {length}", sizes)
    _parts(importer, operator, source, axis, sizes)


def _parts(importer: Importer, operator: Operator, source: int, axis: int, sizes: list[int]) -> None:
    as_map, start = importer.is_map(source), 0
    for output, size in zip(operator.outputs, sizes, strict=True):
        stem = importer.name(output)
        rows = ("start", start), ("end", start + size), ("axis", there(axis, as_map))
        operands = tuple(importer.integers([number], f"{stem}_{what}") for what, number in rows)
        moved(importer, "Slice", source, operands, output, as_map)
        start += size


def unpack(importer: Importer, operator: Operator, place: str) -> None:
    """UNPACK: the elements of an axis, each without it."""
    source = operator.inputs[0]
    axis = axis_of(importer, source, options_of(operator, UnpackOptions()).axis, place)
    length = importer.shape(source)[axis]
    require(length == len(operator.outputs), "elements do not fit", place, length, len(operator.outputs))
    for at, output in enumerate(operator.outputs):
        index = importer.add_constant(f"{importer.name(output)}_at", at, "int64")
        moved(importer, "Gather", source, (index,), output, axis=axis)


def pack(importer: Importer, operator: Operator, place: str) -> None:
    """PACK: tensors side by side along a new axis."""
    output = operator.outputs[0]
    axis = axis_of(importer, operator.inputs[0], options_of(operator, PackOptions()).axis, place, 1)
    row = importer.integers([axis], f"{importer.name(output)}_axis")
    stem = importer.name(output)
    meanings = [importer.encoding_of(index) for index in (*operator.inputs, output)]
    computed = all(importer.constant(index) is None for index in operator.inputs)
    if computed and all(meaning == meanings[0] for meaning in meanings):
        parts = [importer.value(index) for index in operator.inputs]
    else:
        parts = [in_codes(importer, index, output) for index in operator.inputs]
        parts = [_decoded(importer, part, stem) for part in parts]
    wide = [importer.insert("Unsqueeze", (name, row), stem) for name in parts]
    name = importer.insert("Concat", tuple(wide), stem, axis=axis) if len(wide) > 1 else wide[0]
    given(importer, output, name)


def _decoded(importer: Importer, name: str, stem: str) -> str:
    """Return codes as numbers; numbers as they are."""
    value = importer.graph.values.get(name)
    if value is None or value.encoding is None:
        return name
    real = importer.add_computed(f"{stem}_part", "float32", value.shape)
    importer.node("Decode", (name,), real, domain="lowbit")
    return real


def gather(importer: Importer, operator: Operator, place: str) -> None:
    """GATHER: rows by number along an axis."""
    options, source = options_of(operator, GatherOptions()), operator.inputs[0]
    axis = axis_of(importer, source, options.axis, place)
    if options.batch_dims:
        _gather_in_batches(importer, operator, axis, options.batch_dims, place)
        return
    moved(
        importer, "Gather", source, (_indices(importer, operator.inputs[1]),), operator.outputs[0], axis=axis
    )


def _gather_in_batches(importer: Importer, operator: Operator, axis: int, batch: int, place: str) -> None:
    """Rows by numbers of each sample: only where the axis follows the batch, by places of whole elements."""
    index = importer.shape(operator.inputs[1])
    if axis != batch or batch != len(index) - 1 or batch < 0:
        raise unsupported("a gather in batches", place, "the axis behind the batch", (axis, batch))
    stem, last = importer.name(operator.outputs[0]), importer.integers([-1], f"{operator.outputs[0]}_last")
    row = importer.insert("Unsqueeze", (_indices(importer, operator.inputs[1]), last), stem)
    moved(importer, "GatherND", operator.inputs[0], (row,), operator.outputs[0], batch_dims=batch)


def gather_places(importer: Importer, operator: Operator, place: str) -> None:
    """GATHER_ND."""
    moved(
        importer,
        "GatherND",
        operator.inputs[0],
        (_indices(importer, operator.inputs[1]),),
        operator.outputs[0],
    )


def lookup(importer: Importer, operator: Operator, place: str) -> None:
    """EMBEDDING_LOOKUP: rows of a table, by number."""
    moved(
        importer,
        "Gather",
        operator.inputs[1],
        (_indices(importer, operator.inputs[0]),),
        operator.outputs[0],
        axis=0,
    )


def _indices(importer: Importer, index: int) -> str:
    return importer.value(index)


def repeated(importer: Importer, operator: Operator, place: str) -> None:
    """TILE."""
    source, as_map = operator.inputs[0], importer.is_map(operator.inputs[0])
    times = numbers(importer, operator.inputs[1], "repeats", place)
    rank = len(importer.shape(source))
    require(len(times) == rank, "repeats do not fit", place, rank, times)
    ordered = [times[axis] for axis in TO_NCHW] if as_map else times
    moved(
        importer,
        "Tile",
        source,
        (_row(importer, ordered, f"{importer.name(operator.outputs[0])}_times"),),
        operator.outputs[0],
        as_map,
    )


def broadcast(importer: Importer, operator: Operator, place: str) -> None:
    """BROADCAST_TO."""
    shape = numbers(importer, operator.inputs[1], "a shape", place)
    row = _row(importer, shape, f"{importer.name(operator.outputs[0])}_shape")
    moved(importer, "Expand", operator.inputs[0], (row,), operator.outputs[0])


def broadcast_shape(importer: Importer, operator: Operator, place: str) -> None:
    """BROADCAST_ARGS: the shape to which two shapes broadcast."""
    rows = [numbers(importer, index, "a shape", place) for index in operator.inputs]
    rank = max(map(len, rows))
    padded = [[1] * (rank - len(row)) + row for row in rows]
    result = [
        second if not isinstance(first, Length) and first == 1 else first
        for first, second in zip(*padded, strict=True)
    ]
    importer.folded[operator.outputs[0]] = _array(result)


def filled(importer: Importer, operator: Operator, place: str) -> None:
    """FILL: one number in all places of a shape; along an open batch it is one that broadcasts."""
    shape = numbers(importer, operator.inputs[0], "a shape", place)
    if shape and str(shape[0]) == BATCH:
        shape = [1, *shape[1:]]
    row = _row(importer, shape, f"{importer.name(operator.outputs[0])}_shape")
    moved(importer, "Expand", operator.inputs[1], (row,), operator.outputs[0])


def mirrored(importer: Importer, operator: Operator, place: str) -> None:
    """MIRROR_PAD: without the edge, or with it."""
    source, output = operator.inputs[0], operator.outputs[0]
    edges, as_map = importer.constant(operator.inputs[1]), importer.is_map(operator.inputs[0])
    shape, stem = importer.shape(source), importer.name(output)
    fits = edges is not None and edges.shape == (len(shape), 2) and edges.dtype.kind == "i"
    if edges is None or not fits or edges.min(initial=0) < 0:
        raise unsupported("pads must be constant", place, "two numbers for each axis", edges)
    mode = "symmetric" if options_of(operator, MirrorPadOptions()).mode else "reflect"
    name = in_codes(importer, source, output, as_map)
    for axis, (before, after) in enumerate(edges.tolist()):
        length = shape[axis]
        if not before and not after:
            continue
        if not isinstance(length, int):
            raise unsupported("an open length is padded", place, "a fixed length", length)
        most = length - (mode == "reflect")
        if length > MOST_PLACES:
            raise unsupported("a mirrored axis of this length", place, f"at most {MOST_PLACES}", length)
        require(max(before, after) <= most, "pads are longer than the map", place, most, (before, after))
        places = np.pad(np.arange(length), (before, after), mode=mode)  # type: ignore[call-overload]
        row = importer.integers(places, f"{stem}_places")
        name = importer.insert("Gather", (name, row), stem, axis=there(axis, as_map))
    _given_in_layout(importer, output, name, as_map)


def _given_in_layout(importer: Importer, output: int, name: str, as_map: bool) -> None:
    if not as_map:
        given(importer, output, name)
        return
    coded = importer.graph.value(name).encoding is not None
    if coded or importer.encoding_of(output) is None:
        importer.node("Identity", (name,), importer.map_output(output))
    else:
        importer.compute("Identity", (name,), output, as_map=True)


def reversed_along(importer: Importer, operator: Operator, place: str) -> None:
    """REVERSE_V2: from the end of some axes on."""
    source, as_map = operator.inputs[0], importer.is_map(operator.inputs[0])
    axes = [
        axis_of(importer, source, axis, place)
        for axis in numbers(importer, operator.inputs[1], "axes", place)
    ]
    rank = len(importer.shape(source))
    bounds = [(_FAR, -_FAR, -1) if axis in axes else (0, _FAR, 1) for axis in range(rank)]
    cut(importer, operator, bounds, operator.outputs[0], as_map)


def channels_to_places(importer: Importer, operator: Operator, place: str) -> None:
    """DEPTH_TO_SPACE: the block is the outer part of the channels."""
    size = options_of(operator, DepthToSpaceOptions()).block_size
    c, h, w = _map_lengths(importer, operator.inputs[0], place)
    require(size > 0 and c % size**2 == 0, "a block does not fit", place, f"{c} channels", size)
    apart, last = (0, size, size, c // size**2, h, w), (0, c // size**2, h * size, w * size)
    _exchange(importer, operator, apart, (0, 3, 4, 1, 5, 2), last)


def places_to_channels(importer: Importer, operator: Operator, place: str) -> None:
    """SPACE_TO_DEPTH."""
    size = options_of(operator, SpaceToDepthOptions()).block_size
    c, h, w = _map_lengths(importer, operator.inputs[0], place)
    require(size > 0 and h % size == w % size == 0, "a block does not fit", place, (h, w), size)
    apart, last = (0, c, h // size, size, w // size, size), (0, c * size**2, h // size, w // size)
    _exchange(importer, operator, apart, (0, 3, 5, 1, 2, 4), last)


def _map_lengths(importer: Importer, index: int, place: str) -> tuple[int, int, int]:
    shape = importer.shape(index)
    require(len(shape) == 4, "a map has the wrong rank", place, "[n, h, w, c]", shape)
    h, w, c = shape[1:]
    if not (isinstance(h, int) and isinstance(w, int) and isinstance(c, int)):
        raise unsupported("a map has open lengths", place, "fixed height, width and channels", shape)
    return c, h, w


def _exchange(
    importer: Importer, operator: Operator, apart: Shape, order: tuple[int, ...], last: Shape
) -> None:
    source, output = operator.inputs[0], operator.outputs[0]
    stem = importer.name(output)
    name = in_codes(importer, source, output, as_map=True)
    name = importer.insert("Reshape", (name, importer.integers(lengths_of(apart), f"{stem}_apart")), stem)
    name = importer.insert("Transpose", (name,), stem, perm=order)
    name = importer.insert("Reshape", (name, importer.integers(lengths_of(last), f"{stem}_joined")), stem)
    _given_in_layout(importer, output, name, True)


def to_samples(importer: Importer, operator: Operator, place: str) -> None:
    """SPACE_TO_BATCH_ND: every d-th element becomes a sample of its own; the place is outside the batch."""
    block, edges = _exchanged(importer, operator, place)
    source, output = operator.inputs[0], operator.outputs[0]
    shape, stem = importer.shape(source), importer.name(output)
    pads = np.zeros((len(shape), 2), np.int64)
    pads[1 : 1 + len(block)] = edges
    name = in_codes(importer, source, output) if not pads.any() else importer.real(source)
    if pads.any():
        name = importer.insert("Pad", (name, importer.integers(pads.T.reshape(-1), f"{stem}_pads")), stem)
    lengths = [_fixed(length, place) for length in importer.graph.value(name).shape]
    require(
        all(n % b == 0 for n, b in zip(lengths[1:], block, strict=False)),
        "a block does not fit",
        place,
        block,
        lengths,
    )
    count, rest = len(block), lengths[1 + len(block) :]
    apart = [lengths[0], *(n for a, b in enumerate(block) for n in (lengths[1 + a] // b, b)), *rest]
    order = (*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), *range(1 + 2 * count, len(apart)))
    last = [int(np.prod(block)) * lengths[0], *(lengths[1 + a] // b for a, b in enumerate(block)), *rest]
    given(importer, output, _rearranged(importer, name, apart, order, last, stem))


def from_samples(importer: Importer, operator: Operator, place: str) -> None:
    """BATCH_TO_SPACE_ND: the way back, less what is cropped."""
    block, edges = _exchanged(importer, operator, place)
    source, output = operator.inputs[0], operator.outputs[0]
    name, stem = in_codes(importer, source, output), importer.name(output)
    lengths = [_fixed(length, place) for length in importer.graph.value(name).shape]
    count, rest, samples = len(block), lengths[1 + len(block) :], lengths[0] // int(np.prod(block))
    require(samples * int(np.prod(block)) == lengths[0], "a block does not fit", place, block, lengths)
    apart = [*block, samples, *lengths[1:]]
    order = (count, *(n for a in range(count) for n in (count + 1 + a, a)), *range(2 * count + 1, len(apart)))
    last = [samples, *(lengths[1 + a] * b for a, b in enumerate(block)), *rest]
    name = _rearranged(importer, name, apart, order, last, stem)
    bounds = [(0, _FAR, 1), *((int(b), last[1 + a] - int(e), 1) for a, (b, e) in enumerate(edges))]
    bounds = [bound if bound[:2] != (0, n) else (0, _FAR, 1) for bound, n in zip(bounds, last, strict=False)]
    given(importer, output, _sliced(importer, name, bounds, output))


def _rearranged(
    importer: Importer, name: str, apart: list[int], order: tuple[int, ...], last: list[int], stem: str
) -> str:
    name = importer.insert("Reshape", (name, importer.integers(apart, f"{stem}_apart")), stem)
    name = importer.insert("Transpose", (name,), stem, perm=order)
    return importer.insert("Reshape", (name, importer.integers(last, f"{stem}_joined")), stem)


def _exchanged(importer: Importer, operator: Operator, place: str) -> tuple[list[int], npt.NDArray[Any]]:
    block = [int(size) for size in numbers(importer, operator.inputs[1], "blocks", place)]
    row = numbers(importer, operator.inputs[2], "pads", place)
    require(len(row) % 2 == 0, "pads do not fit", place, "two for each axis", len(row))
    edges = np.array(row, np.int64).reshape(-1, 2)
    inside = 1 <= len(block) < len(importer.shape(operator.inputs[0]))
    fits = inside and len(edges) == len(block) and min(block) >= 1 and edges.min(initial=0) >= 0
    require(fits, "blocks do not fit", place, "a size and two pads for each axis", block)
    return block, edges


def _fixed(length: Dimension, place: str) -> int:
    """Return a length that is known: samples are exchanged for places, so the batch has to be, too."""
    if isinstance(length, str):
        error = unsupported("an open length is exchanged for samples", place, "fixed lengths", length)
        error.remedy = f"{FIX} {error.remedy}"
        raise error
    return length


def one_hot(importer: Importer, operator: Operator, place: str) -> None:
    """ONE_HOT: one number where the new axis counts the index, another elsewhere."""
    index, depth, on, off = operator.inputs
    output, count = operator.outputs[0], numbers(importer, depth, "a depth", place)[0]
    require(int(count) >= 0, "a depth is impossible", place, "0 or more", count)
    if int(count) > MOST_PLACES:
        raise unsupported("a depth of this size", place, f"at most {MOST_PLACES}", count)
    stem, given_axis = importer.name(output), options_of(operator, OneHotOptions()).axis
    rank = len(importer.shape(index)) + 1
    axis = axis_of(importer, index, given_axis, place, 1)
    name, row = importer.value(index), importer.integers([axis], f"{stem}_axis")
    dtype = DTYPES[importer.dtype(name)]
    places = np.arange(int(count), dtype=dtype).reshape(-1, *[1] * (rank - 1 - axis))
    counted = importer.add_constant(f"{stem}_places", places, importer.dtype(name))
    wide = importer.insert("Unsqueeze", (name, row), stem)
    chosen = importer.insert("Equal", (wide, counted), stem)
    values = tuple(importer.plain_constant(each) for each in (on, off))
    importer.compute("Where", (chosen, *values), output)


def ranged(importer: Importer, operator: Operator, place: str) -> None:
    """RANGE."""
    importer.compute("Range", tuple(importer.value(index) for index in operator.inputs), operator.outputs[0])


def shape(importer: Importer, operator: Operator, place: str) -> None:
    """SHAPE: known while the file is read, but for open lengths, which count on as such."""
    importer.folded[operator.outputs[0]] = shape_array(importer.shape(operator.inputs[0]))


def rank(importer: Importer, operator: Operator, place: str) -> None:
    """RANK."""
    importer.folded[operator.outputs[0]] = np.array(len(importer.shape(operator.inputs[0])), np.int64)


def _array(row: Sequence[Any]) -> npt.NDArray[Any]:
    return shape_array(tuple(str(each) if isinstance(each, Length) else int(each) for each in row))


def squeezed(importer: Importer, operator: Operator, place: str) -> None:
    """SQUEEZE: a reshape without the axes that it names, or all of length 1."""
    source = operator.inputs[0]
    named, shape = options_of(operator, SqueezeOptions()).squeeze_dims, importer.shape(source)
    axes = [axis_of(importer, source, axis, place) for axis in named]
    axes = axes or [axis for axis, length in enumerate(shape) if length == 1]
    left = tuple(length for axis, length in enumerate(shape) if axis not in axes)
    _reshape_to(importer, operator, left, "Squeeze", axes)


def widened(importer: Importer, operator: Operator, place: str) -> None:
    """EXPAND_DIMS: a reshape with another axis of length 1."""
    source = operator.inputs[0]
    row = numbers(importer, operator.inputs[1], "an axis", place)
    require(len(row) == 1, "an axis is none", place, "1 number", row)
    axis = axis_of(importer, source, row[0], place, 1)
    shape = importer.shape(source)
    _reshape_to(importer, operator, (*shape[:axis], 1, *shape[axis:]), "Unsqueeze", [axis])


def _reshape_to(importer: Importer, operator: Operator, shape: Shape, op: str, axes: list[int]) -> None:
    """Append a reshape, where only one length is open; else the operator that says what it does by axes."""
    output = operator.outputs[0]
    if sum(isinstance(length, str) for length in shape) > 1:
        op_row = importer.integers(axes, f"{importer.name(output)}_axes")
        moved(importer, op, operator.inputs[0], (op_row,), output)
        return
    name = importer.integers(lengths_of(shape), f"{importer.name(output)}_shape")
    moved(importer, "Reshape", operator.inputs[0], (name,), output)
