"""Operators on tensors of any shape as the file's: the mirror of the modules that read them.

Axes are those of the graph: a map is moved to its layout where it is read. What an operator of the file does
not say, such as an open length that is cut, is refused here and then written in the graph's own words.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from lowbit.errors import UnsupportedError
from lowbit.formats.circle.exporter import Exporter
from lowbit.formats.circle.foreign_options import (
    ArgMaxOptions,
    ArgMinOptions,
    BatchMatMulOptions,
    CumsumOptions,
    GatherOptions,
    GeluOptions,
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
)
from lowbit.formats.circle.layout import TO_NCHW
from lowbit.formats.circle.map_lowering import Lower
from lowbit.formats.circle.schema import TENSOR_TYPES, ReducerOptions, StridedSliceOptions
from lowbit.ir import Node
from lowbit.ir.graph import Attribute
from lowbit.ir.infer import call_of
from lowbit.ir.operators.contents import axes_of, integers
from lowbit.ir.operators.reductions import reduced_axes
from lowbit.ir.operators.registry import Call
from lowbit.ir.operators.resizing import taps_of


def plain(name: str, options: object = None) -> Lower:
    """Return what lowers an operator that is the same one in the file, on tensors as they lie."""

    def run(exporter: Exporter, node: Node) -> None:
        inputs = tuple(exporter.exact(value) for value in node.inputs)
        exporter.operator(name, inputs, (exporter.tensor(node.outputs[0]),), options)

    return run


def cut(exporter: Exporter, node: Node) -> None:
    """``Slice`` as STRIDED_SLICE; axes that stay as they are have no bounds."""
    call = call_of(exporter.graph, node)
    shape = call.input(0).shape
    starts, ends = integers(call, 1), integers(call, 2)
    axes = axes_of(call, integers(call, 3), len(shape)) if call.optional(3) else range(len(starts))
    steps = integers(call, 4) if call.optional(4) else (1,) * len(starts)
    begin, end, step = np.zeros(len(shape), np.int32), np.zeros(len(shape), np.int32), np.ones(len(shape))
    open_begin = open_end = (1 << len(shape)) - 1
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        length = shape[axis]
        first, last, by = slice(*map(int, bounds)).indices(_fixed(call, length))
        begin[axis], step[axis] = first, by
        open_begin &= ~(1 << axis)
        if last >= 0:  # from the end on to the first element there is no bound
            end[axis] = last
            open_end &= ~(1 << axis)
    rows = {"begin": begin, "end": end, "steps": step.astype(np.int32)}
    inputs = (exporter.tensor(node.inputs[0]), *_rows(exporter, node, rows))
    options = StridedSliceOptions(begin_mask=open_begin, end_mask=open_end)
    exporter.operator("STRIDED_SLICE", inputs, (exporter.tensor(node.outputs[0]),), options)


def gather(exporter: Exporter, node: Node) -> None:
    """``Gather`` as GATHER, whose places count from the front alone."""
    call = call_of(exporter.graph, node)
    shape, places = call.input(0).shape, call.input(1).data
    axis = call.integer("axis") % len(shape)
    if places is None:
        index = exporter.tensor(node.inputs[1])
    elif np.asarray(places, np.int64).min(initial=0) >= 0:
        index = exporter.exact(node.inputs[1])
    else:
        numbers = np.asarray(places, np.int64)
        counted = np.where(numbers < 0, numbers + _fixed(call, shape[axis]), numbers)
        index = exporter.constant(f"{node.outputs[0]}_places", counted)
    inputs = (exporter.exact(node.inputs[0]), index)
    exporter.operator("GATHER", inputs, (exporter.tensor(node.outputs[0]),), GatherOptions(axis))


def gather_places(exporter: Exporter, node: Node) -> None:
    """``GatherND`` as GATHER_ND, which has no batches."""
    call = call_of(exporter.graph, node)
    data = call.input(1).data
    if call.integer("batch_dims") or (data is not None and np.asarray(data, np.int64).min(initial=0) < 0):
        raise _refused(node, "places from the front, no batches", dict(node.attributes))
    plain("GATHER_ND")(exporter, node)


def broadcast(exporter: Exporter, node: Node) -> None:
    """``Expand`` as BROADCAST_TO, which knows no open lengths: `forms` has written those as ``Tile``."""
    after = call_of(exporter.graph, node).output().shape
    if any(isinstance(length, str) for length in after):
        raise _refused(node, "fixed lengths, or as many axes as what is read has", after)
    inputs = (exporter.exact(node.inputs[0]), *_rows(exporter, node, {"lengths": np.array(after, np.int32)}))
    exporter.operator("BROADCAST_TO", inputs, (exporter.tensor(node.outputs[0]),))


def repeat(exporter: Exporter, node: Node) -> None:
    """``Tile`` as TILE."""
    times = np.array(integers(call_of(exporter.graph, node), 1), np.int32)
    inputs = (exporter.exact(node.inputs[0]), *_rows(exporter, node, {"times": times}))
    exporter.operator("TILE", inputs, (exporter.tensor(node.outputs[0]),))


def reduce(name: str) -> Lower:
    """Return what lowers a reduction over any axes."""

    def run(exporter: Exporter, node: Node) -> None:
        call = call_of(exporter.graph, node)
        axes = np.array(reduced_axes(call), np.int32)
        if not len(axes):
            raise _refused(node, "axes", "none")
        inputs = (exporter.tensor(node.inputs[0]), *_rows(exporter, node, {"axes": axes}))
        options = ReducerOptions(bool(call.integer("keepdims")))
        exporter.operator(name, inputs, (exporter.tensor(node.outputs[0]),), options)

    return run


def place(name: str, options: Callable[[int], object]) -> Lower:
    """Return what lowers ArgMax or ArgMin, which drop their axis and take the first of equals."""

    def run(exporter: Exporter, node: Node) -> None:
        call = call_of(exporter.graph, node)
        if call.integer("keepdims") or call.integer("select_last_index"):
            raise _refused(node, "the axis dropped, the first of equals", dict(node.attributes))
        axis = np.array(call.integer("axis") % len(call.input(0).shape), np.int32)
        inputs = (exporter.tensor(node.inputs[0]), *_rows(exporter, node, {"axis": axis}))
        exporter.operator(name, inputs, (exporter.tensor(node.outputs[0]),), options(TENSOR_TYPES["int64"]))

    return run


def running_sum(exporter: Exporter, node: Node) -> None:
    """``CumSum`` as CUMSUM."""
    call = call_of(exporter.graph, node)
    axis = np.array(integers(call, 1)[0] % len(call.input(0).shape), np.int32)
    inputs = (exporter.tensor(node.inputs[0]), *_rows(exporter, node, {"axis": axis}))
    options = CumsumOptions(bool(call.integer("exclusive")), bool(call.integer("reverse")))
    exporter.operator("CUMSUM", inputs, (exporter.tensor(node.outputs[0]),), options)


def product(exporter: Exporter, node: Node) -> None:
    """``MatMul`` as BATCH_MATMUL, of two matrices or stacks of them."""
    ranks = [len(exporter.graph.value(name).shape) for name in node.inputs]
    if min(ranks) < 2:
        raise _refused(node, "matrices", ranks)
    plain("BATCH_MATMUL", BatchMatMulOptions())(exporter, node)


def gelu(approximate: bool) -> Lower:
    """Return what lowers Gelu, or its approximation."""
    return plain("GELU", GeluOptions(approximate))


def resize(exporter: Exporter, node: Node) -> None:
    """``Resize`` of maps as RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR, where they take the same places."""
    call = call_of(exporter.graph, node)
    mode = call.text("mode")
    found = next((flags for flags in _FLAGS if _reads_the_same(call, _coordinates(mode, *flags))), None)
    if found is None or mode not in _RESIZES:
        raise _refused(node, "a resize of maps whose places the format has", dict(node.attributes))
    name, make = _RESIZES[mode]
    lengths = np.array([int(length) for length in call.output().shape[2:]], np.int32)
    inputs = (exporter.map(node.inputs[0]), *_rows(exporter, node, {"lengths": lengths}))
    exporter.operator(name, inputs, (exporter.map_output(node.outputs[0]),), make(*found))


_RESIZES = {
    "linear": ("RESIZE_BILINEAR", ResizeBilinearOptions),
    "nearest": ("RESIZE_NEAREST_NEIGHBOR", ResizeNearestNeighborOptions),
}
_FLAGS = ((False, True), (False, False), (True, False))
"""What the options may say: align_corners, half_pixel_centers."""


def _coordinates(mode: str, align: bool, half: bool) -> dict[str, Attribute]:
    """Return the attributes of the Resize that options mean."""
    coordinates = "align_corners" if align else "half_pixel" if half else "asymmetric"
    nearest = "floor" if coordinates == "asymmetric" else "round_prefer_ceil"
    return {"mode": mode, "coordinate_transformation_mode": coordinates, "nearest_mode": nearest}


def _reads_the_same(call: Call, attributes: Mapping[str, Attribute]) -> bool:
    """Return whether a node reads the places, with the weights, that a Resize to its lengths reads."""
    shape, after = call.input(0).shape, call.output().shape
    if len(shape) != len(TO_NCHW) or shape[:2] != after[:2] or any(isinstance(n, str) for n in after[2:]):
        return False
    graph = call.graph.copy()
    sizes = graph.add_constant(graph.fresh_name("sizes"), np.array(after[2:], np.int64), "int64")
    operands, attributes = (call.node.inputs[0], "", "", sizes), {**attributes, "axes": (2, 3)}
    like = Node("Resize", operands, call.node.outputs, attributes)
    ours, theirs = taps_of(call), taps_of(call_of(graph, like))
    return [taps.axis for taps in ours] == [taps.axis for taps in theirs] and all(
        one.places.shape == other.places.shape
        and np.array_equal(one.places, other.places)
        and np.allclose(one.weights, other.weights, rtol=0, atol=1e-12)
        for one, other in zip(ours, theirs, strict=True)
    )


def _rows(exporter: Exporter, node: Node, rows: Mapping[str, npt.NDArray[np.int32]]) -> tuple[int, ...]:
    """Return the tensors of constants that a node has, under names made of its output's."""
    return tuple(exporter.constant(f"{node.outputs[0]}_{name}", row) for name, row in rows.items())


def _fixed(call: Call, length: int | str) -> int:
    if isinstance(length, str):
        raise _refused(call.node, "a fixed length", length)
    return length


def _refused(node: Node, expected: str, found: object) -> UnsupportedError:
    return UnsupportedError(
        f"{node.op} in this form is no operator of a .circle file",
        where=node.name,
        expected=expected,
        found=str(found),
    )


TENSORS: dict[tuple[str, str], Lower] = {
    ("", "ArgMax"): place("ARG_MAX", ArgMaxOptions),
    ("", "ArgMin"): place("ARG_MIN", ArgMinOptions),
    ("", "Cast"): plain("CAST"),
    ("", "CumSum"): running_sum,
    ("", "Expand"): broadcast,
    ("", "Gather"): gather,
    ("", "GatherND"): gather_places,
    ("", "Gelu"): gelu(False),
    ("", "MatMul"): product,
    ("", "ReduceMax"): reduce("REDUCE_MAX"),
    ("", "ReduceMean"): reduce("MEAN"),
    ("", "ReduceMin"): reduce("REDUCE_MIN"),
    ("", "ReduceProd"): reduce("REDUCE_PROD"),
    ("", "ReduceSum"): reduce("SUM"),
    ("", "Resize"): resize,
    ("", "Slice"): cut,
    ("", "Tile"): repeat,
    ("lowbit", "GeluTanh"): gelu(True),
}
"""Rows of the table of all operators."""
