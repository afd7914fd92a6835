"""Functions for pools of fixed-point codes: means, which are rounded once, and maxima of codes above 8 bits.

Runtimes convolve in float32. So the sums of a window are those of two halves of 8 bits, which are whole
numbers that float32 holds; together, and divided, they are float64. By a divisor up to 2^37 no quotient of a
code can be rounded up to the next one, so its floor is that of `lowbit.ir.operators.fixed_point`.
"""

from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, Trait, Value, has
from lowbit.ir.graph import Array, Attribute
from lowbit.ir.infer import call_of
from lowbit.ir.operators.windows import windows_of
from lowbit.schemes import FixedPoint

_MOST_TAPS = 1 << 16  # whose halves of 8 bits sum to less than 2^24
_LARGEST_DIVISOR = 1 << 37
_UINT8, _UINT16 = 2, 4  # TensorProto.DataType

_END = """
  numerators = Mul(sums, factor)
  raised = Add(numerators, half)
  quotients = Div(raised, divisor)
  whole = Floor(quotients)
  saturated = Clip(whole, lowest, most)
  code = Sub(saturated, lowest)
  output = Cast<to: int = @code_type>(code)
"""
_OF_WINDOWS = """
  codes = Cast<to = 11>(input)
  integers = Add(codes, least)
  base = Constant<value = double {256.0}>()
  quotient = Div(integers, base)
  upper = Floor(quotient)
  shifted = Mul(upper, base)
  lower = Sub(integers, shifted)
  upper_single = Cast<to = 1>(upper)
  lower_single = Cast<to = 1>(lower)
  upper_sums = Conv<strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,
      group: int = @group>(upper_single, kernel)
  lower_sums = Conv<strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations,
      group: int = @group>(lower_single, kernel)
  upper_double = Cast<to = 11>(upper_sums)
  lower_double = Cast<to = 11>(lower_sums)
  lifted = Mul(upper_double, base)
  sums = Add(lifted, lower_double)
"""
_OF_MAPS = """
  codes = Cast<to = 11>(input)
  integers = Add(codes, least)
  sums = ReduceSum<keepdims = 1>(integers, axes)
"""
_LARGEST = """
  ranks = Cast<to = 1>(input)
  pooled = MaxPool<kernel_shape: ints = @kernel_shape, strides: ints = @strides, pads: ints = @pads,
      dilations: ints = @dilations>(ranks)
  output = Cast<to: int = @code_type>(pooled)
"""
_DIVISION = ("least", "factor", "half", "divisor", "lowest", "most")
_WINDOW = ("strides", "pads", "dilations")

_INFORM = ("kernel_shape: ints = [1]", "count_include_pad: int = 0")

BODIES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str]] = {
    "AveragePool": (("kernel", *_DIVISION), (*_WINDOW, "group", "code_type"), _INFORM, _OF_WINDOWS + _END),
    "GlobalAveragePool": (("axes", *_DIVISION), ("code_type",), (), _OF_MAPS + _END),
    "MaxPool": ((), ("kernel_shape", *_WINDOW, "code_type"), (), _LARGEST),
}
"""By operator: tables, attributes that the body uses, those that only inform a reader, the body."""

OWN = ("kernel_shape", *_WINDOW, "count_include_pad")
"""Attributes that are the graph's operator's."""


def needs_function(graph: Graph, node: Node) -> bool:
    """Return whether a node is a pool of fixed-point codes that standard operators do not compute."""
    source = graph.value(node.inputs[0]).encoding
    if not has(node, Trait.POOL) or source is None or source.as_fixed_point() is None:
        return False
    return not has(node, Trait.COMPARES) or source.bits > 8


def pool_tables(graph: Graph, node: Node) -> dict[str, Array]:
    """Return the tables of a pool by name.

    Raises:
        UnsupportedError: windows so large that float64 does not tell their means apart.
    """
    if has(node, Trait.COMPARES):
        return {}
    source, target = (_format(graph.value(name)) for name in (node.inputs[0], node.outputs[0]))
    tables, counts = _window(graph, node) if has(node, Trait.WINDOW) else _whole_map(graph, node)
    shift = source.fraction_bits - target.fraction_bits
    twice = 2 if target.rounds_to_nearest else 1
    divisor = counts * float(twice << max(shift, 0))
    taps = int(counts.max())
    if taps > _MOST_TAPS or divisor.max() > _LARGEST_DIVISOR:
        raise UnsupportedError(
            "ONNX cannot carry means of so many numbers",
            where=node.name,
            expected=f"at most {_MOST_TAPS}, and 37 bits with those that the output has less",
            found=f"{taps} and {shift} bits less",
            remedy="Write a .circle file instead.",
        )
    numbers = {
        "least": float(source.least),
        "factor": float(twice << max(-shift, 0)),
        "lowest": float(target.least),
        "most": float(-target.least - 1),
    }
    scalars = {name: np.array(number) for name, number in numbers.items()}
    half = divisor / 2 if target.rounds_to_nearest else np.zeros_like(divisor)
    return {**tables, **scalars, "half": half, "divisor": divisor}


def pool_attributes(graph: Graph, node: Node) -> dict[str, Attribute]:
    """Return a pool's attributes, nothing left to defaults, and what the body needs."""
    target = graph.value(node.outputs[0]).encoding
    assert target is not None
    stated: dict[str, Attribute] = {"code_type": _UINT8 if target.bits <= 8 else _UINT16}
    if not has(node, Trait.WINDOW):
        return stated
    call = call_of(graph, node)
    axes = windows_of(call, call.integers("kernel_shape"))
    stated |= {
        "kernel_shape": tuple(axis.kernel for axis in axes),
        "strides": tuple(axis.stride for axis in axes),
        "pads": (*(axis.before for axis in axes), *(axis.after for axis in axes)),
        "dilations": tuple(axis.dilation for axis in axes),
    }
    if not has(node, Trait.COMPARES):
        stated |= {"count_include_pad": call.integer("count_include_pad"), "group": _channels(graph, node)}
    return stated


def _window(graph: Graph, node: Node) -> tuple[dict[str, Array], npt.NDArray[np.float64]]:
    """Return a window of ones for every channel, and how many taps count in each mean."""
    call = call_of(graph, node)
    axes = windows_of(call, call.integers("kernel_shape"))
    kernel = np.ones((_channels(graph, node), 1, *(axis.kernel for axis in axes)), np.float32)
    if call.integer("count_include_pad"):
        return {"kernel": kernel}, np.array(float(prod(axis.kernel for axis in axes)))
    counts = np.ones(())
    for axis in axes:
        counts = np.multiply.outer(counts, axis.valid().sum(axis=1).astype(np.float64))
    return {"kernel": kernel}, counts


def _whole_map(graph: Graph, node: Node) -> tuple[dict[str, Array], npt.NDArray[np.float64]]:
    lengths = [int(length) for length in graph.value(node.inputs[0]).shape[2:]]
    axes = np.arange(2, 2 + len(lengths), dtype=np.int64)
    return {"axes": axes}, np.array(float(prod(lengths)))


def _channels(graph: Graph, node: Node) -> int:
    channels = graph.value(node.inputs[0]).shape[1]
    if not isinstance(channels, int):
        raise UnsupportedError(
            "a mean of codes over an open number of channels",
            where=node.name,
            expected="a number",
            found=str(channels),
        )
    return channels


def _format(value: Value) -> FixedPoint:
    encoding = None if value.encoding is None else value.encoding.as_fixed_point()
    assert encoding is not None  # verified
    return encoding
