"""MEAN and REDUCE_MAX as pools over the whole map that their axes make."""

from collections.abc import Callable
from math import prod

import numpy as np

from lowbit.formats.circle.file_tensors import lengths_of, unsupported
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.schema import Operator, ReducerOptions
from lowbit.ir.graph import Shape

Import = Callable[[Importer, Operator, str], None]


def reduction(op: str) -> Import:
    """Return what imports a reduction over axes behind the batch."""

    def run(importer: Importer, operator: Operator, place: str) -> None:
        found, source = importer.constant(operator.inputs[1]), operator.inputs[0]
        shape = importer.shape(source)
        axes = (
            [] if found is None else sorted({int(axis) % max(len(shape), 1) for axis in np.atleast_1d(found)})
        )
        if not axes or axes[0] == 0 or any(isinstance(length, str) for length in shape[1:]):
            expected, got = "axes behind the batch, of fixed lengths", f"axes {axes} of {shape}"
            raise unsupported("a reduction over these axes is not supported", place, expected, got)
        keeps = options_of(operator, ReducerOptions()).keep_dims
        if len(shape) == 4 and axes == [1, 2]:
            _of_map(importer, op, operator, keeps)
        else:
            _of_any(importer, op, operator, axes, shape)

    return run


def _of_map(importer: Importer, op: str, operator: Operator, keeps: bool) -> None:
    source, output = operator.inputs[0], operator.outputs[0]
    passes = op == "GlobalMaxPool" and importer.encoding_of(source) == importer.encoding_of(output)
    operand = importer.map(source) if passes else importer.real(source, as_map=True)
    if keeps and passes:
        importer.node(op, (operand,), importer.map_output(output))
        return
    if keeps:
        importer.compute(op, (operand,), output, as_map=True)
        return
    value = importer.graph.value(operand)
    pooled = importer.add_computed(
        f"{importer.name(output)}_pooled", value.dtype, (*value.shape[:2], 1, 1), value.encoding
    )
    importer.node(op, (operand,), pooled)
    _reshaped(importer, pooled, output, passes)


def _of_any(importer: Importer, op: str, operator: Operator, axes: list[int], shape: Shape) -> None:
    """The axes move behind the others, which become one."""
    source, output = importer.real(operator.inputs[0]), operator.outputs[0]
    stem, kept = importer.name(output), [axis for axis in range(1, len(shape)) if axis not in axes]
    order = (0, *kept, *axes)
    if order != tuple(range(len(shape))):
        moved = importer.add_computed(f"{stem}_moved", "float32", tuple(shape[axis] for axis in order))
        importer.node("Transpose", (source,), moved, perm=order)
        source = moved
    lengths = (shape[0], *(prod(int(shape[axis]) for axis in group) for group in (kept, axes)))
    if len(kept) != 1 or len(axes) != 1:
        target = importer.add_constant(f"{stem}_rows_shape", np.array(lengths_of(lengths), np.int64), "int64")
        rows = importer.add_computed(f"{stem}_rows", "float32", lengths)
        importer.node("Reshape", (source, target), rows)
        source = rows
    pooled = importer.add_computed(f"{stem}_pooled", "float32", (*lengths[:2], 1))
    importer.node(op, (source,), pooled)
    _reshaped(importer, pooled, output, False)


def _reshaped(importer: Importer, source: str, output: int, passes: bool) -> None:
    """Append the reshape to what the file says of the result."""
    shape = np.array(lengths_of(importer.shape(output)), np.int64)
    target = importer.add_constant(f"{importer.name(output)}_shape", shape, "int64")
    if passes:
        importer.node("Reshape", (source, target), importer.value(output))
    else:
        importer.compute("Reshape", (source, target), output)
