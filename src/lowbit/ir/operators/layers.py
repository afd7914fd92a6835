"""``Linear`` and ``Convolution``: layers on encoded values, whatever the encodings.

What a layer computes follows from the encodings of its input, weights and output. See `lowbit.ir.deployed`
for the integers, `lowbit.ir.deployed_convolution` for windows, `lowbit.ir.weight_only` for inputs of floats.

    input without an encoding         y = f(float32(sum w x + bias)), weights of any encoding
    input of codes                    acc = sum X W + B, exact
        thresholds                    the code of #{c : acc > T_c}; f is inside them
        an output that rounds         the code of scale * acc + bias64, rounded once, saturated; f clips
        an output of floats           y = f(float32(scale * acc + bias64))

Weights are constant: planes or codes, as their encoding stores them, with one set of parameters or one for
each output. A bias is float32, int32 in units of the sums, or codes of which the sums hold a whole number.
A convolution's weights are ``[o, kh, kw, c / group]``, its attributes those of ONNX ``Conv`` with padding
written out (no ``auto_pad``); padding is true zero: padded taps are skipped.
"""

import numpy as np
import numpy.typing as npt

from lowbit.ir.activations import ACTIVATIONS, apply_activation, real_output
from lowbit.ir.deployed import DeployedLayer, Floats, deployed_layer, parts_of_bias, row_length
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.graph import Array, Value
from lowbit.ir.operators.codes import encoding_of, require_thresholds
from lowbit.ir.operators.fixed_point import require_clip
from lowbit.ir.operators.registry import (
    Call,
    TensorType,
    code_dtype,
    register,
    require_float,
    storage_dtype,
)
from lowbit.ir.operators.traits import Trait
from lowbit.ir.operators.window_sums import convolve, sum_windows
from lowbit.ir.operators.windows import WINDOW, windows_of
from lowbit.ir.weight_only import weight_levels
from lowbit.ir.window import Window
from lowbit.planes import word_count
from lowbit.schemes import Encoding, rank_encode


def _infer_linear(call: Call) -> list[TensorType]:
    _require_layer(call, rank=2)
    shape, (outputs, length) = call.input(0).shape, call.input(1).shape
    if len(shape) < 2 or shape[-1] != length:
        call.fail("input shape", f"[..., {length}]", call.described(0))
    return [TensorType(_output_dtype(call), (*shape[:-1], outputs))]


def _infer_convolution(call: Call) -> list[TensorType]:
    _require_layer(call, rank=4)
    weights, group = call.input(1), call.integer("group")
    for value in (call.input(0), weights):
        free = value.encoding is not None and not value.encoding.snapped
        call.require(not free, f"{value.name}: basis", "one of scale * integers", "a free basis")
    if len(call.input(0).shape) != 4:
        call.fail("input rank", "[n, c, h, w]", call.described(0))
    outputs, channels = int(weights.shape[0]), int(weights.shape[3])
    rows, columns = _window(call)
    call.require(group >= 1 and outputs % group == 0, "group", f"a divisor of {outputs} outputs", group)
    if call.input(0).shape[1] != channels * group:
        wanted = f"{channels * group} channels for weights {weights.shape} in {group} group(s)"
        call.fail("channels differ", wanted, call.described(0))
    shape = (call.input(0).shape[0], outputs, rows.outputs, columns.outputs)
    return [TensorType(_output_dtype(call), shape)]


def _require_layer(call: Call, rank: int) -> None:
    """Check what every layer has: its input, constant weights of that rank, bias, activation and end."""
    source, weights = call.input(0), call.input(1)
    if source.encoding is None:
        require_float(call, 0)
    else:
        call.require(
            source.encoding.channels == 1, "input encoding", "one set of parameters", source.encoding.channels
        )
    fits = len(weights.shape) == rank and all(isinstance(extent, int) for extent in weights.shape)
    call.require(fits, "weight shape", f"{rank} lengths", weights.shape)
    _require_weights(call, weights)
    _require_bias(call, call.input(2), int(weights.shape[0]))
    activation = call.text("activation")
    call.require(activation in ACTIVATIONS, "activation", ", ".join(ACTIVATIONS), activation)
    _require_end(call)


def _require_weights(call: Call, weights: Value) -> None:
    encoding, outputs = encoding_of(call, weights), weights.shape[0]
    call.require(weights.data is not None, "weights", "a constant", "a value computed at run time")
    assert weights.data is not None
    stored, channels = storage_dtype(encoding), encoding.channels
    call.require(weights.dtype == stored, "weights", f"constant {stored}", weights.dtype)
    if encoding.group:
        call.require(call.input(0).encoding is None, "groups of weights", "an input of floats", "codes")
        groups = int(outputs) * -(-row_length(weights) // encoding.group)
        call.require(channels == groups, "groups of weights", str(groups), channels)
    else:
        call.require(channels in (1, outputs), "weight channels", f"1 or {outputs}", channels)
    packed: tuple[int | str, ...] = weights.shape
    if stored == "planes":
        packed = (outputs, encoding.bits, word_count(row_length(weights)))
    call.require(weights.data.shape == packed, "packed weights", str(packed), weights.data.shape)


def _require_bias(call: Call, bias: Value, outputs: int) -> None:
    kinds = ("float32",) if call.input(0).encoding is None else ("float32", "int32")
    coded = bias.encoding is not None and "int32" in kinds
    expected = f"{' or '.join(kinds)} [{outputs}]"
    fits = bias.shape == (outputs,) and (bias.dtype in kinds or coded)
    call.require(fits, "bias", expected, f"{bias.dtype} {bias.shape}")
    if coded:
        call.require(bias.data is not None, "a bias of codes", "a constant", "a value computed at run time")
        x, w = (encoding_of(call, call.input(index)) for index in range(2))
        parts_of_bias(bias, np.broadcast_to(x.integer_scale()[0] * w.integer_scale(), (outputs,)))


def _require_end(call: Call) -> None:
    thresholds, target = call.optional(3), _target(call)
    if thresholds is not None:
        reads_codes = call.input(0).encoding is not None
        call.require(reads_codes, "thresholds of a layer that reads floats", "none", "an input")
        call.require(target is not None, "the output of a layer with thresholds", "codes", "floats")
        assert target is not None
        require_thresholds(call, thresholds, target)
    elif target is not None:
        call.require(target.rounds, "codes without thresholds", "an encoding that rounds", target.scheme)
        call.require(call.input(0).encoding is not None, "codes of a layer that reads floats", "none", "some")
        require_clip(call, target)
        call.require(target.channels == 1, "output encoding", "one set of parameters", target.channels)


def _target(call: Call) -> Encoding | None:
    """Return the encoding of the output, if it has one."""
    value = call.graph.values.get(call.node.outputs[0])
    return None if value is None else value.encoding


def _output_dtype(call: Call) -> str:
    target = _target(call)
    return "float32" if target is None else code_dtype(target)


def _linear(
    call: Call, array: Array, weights: Array, bias: Array, thresholds: Array | None = None
) -> list[Array]:
    source, packed, activation = call.input(0).encoding, call.input(1), call.text("activation")
    if source is None:
        exact = array.astype(np.float64) @ weight_levels(packed).T + bias.astype(np.float64)
        return [real_output(exact, activation)]
    if not (source.snapped and encoding_of(call, packed).snapped):
        return _free_linear(call, source.levels()[0][array.astype(np.intp)], bias, thresholds)
    layer = deployed_layer(source, packed, _bias(call, bias))
    levels = layer.input_levels.astype(np.float64)[array.astype(np.intp)]
    sums = levels @ layer.weights.T.astype(np.float64)
    steps = None if thresholds is None else layer.integer_thresholds(thresholds)
    return [_ended(call, sums, layer, layer.bias, steps)]


def _free_linear(call: Call, levels: Floats, bias: Array, thresholds: Array | None) -> list[Array]:
    """A layer with a free, real-valued basis: the same sum in float64, compared with ``u_c`` itself."""
    exact = levels @ weight_levels(call.input(1)).T + bias.astype(np.float64)
    if thresholds is None:
        return [real_output(exact, call.text("activation"))]
    order = encoding_of(call, call.output()).code_of_rank()
    return [rank_encode(exact.astype(np.float32), np.asarray(thresholds, np.float32)[None], order)]


def _convolution(
    call: Call, array: Array, weights: Array, bias: Array, thresholds: Array | None = None
) -> list[Array]:
    source, packed, window = call.input(0).encoding, call.input(1), _window(call)
    if source is None:
        factors = weight_levels(packed).reshape([int(extent) for extent in packed.shape])
        exact = sum_windows(array, factors, window, call.integer("group")) + bias.astype(np.float64)
        return [_channels_first(real_output(exact, call.text("activation")))]
    constants = deployed_convolution(source, packed, _bias(call, bias), window)
    layer, rows, columns = constants.layer, constants.row_class[:, None], constants.column_class[None, :]
    sums = convolve(layer.input_levels, constants.weights, array, window, call.integer("group"))
    steps = None if thresholds is None else constants.integer_thresholds(thresholds)[rows, columns]
    return [_channels_first(_ended(call, sums, layer, constants.bias[rows, columns], steps))]


def _bias(call: Call, array: Array) -> Value | Array:
    return array if call.input(2).encoding is None else call.input(2)


def _ended(
    call: Call,
    sums: npt.NDArray[np.floating],
    layer: DeployedLayer,
    bias: Floats,
    steps: npt.NDArray[np.signedinteger] | None,
) -> Array:
    """Return what a layer gives for its sums ``[..., o]``: whole numbers that float64 holds exactly.

    Args:
        call: the layer.
        sums: without what is added to them.
        layer: scale and addend.
        bias: ``bias64``, ``[..., o]``.
        steps: integer thresholds ``[..., o, steps]``, where there are some.
    """
    accumulators, target = np.asarray(sums, np.float64) + layer.addend, _target(call)
    if steps is not None:
        assert target is not None
        return np.asarray(target.code_of_rank()[0][_ranks(accumulators, steps)])
    real = layer.scale * accumulators + bias
    if target is None:
        return real_output(real, call.text("activation"))
    return target.encode(apply_activation(call.text("activation"), real))


def _ranks(sums: Floats, steps: npt.NDArray[np.signedinteger]) -> npt.NDArray[np.uint16]:
    """Return how many thresholds are below each sum."""
    ranks = np.zeros(sums.shape, np.uint16)
    for step in range(steps.shape[-1]):
        ranks += sums > steps[..., step]
    return ranks


def _window(call: Call) -> Window:
    kernel = tuple(int(extent) for extent in call.input(1).shape[1:3])
    rows, columns = windows_of(call, kernel)
    return rows, columns


def _channels_first(maps: Array) -> Array:
    return np.ascontiguousarray(maps.transpose(0, 3, 1, 2))


_INPUTS = "input weights bias thresholds?"

register(
    "Linear",
    _INPUTS,
    domain="lowbit",
    infer=_infer_linear,
    evaluate=_linear,
    traits=Trait.LAYER,
    activation="none",
)
register(
    "Convolution",
    _INPUTS,
    domain="lowbit",
    infer=_infer_convolution,
    evaluate=_convolution,
    traits=Trait.LAYER | Trait.WINDOW,
    group=1,
    activation="none",
    **WINDOW,
)
