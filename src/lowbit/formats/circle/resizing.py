"""Builtin operators that make maps of other lengths: resizes, transposed convolutions, matrix products."""

from collections.abc import Callable

import numpy as np

from lowbit.formats.circle.file_tensors import unsupported
from lowbit.formats.circle.foreign_options import (
    BatchMatMulOptions,
    LocalResponseNormalizationOptions,
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
    TransposeConvOptions,
)
from lowbit.formats.circle.functions import operand
from lowbit.formats.circle.importer import Importer, options_of
from lowbit.formats.circle.moving import numbers
from lowbit.formats.circle.schema import SAME, VALID, Operator
from lowbit.formats.circle.structure import require
from lowbit.ir.graph import Attribute, Shape

Import = Callable[[Importer, Operator, str], None]

MAX_LENGTH = 2**16
MAX_CHANNELS = 2**11
_NATIVE_SAME = 1
"""How a custom operator's own options, a struct of three int32, say SAME."""


def resize(mode: str) -> Import:
    """Return what imports RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR."""
    default = ResizeBilinearOptions() if mode == "linear" else ResizeNearestNeighborOptions()

    def run(importer: Importer, operator: Operator, place: str) -> None:
        options, source, output = options_of(operator, default), operator.inputs[0], operator.outputs[0]
        lengths = [int(length) for length in numbers(importer, operator.inputs[1], "lengths", place)]
        fits = len(lengths) == 2 and all(1 <= length <= MAX_LENGTH for length in lengths)
        require(fits, "lengths of a resize are impossible", place, "2 from 1 on", lengths)
        coordinates = "half_pixel" if options.half_pixel_centers else "asymmetric"
        coordinates = "align_corners" if options.align_corners else coordinates
        attributes: dict[str, Attribute] = {"mode": mode, "coordinate_transformation_mode": coordinates}
        if mode == "nearest":
            attributes["nearest_mode"] = "floor" if coordinates == "asymmetric" else "round_prefer_ceil"
        attributes["axes"] = (2, 3)
        sizes = importer.integers(lengths, f"{importer.name(output)}_sizes")
        operands = (importer.real(source, as_map=True), "", "", sizes)
        importer.compute("Resize", operands, output, as_map=True, attributes=attributes)

    return run


def transposed_convolution(importer: Importer, operator: Operator, place: str) -> None:
    """TRANSPOSE_CONV: the shape of the result, weights [o, h, w, c], the map, and perhaps a bias."""
    options = options_of(operator, TransposeConvOptions())
    wanted = numbers(importer, operator.inputs[0], "the shape of the result", place)
    require(len(wanted) == 4, "the shape of the result is none", place, "[n, h, w, c]", wanted)
    strides = (options.stride_h, options.stride_w)
    same, code = options.padding == SAME, options.fused_activation_function
    require(options.padding in (SAME, VALID), "unknown padding", place, "SAME or VALID", options.padding)
    lengths = [int(wanted[1]), int(wanted[2])]
    bias = operator.inputs[3:4]
    _transposed(
        importer,
        operator,
        (operator.inputs[2], operator.inputs[1], *bias),
        strides,
        same,
        lengths,
        code,
        place,
    )


def transposed_with_bias(importer: Importer, operator: Operator, place: str) -> None:
    """Convolution2DTransposeBias, MediaPipe's own: map, weights [o, h, w, c], bias; padding and strides."""
    content = b"" if operator.custom_options is None else operator.custom_options.tobytes()
    require(len(content) >= 12, "the operator has no options", place, "12 bytes", len(content))
    padding, stride_w, stride_h = (int(number) for number in np.frombuffer(content[:12], "<i4"))
    require(min(stride_w, stride_h) >= 1, "a stride is impossible", place, "1 or more", (stride_h, stride_w))
    strides, same = (stride_h, stride_w), padding == _NATIVE_SAME
    before, kernel = (
        _lengths(importer, operator.inputs[0], place),
        importer.tensor(operator.inputs[1]).shape[1:3],
    )
    lengths = [n * s if same else (n - 1) * s + k for n, s, k in zip(before, strides, kernel, strict=False)]
    _transposed(importer, operator, operator.inputs[:3], strides, same, lengths, 0, place)


def _transposed(
    importer: Importer,
    operator: Operator,
    indices: tuple[int, ...],
    strides: tuple[int, int],
    same: bool,
    lengths: list[int],
    code: int,
    place: str,
) -> None:
    source, weights, output = indices[0], indices[1], operator.outputs[0]
    shape = importer.tensor(weights).shape
    require(len(shape) == 4 and 0 not in shape, "weights have the wrong rank", place, "[o, h, w, c]", shape)
    fits = min(strides) >= 1 and all(1 <= length <= MAX_LENGTH for length in lengths)
    require(fits, "a transposed convolution is impossible", place, "strides and lengths from 1 on", lengths)
    before = _lengths(importer, source, place)
    reach = [(n - 1) * s + k for n, s, k in zip(before, strides, shape[1:3], strict=True)]
    cut = [max(r - n, 0) if same else 0 for r, n in zip(reach, lengths, strict=True)]
    first = [total // 2 for total in cut]
    rest = [r - b - n for r, b, n in zip(reach, first, lengths, strict=True)]
    attributes: dict[str, Attribute] = {
        "strides": strides,
        "pads": (*first, *(max(number, 0) for number in rest)),
        "output_padding": tuple(max(-number, 0) for number in rest),
    }
    operands = [importer.real(source, as_map=True), importer.moved_constant(weights, (3, 0, 1, 2), place)]
    operands += [importer.float_constant(index) for index in indices[2:] if index >= 0]
    importer.compute(
        "ConvTranspose", tuple(operands), output, code=code, as_map=True, attributes=attributes, place=place
    )


def _lengths(importer: Importer, index: int, place: str) -> list[int]:
    shape: Shape = importer.shape(index)
    lengths = [length for length in shape[1:3] if isinstance(length, int)]
    if len(shape) != 4 or len(lengths) != 2:
        raise unsupported("a map has open lengths", place, "fixed height and width", shape)
    return lengths


def product(importer: Importer, operator: Operator, place: str) -> None:
    """BATCH_MATMUL: either operand may be transposed."""
    options = options_of(operator, BatchMatMulOptions())
    operands = []
    for index, turns in zip(operator.inputs, (options.adjoint_lhs, options.adjoint_rhs), strict=True):
        name, rank = operand(importer, index, False, place), len(importer.shape(index))
        require(rank >= 2, "a matrix has the wrong rank", place, "2 or more", rank)
        if turns:
            order = (*range(rank - 2), rank - 1, rank - 2)
            name = importer.insert("Transpose", (name,), importer.name(operator.outputs[0]), perm=order)
        operands.append(name)
    importer.compute("MatMul", tuple(operands), operator.outputs[0])


def local_normalization(importer: Importer, operator: Operator, place: str) -> None:
    """LOCAL_RESPONSE_NORMALIZATION: x (bias + alpha sum x^2)^-beta over channels at most a radius away."""
    options = options_of(operator, LocalResponseNormalizationOptions())
    source, stem = importer.real(operator.inputs[0], as_map=True), importer.name(operator.outputs[0])
    channels = importer.graph.value(source).shape[1]
    if not isinstance(channels, int) or channels > MAX_CHANNELS:
        raise unsupported("a normalization of these channels", place, f"at most {MAX_CHANNELS}", channels)
    apart = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels)))
    weights = (options.alpha * (apart <= options.radius)).astype(np.float32)[:, :, None, None]
    band = importer.add_constant(f"{stem}_band", weights)
    bias = importer.add_constant(f"{stem}_bias", np.full(channels, options.bias, np.float32))
    total = importer.insert("Conv", (importer.insert("Mul", (source, source), stem), band, bias), stem)
    power = importer.add_constant(f"{stem}_power", np.float32(-options.beta))
    factor = importer.insert("Pow", (total, power), stem)
    importer.compute("Mul", (source, factor), operator.outputs[0], as_map=True)
