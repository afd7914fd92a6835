"""Constants as a file stores them: four bits to a number, and sparse."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from lowbit.errors import ModelFormatError
from lowbit.formats.circle.schema import (
    TENSOR_TYPES,
    DimensionMetadata,
    Int32Vector,
    QuantizationParameters,
    Sparsity,
    Tensor,
    Uint8Vector,
)
from lowbit.formats.circle.stored_constants import typed

Floats = npt.NDArray[np.float32]


def _dense(size: int) -> DimensionMetadata:
    return DimensionMetadata(0, size)


def _rows(present: npt.NDArray[np.bool_]) -> DimensionMetadata:
    """Return a sparse level of these rows of places."""
    segments = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    return DimensionMetadata(
        1, 0, Int32Vector(segments.astype(np.int32)), Uint8Vector(np.nonzero(present)[1].astype(np.uint8))
    )


def sparse(random: np.random.Generator, kind: str) -> tuple[Floats, Sparsity, Floats]:
    """Return an array, how it is stored sparsely, and what is stored."""
    kept = random.random((6, 8)) < 0.4
    if kind == "rows":
        full = np.where(kept, random.normal(size=(6, 8)), 0).astype(np.float32)
        return full, Sparsity((0, 1), (), (_dense(6), _rows(kept))), full[kept]
    if kind == "columns":
        full = np.where(kept, random.normal(size=(6, 8)), 0).astype(np.float32)
        return full, Sparsity((1, 0), (), (_dense(8), _rows(kept.T))), full.T[kept.T]
    blocks = kept[:, :2]  # of 1 x 4 elements
    full = np.where(np.repeat(blocks, 4, axis=1), random.normal(size=(6, 8)), 0).astype(np.float32)
    levels = (_dense(6), _rows(blocks), _dense(4))
    return full, Sparsity((0, 1, 2), (1,), levels), full.reshape(6, 2, 4)[blocks].reshape(-1)


def _read(sparsity: Sparsity, stored: Floats, zero: int | None = None) -> npt.NDArray[np.float32]:
    points = None if zero is None else QuantizationParameters(zero_point=np.array([zero]))
    tensor = Tensor((6, 8), TENSOR_TYPES["float32"], 1, "w", points, sparsity=sparsity)
    return typed(tensor, stored.view(np.uint8), "w")


@pytest.mark.parametrize("kind", ["rows", "columns", "blocks"])
def test_a_sparse_constant_is_read_dense(kind: str) -> None:
    random = np.random.default_rng(3)
    for _ in range(5):
        full, sparsity, stored = sparse(random, kind)
        assert np.array_equal(_read(sparsity, stored), full)
        with pytest.raises(ModelFormatError):
            _read(sparsity, np.append(stored, np.float32(1)))


def test_what_is_not_stored_is_the_zero_point() -> None:
    full, sparsity, stored = sparse(np.random.default_rng(0), "rows")
    found = _read(sparsity, stored, 7)
    assert (found[full == 0] == 7).all() and np.array_equal(found[full != 0], full[full != 0])


def test_damaged_levels_are_refused() -> None:
    """Every number of the levels is changed in turn: the result is an error, or an array of that shape."""
    _, sparsity, stored = sparse(np.random.default_rng(1), "blocks")
    rows = sparsity.dimensions[1]
    changed = [
        replace(sparsity, traversal_order=(0, 0, 2)),
        replace(sparsity, traversal_order=(0, 1)),
        replace(sparsity, block_map=(5,)),
        replace(sparsity, block_map=(1, 1)),
        replace(sparsity, dimensions=sparsity.dimensions[:2]),
        Sparsity(),
    ]
    for number in (-1, 1 << 20, 1):
        for at in range(7 if number != 1 else 1):
            values = rows.segments.values.copy()
            values[at] = number
            if not np.array_equal(values, rows.segments.values):
                level = replace(rows, segments=Int32Vector(values))
                changed.append(replace(sparsity, dimensions=(_dense(6), level, _dense(4))))
        changed.append(replace(sparsity, dimensions=(_dense(number), rows, _dense(4))))
        changed.append(replace(sparsity, dimensions=(_dense(6), rows, _dense(number))))
    indices = Int32Vector(rows.indices.values.astype(np.int32) + 9)
    changed.append(replace(sparsity, dimensions=(_dense(6), replace(rows, indices=indices), _dense(4))))
    for each in changed:
        with pytest.raises(ModelFormatError):
            _read(each, stored)


def test_four_bits_to_a_number_lower_half_first() -> None:
    numbers = np.array([-8, 7, 0, -1, 3], np.int8)
    halves = np.append(numbers, 0).astype(np.uint8) & 15
    stored = (halves[::2] | halves[1::2] << 4).astype(np.uint8)
    tensor = Tensor((5,), TENSOR_TYPES["int4"], 1, "w")
    assert np.array_equal(typed(tensor, stored, "w"), numbers)
    with pytest.raises(ModelFormatError):
        typed(tensor, stored[:-1], "w")
