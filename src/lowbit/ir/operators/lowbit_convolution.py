"""``LQConv``, ``Pow2Conv``: convolutions with planes, with powers of two. ``AffineConv``: one of 8-bit codes.

See `lowbit.ir.deployed_convolution` for the arithmetic. Attributes are those of ONNX ``Conv``, with padding
written out (no ``auto_pad``), and the activation that the layer applies.
"""

import numpy as np

from lowbit.ir.activations import real_output
from lowbit.ir.deployed import deployed_affine
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.graph import Array
from lowbit.ir.operators.lowbit import encoding_of, is_weight_only, require_affine, require_layer
from lowbit.ir.operators.registry import Call, TensorType, register
from lowbit.ir.operators.traits import Trait
from lowbit.ir.operators.window_sums import convolve, sum_windows
from lowbit.ir.operators.windows import WINDOW, windows_of
from lowbit.ir.weight_only import weight_levels
from lowbit.ir.window import Window
from lowbit.schemes import LearnedBasis


def window_of(call: Call, kernel: tuple[int, ...]) -> Window:
    """Return the window of a convolution over the last two axes of its input.

    Raises:
        GraphError: an attribute is impossible, or the window does not fit into the padded input.
    """
    rows, columns = windows_of(call, kernel)
    return rows, columns


def _infer(call: Call) -> list[TensorType]:
    require_layer(call, rank=4)
    weights, thresholds, group = call.input(1), call.optional(3), call.integer("group")
    for value in (call.input(0), weights):
        encoding = value.encoding  # none where the layer reads floats
        free = isinstance(encoding, LearnedBasis) and not encoding.snapped
        call.require(not free, f"{value.name}: basis", "one of scale * integers", "a free basis")
    rank = len(call.input(0).shape)
    if rank != 4:
        call.fail("input rank", "[n, c, h, w]", call.described(0))
    outputs, height, width, channels = (int(extent) for extent in weights.shape)
    rows, columns = window_of(call, (height, width))
    call.require(group >= 1 and outputs % group == 0, "group", f"a divisor of {outputs} outputs", group)
    if call.input(0).shape[1] != channels * group:
        wanted = f"{channels * group} channels for weights {weights.shape} in {group} group(s)"
        call.fail("channels differ", wanted, call.described(0))
    shape = (call.input(0).shape[0], outputs, rows.outputs, columns.outputs)
    return [TensorType("float32" if thresholds is None else "code", shape)]


def _evaluate(
    call: Call, codes: Array, weights: Array, bias: Array, thresholds: Array | None = None
) -> list[Array]:
    window = window_of(call, tuple(int(extent) for extent in call.input(1).shape[1:3]))
    if is_weight_only(call):
        return [_weight_only(call, codes, bias, window)]
    constants = deployed_convolution(encoding_of(call, call.input(0)), call.input(1), bias, window)
    levels, group = constants.layer.input_levels, call.integer("group")
    sums = convolve(levels, constants.weights, codes, window, group)
    rows, columns = constants.row_class[:, None], constants.column_class[None, :]
    if thresholds is None:
        result = real_output(
            constants.layer.scale * sums + constants.bias[rows, columns], call.text("activation")
        )
    else:
        steps, ranks = constants.integer_thresholds(thresholds)[rows, columns], np.zeros(sums.shape, np.uint8)
        for step in range(steps.shape[-1]):
            ranks += sums > steps[..., step]
        result = encoding_of(call, call.output()).code_of_rank()[0][ranks]
    return [np.ascontiguousarray(result.transpose(0, 3, 1, 2))]


def _weight_only(call: Call, maps: Array, bias: Array, window: Window) -> Array:
    """``y = f(float32(sum over valid taps of w x + bias))``, summed in float64."""
    rows = weight_levels(call.input(1)).reshape([int(extent) for extent in call.input(1).shape])
    sums = sum_windows(maps, rows, window, call.integer("group"))
    real = real_output(sums + bias.astype(np.float64), call.text("activation"))
    return np.ascontiguousarray(real.transpose(0, 3, 1, 2))


def _infer_affine(call: Call) -> list[TensorType]:
    weights, bias, group = call.input(1), call.input(2), call.integer("group")
    call.require(len(call.input(0).shape) == 4, "input rank", "[n, c, h, w]", call.described(0))
    fixed = len(weights.shape) == 4 and weights.data is not None
    call.require(fixed, "weights", "constant [o, kh, kw, c / group]", call.described(1))
    outputs, height, width, channels = (int(extent) for extent in weights.shape)
    require_affine(call, outputs)
    rows, columns = window_of(call, (height, width))
    call.require(group >= 1 and outputs % group == 0, "group", f"a divisor of {outputs} outputs", group)
    if call.input(0).shape[1] != channels * group:
        wanted = f"{channels * group} channels for weights {weights.shape} in {group} group(s)"
        call.require(False, "channels differ", wanted, call.described(0))
    call.require((bias.dtype, bias.shape) == ("int32", (outputs,)), "bias", f"int32 [{outputs}]", bias.shape)
    known = call.graph.values.get(call.node.outputs[0])
    coded = known is not None and known.encoding is not None
    shape = (call.input(0).shape[0], outputs, rows.outputs, columns.outputs)
    return [TensorType("code" if coded else "float32", shape)]


def _affine(call: Call, codes: Array, weights: Array, bias: Array) -> list[Array]:
    """``code = clip(round_half_even(scale_o * acc / scale_y) + z_y)`` in float64, padding skipped."""
    layer, y = deployed_affine(encoding_of(call, call.input(0)), call.input(1), bias), call.output().encoding
    window = window_of(call, weights.shape[1:3])
    sums = convolve(layer.input_levels, layer.weights, codes, window, call.integer("group"))
    real = layer.scale * (sums.astype(np.float64) + np.asarray(bias, np.float64))
    result = real.astype(np.float32) if y is None else y.encode(real)
    return [np.ascontiguousarray(result.transpose(0, 3, 1, 2))]


for _name in ("LQConv", "Pow2Conv"):
    register(
        _name,
        "input weights bias thresholds?",
        domain="lowbit",
        infer=_infer,
        evaluate=_evaluate,
        traits=Trait.LAYER | Trait.WINDOW,
        group=1,
        activation="none",
        **WINDOW,
    )
register(
    "AffineConv",
    "input weights bias",
    domain="lowbit",
    infer=_infer_affine,
    evaluate=_affine,
    traits=Trait.LAYER | Trait.WINDOW,
    group=1,
    **WINDOW,
)
