"""Elements chosen by number, repeated, mirrored and filled in; axes and repeats are constants, or known."""

import numpy as np

from lowbit.formats.batch import BATCH
from lowbit.formats.circle.file_tensors import unsupported
from lowbit.formats.circle.foreign_options import GatherOptions, MirrorPadOptions, OneHotOptions
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.layout import TO_NCHW
from lowbit.formats.circle.moving import axis_of, given_in_layout, in_codes, moved, numbers, row_of, there
from lowbit.formats.circle.schema import Operator
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import DTYPES

MOST_PLACES = 1 << 20
"""Numbers of places that are written down as a constant."""


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
        (row_of(importer, ordered, f"{importer.name(operator.outputs[0])}_times"),),
        operator.outputs[0],
        as_map,
    )


def broadcast(importer: Importer, operator: Operator, place: str) -> None:
    """BROADCAST_TO."""
    shape = numbers(importer, operator.inputs[1], "a shape", place)
    row = row_of(importer, shape, f"{importer.name(operator.outputs[0])}_shape")
    moved(importer, "Expand", operator.inputs[0], (row,), operator.outputs[0])


def filled(importer: Importer, operator: Operator, place: str) -> None:
    """FILL: one number in all places of a shape; along an open batch it is one that broadcasts."""
    shape = numbers(importer, operator.inputs[0], "a shape", place)
    if shape and str(shape[0]) == BATCH:
        shape = [1, *shape[1:]]
    row = row_of(importer, shape, f"{importer.name(operator.outputs[0])}_shape")
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
    given_in_layout(importer, output, name, as_map)


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
