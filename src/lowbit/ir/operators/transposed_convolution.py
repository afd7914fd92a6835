"""Transposed convolution in float, any number of spatial axes, with groups and dilation.

    y[n, o, s p + d t - before] += x[n, c, p] w[c, o, t]        for every place p and tap t, then + bias_o

with strides s and dilations d; ``pads`` cut off what lies outside, ``output_padding`` adds places at the end.
Accumulated in float64, rounded once to float32.
"""

from itertools import product

import numpy as np

from lowbit.ir.graph import Array
from lowbit.ir.operators.registry import Call, Parts, TensorType, register, require_float
from lowbit.ir.operators.windows import LARGEST, Lengths, map_lengths


def geometry(call: Call) -> tuple[Lengths, Lengths, Lengths, Lengths, Lengths, Lengths]:
    """Return kernel, strides, dilations, pads before and after, and lengths of the output.

    Raises:
        GraphError: an attribute of the wrong length or range.
    """
    lengths = map_lengths(call)
    rank, kernel = len(lengths), call.input(1).shape[2:]
    fixed = rank >= 1 and len(kernel) == rank and all(isinstance(length, int) for length in kernel)
    call.require(fixed, "weights", f"a fixed kernel of {rank} axes", kernel)
    stated = call.integers("kernel_shape") or kernel
    call.require(stated == kernel, "kernel_shape", f"{kernel}, as in the weights", stated)
    strides, dilations = (call.integers(name) or (1,) * rank for name in ("strides", "dilations"))
    extra, pads = call.integers("output_padding") or (0,) * rank, call.integers("pads") or (0,) * 2 * rank
    every = (*strides, *dilations, *(1 + number for number in (*extra, *pads)), *lengths)
    fits = len(strides) == len(dilations) == len(extra) == rank and len(pads) == 2 * rank
    in_range = all(1 <= number <= LARGEST for number in every)
    call.require(
        fits and in_range, "strides, dilations and pads", f"{rank} of each, 1 (0) to {LARGEST}", every
    )
    before, after = pads[:rank], pads[rank:]
    outputs = tuple(
        strides[a] * (lengths[a] - 1)
        + dilations[a] * (int(kernel[a]) - 1)
        + 1
        + extra[a]
        - before[a]
        - after[a]
        for a in range(rank)
    )
    call.require(min(outputs) >= 1, "pads", "something left of the output", pads)
    return tuple(map(int, kernel)), strides, dilations, before, after, outputs


def _infer(call: Call) -> list[TensorType]:
    require_float(call, 0, 1, 2)
    value, weights, bias, group = call.input(0), call.input(1), call.optional(2), call.integer("group")
    if len(weights.shape) != len(value.shape):
        call.fail("weights' rank", str(len(value.shape)), call.described(1))
    channels, each = weights.shape[:2]
    call.require(
        isinstance(channels, int) and isinstance(each, int), "weights", "a fixed shape", weights.shape
    )
    assert isinstance(channels, int) and isinstance(each, int)
    call.require(group >= 1 and channels % group == 0, "group", f"a divisor of {channels}", group)
    if value.shape[1] != channels:
        call.fail("channels differ", f"{channels} for weights {weights.shape}", call.described(0))
    if bias is not None and bias.shape != (each * group,):
        call.fail("bias", f"float32 {(each * group,)}", call.described(2))
    return [TensorType("float32", (value.shape[0], each * group, *geometry(call)[5]))]


def _evaluate(call: Call, array: Array, weights: Array, bias: Array | None = None) -> list[Array]:
    kernel, strides, dilations, before, _, outputs = geometry(call)
    group, (channels, each) = call.integer("group"), weights.shape[:2]
    samples, lengths = len(array), array.shape[2:]
    x = array.astype(np.float64).reshape(samples, group, channels // group, -1)
    w = weights.astype(np.float64).reshape(group, channels // group, each, -1)
    room = tuple(
        max(s * (n - 1) + d * (k - 1) + 1, b + o)
        for s, n, d, k, b, o in zip(strides, lengths, dilations, kernel, before, outputs, strict=True)
    )
    total = np.zeros((samples, group * each, *room))
    for index, tap in enumerate(product(*map(range, kernel))):
        term = (w[..., index].transpose(0, 2, 1) @ x).reshape(samples, group * each, *lengths)
        places = tuple(
            slice(t * d, t * d + s * (n - 1) + 1, s)
            for t, d, s, n in zip(tap, dilations, strides, lengths, strict=True)
        )
        total[(slice(None), slice(None), *places)] += term
    cut = tuple(slice(b, b + o) for b, o in zip(before, outputs, strict=True))
    result = total[(slice(None), slice(None), *cut)]
    if bias is not None:
        result = result + bias.astype(np.float64).reshape(-1, *[1] * len(kernel))
    return [result.astype(np.float32)]


def _parts(call: Call, add: Parts) -> str:
    """A convolution of the map with zeros between its elements, by the kernel turned round."""
    kernel, strides, dilations, before, _, outputs = geometry(call)
    group, lengths = call.integer("group"), map_lengths(call)
    rank = len(kernel)
    source = call.node.inputs[0]
    if any(stride > 1 for stride in strides):
        apart = [length for pair in zip(lengths, [1] * rank, strict=True) for length in pair]
        source = add.node("Reshape", source, add.constant([0, 0, *apart], "int64"))
        zeros = [edge for stride in strides for edge in (0, stride - 1)]
        source = add.node("Pad", source, add.constant([0] * (2 + 2 * rank) + [0, 0, *zeros], "int64"))
        spread = [length * stride for length, stride in zip(lengths, strides, strict=True)]
        source = add.node("Reshape", source, add.constant([0, 0, *spread], "int64"))
    else:
        spread = list(lengths)
    first = [d * (k - 1) - b for d, k, b in zip(dilations, kernel, before, strict=True)]
    last = [
        o + d * (k - 1) - n - f
        for o, d, k, n, f in zip(outputs, dilations, kernel, spread, first, strict=True)
    ]
    if any((*first, *last)):
        source = add.node("Pad", source, add.constant([0, 0, *first, 0, 0, *last], "int64"))
    return add.node(
        "Conv", source, _turned(call, add), *call.node.inputs[2:], group=group, dilations=dilations
    )


def _turned(call: Call, add: Parts) -> str:
    """Return the weights with inputs and outputs exchanged in each group, every kernel from its end on."""
    name, value, group = call.node.inputs[1], call.input(1), call.integer("group")
    channels, each, *kernel = (int(length) for length in value.shape)
    apart, made = (group, channels // group, each, *kernel), (group * each, channels // group, *kernel)
    axes = tuple(range(2, 2 + len(kernel)))
    order = (0, 2, 1, *(axis + 1 for axis in axes))
    if value.data is not None:
        turned = np.flip(value.data.reshape(apart).transpose(order).reshape(made), axes)
        return add.constant(np.ascontiguousarray(turned))
    moved = add.node("Transpose", add.node("Reshape", name, add.constant(apart, "int64")), perm=order)
    whole = add.node("Reshape", moved, add.constant(made, "int64"))
    starts, ends = ([-1] * len(kernel), [-LARGEST - 1] * len(kernel))
    rows = [add.constant(row, "int64") for row in (starts, ends, axes, starts)]
    return add.node("Slice", whole, *rows)


register(
    "ConvTranspose",
    "X W B?",
    infer=_infer,
    evaluate=_evaluate,
    parts=_parts,
    group=1,
    kernel_shape=(),
    strides=(),
    pads=(),
    dilations=(),
    output_padding=(),
)
