"""Places exchanged for channels, or for samples, and back."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.formats.circle.file_tensors import lengths_of, unsupported
from lowbit.formats.circle.foreign_options import DepthToSpaceOptions, SpaceToDepthOptions
from lowbit.formats.circle.importer import FIX, Importer, options_of
from lowbit.formats.circle.moving import FAR, given, given_in_layout, in_codes, numbers
from lowbit.formats.circle.schema import Operator
from lowbit.formats.circle.slices import sliced
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import Dimension, Shape


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
    given_in_layout(importer, output, name, True)


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
    bounds = [(0, FAR, 1), *((int(b), last[1 + a] - int(e), 1) for a, (b, e) in enumerate(edges))]
    bounds = [bound if bound[:2] != (0, n) else (0, FAR, 1) for bound, n in zip(bounds, last, strict=False)]
    given(importer, output, sliced(importer, name, bounds, output))


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
