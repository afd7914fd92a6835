"""The ``lowbit`` domain: values that carry codes, and layers that sum integers.

See `lowbit.ir.deployed` for the arithmetic, and `lowbit.ir.weight_only` for that of ``LQFullyConnected`` and
``LQConv`` on floats. A code exists only where a value has an encoding.
"""

from math import prod

import numpy as np

from lowbit.ir.activations import ACTIVATIONS, real_output
from lowbit.ir.deployed import deployed_affine, deployed_layer
from lowbit.ir.graph import Array, Value
from lowbit.ir.operators.registry import Call, TensorType, code_dtype, register, require_float
from lowbit.ir.operators.traits import Trait
from lowbit.ir.weight_only import weight_levels
from lowbit.planes import unpack, word_count
from lowbit.schemes import Affine, Encoding, LearnedBasis, PowerOfTwo, rank_encode, table_decode

POWER_OF_TWO_LAYERS = ("Pow2FullyConnected", "Pow2Conv")


def encoding_of(call: Call, value: Value) -> Encoding:
    """Return the encoding of a value that must be codes."""
    call.require(value.encoding is not None, f"{value.name} must be codes", "an encoding", "none")
    assert value.encoding is not None
    return value.encoding


def is_weight_only(call: Call) -> bool:
    """Return whether a layer with planes reads floats."""
    return call.input(0).encoding is None and call.node.op not in POWER_OF_TWO_LAYERS


def require_layer(call: Call, rank: int) -> None:
    """Check what every low-bit layer has: its input, weights of that rank, bias, activation, thresholds."""
    weights, bias, thresholds = call.input(1), call.input(2), call.optional(3)
    if is_weight_only(call):
        require_float(call, 0)
        call.require(thresholds is None, "thresholds of a layer that reads floats", "none", "an input")
    else:
        encoding = encoding_of(call, call.input(0))
        call.require(encoding.channels == 1, "input encoding", "one set of parameters", encoding.channels)
    fits = len(weights.shape) == rank and all(isinstance(extent, int) for extent in weights.shape)
    call.require(fits, "weight shape", f"{rank} lengths", weights.shape)
    if call.node.op in POWER_OF_TWO_LAYERS:
        _require_coded(call, weights)
    else:
        _require_planes(call, weights)
    outputs = weights.shape[0]
    assert weights.encoding is not None
    call.require(
        weights.encoding.channels == outputs, "weight channels", str(outputs), weights.encoding.channels
    )
    call.require(
        bias.shape == (outputs,) and bias.dtype == "float32", "bias", f"float32 [{outputs}]", bias.shape
    )
    call.require(
        call.text("activation") in ACTIVATIONS, "activation", ", ".join(ACTIVATIONS), call.text("activation")
    )
    if thresholds is not None:
        require_thresholds(call, thresholds, encoding_of(call, call.output()))


def _require_planes(call: Call, weights: Value) -> None:
    call.require(
        weights.dtype == "planes" and weights.data is not None, "weights", "constant planes", weights.dtype
    )
    call.require(
        isinstance(weights.encoding, LearnedBasis), "weight encoding", "a learned basis", weights.encoding
    )
    assert weights.encoding is not None and weights.data is not None
    length = prod(int(extent) for extent in weights.shape[1:])
    packed = (weights.shape[0], weights.encoding.bits, word_count(length))
    call.require(weights.data.shape == packed, "packed weights", str(packed), weights.data.shape)


def _require_coded(call: Call, weights: Value) -> None:
    constant = weights.dtype == "code" and weights.data is not None
    call.require(constant, "weights", "constant codes", weights.dtype)
    coded = isinstance(weights.encoding, PowerOfTwo)
    call.require(coded, "weight encoding", "powers of two", weights.encoding)


def require_affine(call: Call, outputs: int | str) -> None:
    """Check that input and constant weights are 8-bit affine codes, weights per output or for all."""
    weights = call.input(1)
    for value in (call.input(0), weights):
        encoding = encoding_of(call, value)
        call.require(
            isinstance(encoding, Affine) and encoding.bits == 8, "encoding", "affine, 8 bits", encoding
        )
    assert weights.encoding is not None
    call.require(weights.data is not None, "weights", "a constant", "a value computed at run time")
    call.require(
        weights.encoding.channels in (1, outputs),
        "weight channels",
        f"1 or {outputs}",
        weights.encoding.channels,
    )


def require_thresholds(call: Call, thresholds: Value, encoding: Encoding) -> None:
    """Check that thresholds are as many ascending constants as the encoding has steps."""
    steps = ((1 << encoding.bits) - 1,)
    call.require(thresholds.data is not None, "thresholds", "a constant", "a value computed at run time")
    call.require(thresholds.shape == steps, "thresholds", f"float32 {steps}", thresholds.shape)
    ascending = np.asarray(thresholds.data)
    call.require(bool((ascending[1:] >= ascending[:-1]).all()), "thresholds", "ascending numbers", ascending)


def _infer_encode(call: Call) -> list[TensorType]:
    call.require(call.input(0).dtype == "float32", "input type", "float32", call.input(0).dtype)
    encoding, thresholds = encoding_of(call, call.output()), call.optional(1)
    if thresholds is not None:
        require_thresholds(call, thresholds, encoding)
    return [TensorType(code_dtype(encoding), call.input(0).shape)]


def _encode(call: Call, array: Array, thresholds: Array | None = None) -> list[Array]:
    encoding = encoding_of(call, call.output())
    if thresholds is None:
        return [encoding.encode(array)]
    return [rank_encode(array, np.asarray(thresholds, np.float32)[None], encoding.code_of_rank())]


def _infer_decode(call: Call) -> list[TensorType]:
    encoding_of(call, call.input(0))
    return [TensorType("float32", call.input(0).shape)]


def _decode(call: Call, codes: Array) -> list[Array]:
    return [encoding_of(call, call.input(0)).decode(codes)]


def _infer_lq(call: Call) -> list[TensorType]:
    require_layer(call, rank=2)
    thresholds, (outputs, length) = call.optional(3), call.input(1).shape
    shape = call.input(0).shape
    call.require(len(shape) == 2 and shape[1] == length, "input shape", f"[n, {length}]", shape)
    return [TensorType("float32" if thresholds is None else "code", (call.input(0).shape[0], outputs))]


def _lq(
    call: Call, codes: Array, weights: Array, bias: Array, thresholds: Array | None = None
) -> list[Array]:
    if is_weight_only(call):
        exact = codes.astype(np.float64) @ weight_levels(call.input(1)).T + bias.astype(np.float64)
        return [real_output(exact, call.text("activation"))]
    if not _is_deployed(call):
        return _free_lq(call, codes, bias, thresholds)
    layer = deployed_layer(encoding_of(call, call.input(0)), call.input(1), bias)
    sums = layer.input_levels.astype(np.int64)[codes.astype(np.intp)] @ layer.weights.T.astype(np.int64)
    if thresholds is None:
        return [real_output(layer.scale * sums + layer.bias, call.text("activation"))]
    steps = layer.integer_thresholds(thresholds)
    ranks = (sums[:, :, None] > steps).sum(axis=2)
    return [encoding_of(call, call.output()).code_of_rank()[0][ranks]]


def _is_deployed(call: Call) -> bool:
    bases = (call.input(0).encoding, call.input(1).encoding)
    return all(basis.snapped for basis in bases if isinstance(basis, LearnedBasis))


def _free_lq(call: Call, codes: Array, bias: Array, thresholds: Array | None) -> list[Array]:
    """A layer with a free, real-valued basis: the same sum in float64, compared with ``u_c`` itself."""
    weights = call.input(1)
    assert weights.encoding is not None and weights.data is not None
    levels = table_decode(codes, encoding_of(call, call.input(0)).levels())
    matrix = table_decode(unpack(weights.data, int(weights.shape[-1])), weights.encoding.levels())
    exact = levels @ matrix.T + bias.astype(np.float64)
    if thresholds is None:
        return [real_output(exact, call.text("activation"))]
    order = encoding_of(call, call.output()).code_of_rank()
    return [rank_encode(exact.astype(np.float32), np.asarray(thresholds, np.float32)[None], order)]


def _infer_affine(call: Call) -> list[TensorType]:
    weights, bias = call.input(1), call.input(2)
    outputs, length = weights.shape
    require_affine(call, outputs)
    _require_rows(call, length)
    call.require(
        bias.shape == (outputs,) and bias.dtype == "int32",
        "bias",
        f"int32 [{outputs}]",
        (bias.dtype, bias.shape),
    )
    coded = call.output().encoding is not None if call.node.outputs[0] in call.graph.values else False
    return [TensorType("code" if coded else "float32", (call.input(0).shape[0], outputs))]


def _affine(call: Call, codes: Array, weights: Array, bias: Array) -> list[Array]:
    """``code = clip(round_half_even(scale_o * acc / scale_y) + z_y)`` in float64."""
    layer, y = deployed_affine(encoding_of(call, call.input(0)), call.input(1), bias), call.output().encoding
    sums = layer.input_levels.astype(np.int64)[codes.astype(np.intp)] @ layer.weights.T.astype(np.int64)
    real = layer.scale * (sums + np.asarray(bias, np.int64))
    return [real.astype(np.float32) if y is None else y.encode(real)]


def _require_rows(call: Call, length: int | str) -> None:
    shape = call.input(0).shape
    call.require(len(shape) == 2 and shape[1] == length, "input shape", f"[n, {length}]", shape)
    encoding = encoding_of(call, call.input(0))
    call.require(encoding.channels == 1, "input encoding", "one set of parameters", encoding.channels)


register(
    "Encode",
    "input thresholds?",
    domain="lowbit",
    infer=_infer_encode,
    evaluate=_encode,
    traits=Trait.ELEMENTWISE,
)
register("Decode", "input", domain="lowbit", infer=_infer_decode, evaluate=_decode, traits=Trait.ELEMENTWISE)
register(
    "LQFullyConnected",
    "input weights bias thresholds?",
    domain="lowbit",
    infer=_infer_lq,
    evaluate=_lq,
    traits=Trait.LAYER,
    activation="none",
)
register(
    "Pow2FullyConnected",
    "input weights bias thresholds?",
    domain="lowbit",
    infer=_infer_lq,
    evaluate=_lq,
    traits=Trait.LAYER,
    activation="none",
)
register(
    "AffineFullyConnected",
    "input weights bias",
    domain="lowbit",
    infer=_infer_affine,
    evaluate=_affine,
    traits=Trait.LAYER,
)
