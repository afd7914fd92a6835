"""Makes a static int8 ``.tflite`` of a float fully connected network, for the LiteRT peer.

Weights: symmetric int8 per output channel. Activations: asymmetric int8 per tensor, from the smallest
and largest value that a few samples reach. Bias: int32 with scale ``s_x * s_w``. Tanh, sigmoid and
softmax have the output scales that TensorFlow Lite prescribes (1/128, 1/256). Batch 1.
Source: the TensorFlow Lite 8-bit quantization specification.
"""

from dataclasses import dataclass
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
    FullyConnectedOptions,
    Model,
    Operator,
    OperatorCode,
    QuantizationParameters,
    SoftmaxOptions,
    SubGraph,
    Tensor,
)
from lowbit.formats.flatbuffer_writer import write_flatbuffer
from lowbit.ir import Graph, run_passes
from lowbit.ir.activations import apply_activation
from lowbit.ir.passes import fold_constants, fuse_linear, is_linear

Floats = npt.NDArray[np.float32]

VERSIONS = {
    "FULLY_CONNECTED": 5,
    "TANH": 2,
    "RELU": 2,
    "LOGISTIC": 2,
    "SOFTMAX": 2,
    "QUANTIZE": 1,
    "DEQUANTIZE": 2,
}
FIXED_OUTPUT = {"TANH": (1 / 128, 0), "LOGISTIC": (1 / 256, -128), "SOFTMAX": (1 / 256, -128)}
_OPERATORS = {"Tanh": "TANH", "Relu": "RELU", "Sigmoid": "LOGISTIC", "Softmax": "SOFTMAX"}
_CALIBRATION_SAMPLES = 256


@dataclass(frozen=True)
class Dense:
    """A float layer: weights ``[o, n]``, bias ``[o]``, and the operator behind it ("" for none)."""

    weights: Floats
    bias: Floats
    activation: str = ""


def tflite_of(model: Path, *, seed: int = 0, float_io: bool = True) -> bytearray:
    """Return a static int8 ``.tflite`` file of a float network, ranges from uniform samples in [0, 1).

    Its speed does not depend on the ranges. For accuracy give real samples to `int8_tflite`.

    Raises:
        UnsupportedError: the network is not a chain of fully connected layers and activations.
    """
    layers = dense_layers(read_model(model))
    samples = np.random.default_rng(seed).random(
        (_CALIBRATION_SAMPLES, layers[0].weights.shape[1]), np.float32
    )
    return int8_tflite(layers, samples, float_io=float_io)


def dense_layers(graph: Graph) -> list[Dense]:
    """Return the layers of a chain of products and activations, in order.

    Raises:
        UnsupportedError: the graph has other operators.
    """
    plain = run_passes(graph, [fold_constants, fuse_linear]).graph
    layers: list[Dense] = []
    for node in plain.nodes:
        if is_linear(plain, node):
            weights, bias = (np.asarray(plain.constant(name), np.float32) for name in node.inputs[1:])
            layers.append(Dense(weights, bias))
        elif node.op in _OPERATORS and layers and not layers[-1].activation:
            layers[-1] = Dense(layers[-1].weights, layers[-1].bias, _OPERATORS[node.op])
        elif node.op not in ("Flatten", "Reshape"):
            raise UnsupportedError(
                "the int8 peer is made of chains of fully connected layers",
                where=node.name,
                expected=", ".join(["Gemm", *_OPERATORS]),
                found=node.op,
            )
    return layers


def int8_tflite(layers: list[Dense], samples: Floats, *, float_io: bool = True) -> bytearray:
    """Return a ``.tflite`` file of the layers, batch 1.

    Args:
        layers: in order.
        samples: float32 ``[m, n]``, to find the ranges of activations.
        float_io: True for float32 input and output, False for int8.
    """
    builder = _Builder()
    scale, zero_point = _asymmetric(samples)
    value = builder.tensor("input", (1, samples.shape[1]), "int8", scale, zero_point)
    if float_io:
        first = builder.tensor("input_float", (1, samples.shape[1]), "float32")
        builder.operator("QUANTIZE", (first,), (value,))
    else:
        first = value
    for index, layer in enumerate(layers):
        value, scale, samples = _dense(builder, index, layer, value, scale, samples)
    if float_io:
        last = builder.tensor("output_float", (1, samples.shape[1]), "float32")
        builder.operator("DEQUANTIZE", (value,), (last,))
        value = last
    return builder.file(first, value)


def _dense(
    builder: "_Builder", index: int, layer: Dense, value: int, scale: float, samples: Floats
) -> tuple[int, float, Floats]:
    """Add one layer; return its output tensor, that tensor's scale, and the float samples there."""
    weight_scale = (np.abs(layer.weights).max(axis=1) / 127).astype(np.float32)
    codes = np.rint(layer.weights / weight_scale[:, None]).astype(np.int8)
    bias_scale = weight_scale * np.float32(scale)
    bias = np.rint(layer.bias / bias_scale).astype(np.int32)
    weights = builder.constant(f"fc{index}/weights", codes, weight_scale)
    biases = builder.constant(f"fc{index}/bias", bias, bias_scale)
    samples = samples @ layer.weights.T + layer.bias
    fused = layer.activation == "RELU"
    samples = np.maximum(samples, 0) if fused else samples
    scale, zero_point = _asymmetric(samples)
    output = builder.tensor(f"fc{index}", (1, len(codes)), "int8", scale, zero_point)
    builder.operator(
        "FULLY_CONNECTED", (value, weights, biases), (output,), FullyConnectedOptions(1 if fused else 0)
    )
    if layer.activation in FIXED_OUTPUT:
        scale, zero_point = FIXED_OUTPUT[layer.activation]
        activated = builder.tensor(f"fc{index}/activation", (1, len(codes)), "int8", scale, zero_point)
        options = SoftmaxOptions(1.0) if layer.activation == "SOFTMAX" else None
        builder.operator(layer.activation, (output,), (activated,), options)
        output, samples = activated, _activated(layer.activation, samples)
    return output, scale, samples


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

    def constant(self, name: str, values: npt.NDArray[np.generic], scale: Floats) -> int:
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
