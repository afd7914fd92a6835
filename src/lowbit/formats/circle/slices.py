"""Slices, parts and what is put side by side: begin, size and axis are constants, or known from shapes."""

from collections.abc import Sequence
from typing import Any

from lowbit.formats.circle.file_tensors import unsupported
from lowbit.formats.circle.foreign_options import UnpackOptions
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.moving import FAR, axis_of, given, in_codes, moved, numbers, row_of, there
from lowbit.formats.circle.schema import Operator, PackOptions, StridedSliceOptions
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import Dimension
from lowbit.ir.lengths import Length


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
    operands = tuple(row_of(importer, row, f"{stem}_{what}") for what, row in rows)
    moved(importer, "Slice", source, operands, output, as_map)


def _is_end(end: Any, length: Dimension) -> bool:
    """Return whether a bound is the end of an axis."""
    if isinstance(end, Length) or isinstance(length, str):
        return str(end) == str(length) or end == FAR
    return int(end) >= length


def part(importer: Importer, operator: Operator, place: str) -> None:
    """SLICE: from begin on, so many elements, -1 for all that are left."""
    source = operator.inputs[0]
    begin, size = (numbers(importer, index, "bounds", place) for index in operator.inputs[1:])
    rank = len(importer.shape(source))
    require(len(begin) == len(size) == rank, "bounds do not fit", place, f"{rank} of each", (begin, size))
    bounds = [
        (start, FAR if not isinstance(count, Length) and int(count) == -1 else start + count, 1)
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
            bounds += [(0, FAR, 1)] * max(len(shape) - given_axes, 0)
        elif options.new_axis_mask >> bit & 1:
            adds.append(len(bounds) - len(drops) + len(adds))
        else:
            require(len(bounds) < len(shape), "bounds do not fit", place, f"{len(shape)} axes", len(begin))
            step, start, stop = int(steps[bit]), begin[bit], end[bit]
            if options.shrink_axis_mask >> bit & 1:
                drops.append(len(bounds))
                stop = FAR if not isinstance(start, Length) and int(start) == -1 else start + 1
                bounds.append((start, stop, 1))
                continue
            stop = start + stop if options.offset else stop
            start = start if not options.begin_mask >> bit & 1 else 0 if step > 0 else FAR
            stop = stop if not options.end_mask >> bit & 1 else FAR if step > 0 else -FAR
            bounds.append((start, stop, step))
    if not drops and not adds:
        cut(importer, operator, bounds, output, importer.is_map(source))
        return
    name = in_codes(importer, source, output)
    name = sliced(importer, name, bounds, output)
    if drops:
        rows = importer.integers(drops, f"{importer.name(output)}_dropped")
        name = importer.insert("Squeeze", (name, rows), importer.name(output))
    if adds:
        rows = importer.integers(adds, f"{importer.name(output)}_added")
        name = importer.insert("Unsqueeze", (name, rows), importer.name(output))
    given(importer, output, name)


def sliced(importer: Importer, name: str, bounds: Sequence[tuple[Any, Any, int]], output: int) -> str:
    """Return a tensor in the layout of the file, cut to start, end and step of every axis."""
    stem = importer.name(output)
    kept = [(axis, *bound) for axis, bound in enumerate(bounds) if bound != (0, FAR, 1)]
    if not kept:
        return name
    axes, starts, ends, steps = zip(*kept, strict=True)
    rows = ("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps)
    return importer.insert(
        "Slice", (name, *(row_of(importer, row, f"{stem}_{what}") for what, row in rows)), stem
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


def reversed_along(importer: Importer, operator: Operator, place: str) -> None:
    """REVERSE_V2: from the end of some axes on."""
    source, as_map = operator.inputs[0], importer.is_map(operator.inputs[0])
    axes = [
        axis_of(importer, source, axis, place)
        for axis in numbers(importer, operator.inputs[1], "axes", place)
    ]
    rank = len(importer.shape(source))
    bounds = [(FAR, -FAR, -1) if axis in axes else (0, FAR, 1) for axis in range(rank)]
    cut(importer, operator, bounds, operator.outputs[0], as_map)
