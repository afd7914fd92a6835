"""Makes a static int8 ``.tflite`` of a float network, for the LiteRT peer: a chain of layers.

Weights: symmetric int8 per output channel. Activations: asymmetric int8 per tensor, from the smallest
and largest value that a few samples reach. Bias: int32 with scale ``s_x * s_w``. Tanh, sigmoid and
softmax have the output scales that TensorFlow Lite prescribes (1/128, 1/256). Batch 1.
Source: the TensorFlow Lite 8-bit quantization specification.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lowbit.errors import UnsupportedError
from lowbit.formats import read_model
from lowbit.formats.circle.schema import (
    OPERATORS,
    TENSOR_TYPES,
    TFLITE,
    Buffer,
    Conv2DOptions,
    FullyConnectedOptions,
    Model,
    Operator,
    OperatorCode,
    Pool2DOptions,
    QuantizationParameters,
    ReshapeOptions,
    SoftmaxOptions,
    SubGraph,
    Tensor,
)
from lowbit.formats.flatbuffer_writer import write_flatbuffer
from lowbit.ir import Graph, Node, Trait, has, run_passes
from lowbit.ir.activations import apply_activation
from lowbit.ir.passes import NORMAL_FORM, is_convolution, is_linear

Floats = npt.NDArray[np.float32]

VERSIONS = {
    "CAST": 1,
    "CONV_2D": 3,
    "MAX_POOL_2D": 2,
    "FULLY_CONNECTED": 5,
    "RESHAPE": 1,
    "TANH": 2,
    "RELU": 2,
    "LOGISTIC": 2,
    "SOFTMAX": 2,
    "QUANTIZE": 1,
    "DEQUANTIZE": 2,
}
FIXED_OUTPUT = {"TANH": (1 / 128, 0), "LOGISTIC": (1 / 256, -128), "SOFTMAX": (1 / 256, -128)}
_OPERATORS = {"Tanh": "TANH", "Relu": "RELU", "Sigmoid": "LOGISTIC", "Softmax": "SOFTMAX"}
_CALIBRATION_SAMPLES, _CALIBRATION_MAPS = 256, 4


@dataclass(frozen=True)
class Dense:
    """A float layer: weights ``[o, n]``, bias ``[o]``, and the operator behind it ("" for none)."""

    weights: Floats
    bias: Floats
    activation: str = ""


@dataclass(frozen=True)
class Convolution(Dense):
    """The same over maps: weights ``[o, h, w, c]``; padded with zeros to the same size, or not."""

    same: bool = True


@dataclass(frozen=True)
class MaxPool:
    """The largest of every window of `size`, side by side."""

    size: int


Layer = Dense | MaxPool


def tflite_of(model: Path, *, seed: int = 0, ends: str = "float32") -> bytearray:
    """Return a static int8 ``.tflite`` file of a float network, ranges from uniform samples in [0, 1).

    Its speed does not depend on the ranges. For accuracy give real samples to `int8_tflite`.

    Raises:
        UnsupportedError: the network is not a chain of fully connected layers and activations.
    """
    graph = read_model(model)
    layers, shape = chain(graph), [int(n) for n in graph.value(graph.inputs[0]).shape[1:]]
    maps = len(shape) == 3
    count = _CALIBRATION_MAPS if maps else _CALIBRATION_SAMPLES
    lengths = [shape[1], shape[2], shape[0]] if maps else shape
    samples = np.random.default_rng(seed).random((count, *lengths), np.float32)
    return int8_tflite(layers, samples, ends=ends)


def chain(graph: Graph) -> list[Layer]:
    """Return the layers of a chain of products, activations and pools, in order.

    Raises:
        UnsupportedError: the graph has other operators, or windows that have no name in the format.
    """
    plain = run_passes(graph, list(NORMAL_FORM)).graph
    layers: list[Layer] = []
    for node in plain.nodes:
        last = layers[-1] if layers else None
        if is_linear(plain, node):
            layers.append(_dense_layer(plain, node))
        elif is_convolution(plain, node):
            layers.append(_convolution_layer(plain, node))
        elif node.op == "MaxPool" and _is_plain_pool(node):
            layers.append(MaxPool(node.attributes["kernel_shape"][0]))  # type: ignore[index,arg-type]
        elif node.op in _OPERATORS and isinstance(last, Dense) and not last.activation:
            layers[-1] = replace(last, activation=_OPERATORS[node.op])
        elif not has(node, Trait.KEEPS_ORDER):
            raise _unsupported(node, node.op)
    return layers


def _dense_layer(graph: Graph, node: Node) -> Dense:
    """Return a layer with its columns in the order of maps ``[h, w, c]`` where it reads one."""
    weights, bias = (np.asarray(graph.constant(name), np.float32) for name in node.inputs[1:])
    flatten = graph.producer(node.inputs[0])
    shape = graph.value(flatten.inputs[0]).shape if flatten is not None and flatten.op == "Flatten" else ()
    if len(shape) == 4:
        maps = weights.reshape(len(weights), *(int(n) for n in shape[1:]))
        weights = maps.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    return Dense(weights, bias)


def _convolution_layer(graph: Graph, node: Node) -> Convolution:
    weights, bias = (np.asarray(graph.constant(name), np.float32) for name in node.inputs[1:])
    attributes = node.attributes
    pads, height = attributes.get("pads") or (0, 0, 0, 0), weights.shape[2]
    same = tuple(pads) == (height // 2,) * 4 and weights.shape[2:] == (height, height)  # type: ignore[arg-type]
    steps = [*(attributes.get("strides") or (1, 1)), *(attributes.get("dilations") or (1, 1))]  # type: ignore[misc]
    if set(steps) != {1} or attributes.get("group", 1) != 1 or not (same or not any(pads)):  # type: ignore[arg-type]
        raise _unsupported(node, "strides, groups or uneven padding")
    return Convolution(np.ascontiguousarray(weights.transpose(0, 2, 3, 1)), bias, "", any(pads))  # type: ignore[arg-type]


def _is_plain_pool(node: Node) -> bool:
    sizes = {node.attributes.get("kernel_shape"), node.attributes.get("strides")}
    return len(sizes) == 1 and not any(node.attributes.get("pads") or ())  # type: ignore[arg-type]


def _unsupported(node: Node, found: str) -> UnsupportedError:
    return UnsupportedError(
        "the int8 peer is made of chains of plain layers",
        where=node.name,
        expected=f"layers, MaxPool, {', '.join(_OPERATORS)}",
        found=found,
    )


def int8_tflite(layers: Sequence[Layer], samples: Floats, *, ends: str = "float32") -> bytearray:
    """Return a ``.tflite`` file of the layers, batch 1.

    Args:
        layers: in order.
        samples: float32 ``[m, n]`` or ``[m, h, w, c]``, to find the ranges of activations.
        ends: type of input and output: float32, int8, or uint8, which are the codes of int8 moved by 128.
    """
    builder = _Builder()
    scale, zero_point = _asymmetric(samples)
    shape = (1, *samples.shape[1:])
    value = first = builder.tensor("input", shape, "int8", scale, zero_point)
    if ends != "int8":
        first = builder.end("input", shape, ends, scale, zero_point)
        builder.operator("QUANTIZE", (first,), (value,))
    for index, layer in enumerate(layers):
        if isinstance(layer, MaxPool):
            value, samples = _max_pool(builder, index, layer, value, samples)
        else:
            value, scale, samples = _dense(builder, index, layer, value, scale, samples)
    if ends != "int8":
        last = builder.end("output", (1, samples.shape[1]), ends, *builder.grid(value))
        builder.operator("DEQUANTIZE" if ends == "float32" else "QUANTIZE", (value,), (last,))
        value = last
    return builder.file(first, value)


def dynamic_range_tflite(layer: Dense) -> bytearray:
    """Return a ``.tflite`` of one layer with int8 weights and float32 input, which is coded at run time."""
    builder, scale = _Builder(), (np.abs(layer.weights).max(axis=1) / 127).astype(np.float32)
    codes = np.rint(layer.weights / scale[:, None]).astype(np.int8)
    first = builder.tensor("input", (1, codes.shape[1]), "float32")
    last = builder.tensor("output", (1, codes.shape[0]), "float32")
    constants = (builder.constant("weights", codes, scale), builder.constant("bias", layer.bias))
    options = FullyConnectedOptions(asymmetric_quantize_inputs=True)
    builder.operator("FULLY_CONNECTED", (first, *constants), (last,), options)
    return builder.file(first, last)


def _dense(
    builder: "_Builder", index: int, layer: Dense, value: int, scale: float, samples: Floats
) -> tuple[int, float, Floats]:
    """Add one layer; return its output tensor, that tensor's scale, and the float samples there."""
    rows = layer.weights.reshape(len(layer.weights), -1)
    weight_scale = (np.abs(rows).max(axis=1) / 127).astype(np.float32)
    codes = np.rint(rows / weight_scale[:, None]).astype(np.int8).reshape(layer.weights.shape)
    bias_scale = weight_scale * np.float32(scale)
    bias = np.rint(layer.bias / bias_scale).astype(np.int32)
    weights = builder.constant(f"fc{index}/weights", codes, weight_scale)
    biases = builder.constant(f"fc{index}/bias", bias, bias_scale)
    if not isinstance(layer, Convolution) and samples.ndim == 4:
        flat = builder.tensor(f"fc{index}/row", (1, rows.shape[1]), "int8", *builder.grid(value))
        builder.operator("RESHAPE", (value,), (flat,), ReshapeOptions((1, rows.shape[1])))
        value = flat
    samples = _products(layer, samples)
    fused = layer.activation == "RELU"
    samples = np.maximum(samples, 0) if fused else samples
    scale, zero_point = _asymmetric(samples)
    output = builder.tensor(f"fc{index}", (1, *samples.shape[1:]), "int8", scale, zero_point)
    function = 1 if fused else 0
    if isinstance(layer, Convolution):
        options: object = Conv2DOptions(0 if layer.same else 1, 1, 1, function, 1, 1)
        builder.operator("CONV_2D", (value, weights, biases), (output,), options)
    else:
        options = FullyConnectedOptions(function)
        builder.operator("FULLY_CONNECTED", (value, weights, biases), (output,), options)
    if layer.activation in FIXED_OUTPUT:
        scale, zero_point = FIXED_OUTPUT[layer.activation]
        activated = builder.tensor(f"fc{index}/activation", (1, len(codes)), "int8", scale, zero_point)
        softmax = SoftmaxOptions(1.0) if layer.activation == "SOFTMAX" else None
        builder.operator(layer.activation, (output,), (activated,), softmax)
        output, samples = activated, _activated(layer.activation, samples)
    return output, scale, samples


def _products(layer: Dense, samples: Floats) -> Floats:
    """Return the layer's sums; those of a convolution over windows ``[n, y, x, h, w, c]``."""
    if not isinstance(layer, Convolution):
        return np.asarray(samples.reshape(len(samples), -1) @ layer.weights.T + layer.bias, np.float32)
    outputs, height, width, _ = layer.weights.shape
    if layer.same:
        edges = ((0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0))
        samples = np.pad(samples, edges)
    windows = np.lib.stride_tricks.sliding_window_view(samples, (height, width), (1, 2)).transpose(
        0, 1, 2, 4, 5, 3
    )
    rows = windows.reshape(*windows.shape[:3], -1)
    return np.asarray(rows @ layer.weights.reshape(outputs, -1).T + layer.bias, np.float32)


def _max_pool(
    builder: "_Builder", index: int, layer: MaxPool, value: int, samples: Floats
) -> tuple[int, Floats]:
    """Add a pool, which keeps scale and zero point; return its output tensor and the float samples there."""
    size = layer.size
    height, width = (length // size * size for length in samples.shape[1:3])
    blocks = samples[:, :height, :width].reshape(
        len(samples), height // size, size, width // size, size, samples.shape[3]
    )
    pooled = blocks.max(axis=(2, 4))
    output = builder.tensor(f"pool{index}", (1, *pooled.shape[1:]), "int8", *builder.grid(value))
    options = Pool2DOptions(1, size, size, size, size, 0)
    builder.operator("MAX_POOL_2D", (value,), (output,), options)
    return output, pooled


def _activated(operator: str, values: Floats) -> Floats:
    if operator == "SOFTMAX":
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
    return apply_activation({"TANH": "tanh", "LOGISTIC": "sigmoid"}[operator], values).astype(np.float32)


def _asymmetric(values: Floats) -> tuple[float, int]:
    """Return (scale, zero point) of int8 over the range of the values, zero included."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    scale = float(np.float32((high - low) / 255))
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


class _Builder:
    """Collects tensors, buffers and operators."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.buffers = [Buffer()]
        self.operators: list[Operator] = []
        self.codes: list[str] = []

    def tensor(
        self, name: str, shape: tuple[int, ...], dtype: str, scale: float = 0, zero_point: int = 0
    ) -> int:
        quantization = None
        if scale:
            quantization = QuantizationParameters(
                scale=np.array([scale], np.float32), zero_point=np.array([zero_point], np.int64)
            )
        self.tensors.append(Tensor(shape, TENSOR_TYPES[dtype], 0, name, quantization))
        return len(self.tensors) - 1

    def end(self, name: str, shape: tuple[int, ...], dtype: str, scale: float, zero_point: int) -> int:
        """Add an input or output of another type than int8: float32, or uint8 with codes moved by 128."""
        if dtype == "float32":
            return self.tensor(f"{name}_float", shape, dtype)
        return self.tensor(f"{name}_{dtype}", shape, dtype, scale, zero_point + 128)

    def grid(self, index: int) -> tuple[float, int]:
        """Return scale and zero point of an int8 tensor."""
        given = self.tensors[index].quantization
        assert given is not None and given.scale is not None and given.zero_point is not None
        return float(given.scale[0]), int(given.zero_point[0])

    def constant(self, name: str, values: npt.NDArray[np.generic], scale: Floats | None = None) -> int:
        quantization = None
        if scale is not None:
            quantization = QuantizationParameters(scale=scale, zero_point=np.zeros(len(scale), np.int64))
        self.tensors.append(
            Tensor(values.shape, TENSOR_TYPES[values.dtype.name], len(self.buffers), name, quantization)
        )
        self.buffers.append(Buffer(np.frombuffer(values.tobytes(), np.uint8)))
        return len(self.tensors) - 1

    def operator(
        self, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...], options: object = None
    ) -> None:
        if name not in self.codes:
            self.codes.append(name)
        self.operators.append(Operator(self.codes.index(name), inputs, outputs, options))

    def file(self, first: int, last: int) -> bytearray:
        codes = tuple(
            OperatorCode(OPERATORS[name], version=VERSIONS[name], builtin_code=OPERATORS[name])
            for name in self.codes
        )
        graph = SubGraph(tuple(self.tensors), (first,), (last,), tuple(self.operators), "main")
        return write_flatbuffer(Model(3, codes, (graph,), "lowbit int8 peer", tuple(self.buffers)), TFLITE)
