"""Writes the tables of TFLite files for tests, an operator after the other."""

from dataclasses import dataclass, field, replace

import numpy as np

from lowbit.formats.circle.schema import (
    OPERATORS,
    TENSOR_TYPES,
    TFLITE,
    Buffer,
    Model,
    Operator,
    OperatorCode,
    QuantizationParameters,
    SubGraph,
    Tensor,
)
from lowbit.formats.flatbuffer_writer import write_flatbuffer

_VERSIONS = {
    "BROADCAST_TO": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "DEQUANTIZE": 3,
    "FULLY_CONNECTED": 4,
    "RESHAPE": 1,
}


@dataclass
class Author:
    """Writes the tables of a file."""

    random: np.random.Generator
    tensors: list[Tensor] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=lambda: [Buffer()])
    operators: list[Operator] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    version: int = 2

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: str,
        quantization: QuantizationParameters | None = None,
        data: object = None,
    ) -> int:
        buffer = 0
        if data is not None:
            self.buffers.append(Buffer(np.ascontiguousarray(data).reshape(-1).view(np.uint8)))
            buffer = len(self.buffers) - 1
        self.tensors.append(Tensor(shape, TENSOR_TYPES[dtype], buffer, f"t{len(self.tensors)}", quantization))
        return len(self.tensors) - 1

    def variable(self, shape: tuple[int, ...]) -> int:
        """Return a state that an operator keeps."""
        made = self.tensor(shape, "float32")
        self.tensors[made] = replace(self.tensors[made], is_variable=True)
        return made

    def codes_of(self, shape: tuple[int, ...], scale: float, zero: int) -> int:
        return self.tensor(shape, "int8", parameters([scale], [zero]))

    def operator(self, name: str, inputs: tuple[int, ...], output: int, options: object = None) -> int:
        self.operator_of_several(name, inputs, (output,), options)
        return output

    def operator_of_several(
        self, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...], options: object = None
    ) -> None:
        if name not in self.codes:
            self.codes.append(name)
        self.operators.append(Operator(self.codes.index(name), inputs, outputs, options))

    def integers(self, *numbers: int) -> int:
        return self.tensor((len(numbers),), "int32", None, np.array(numbers, np.int32))

    def weights(self, shape: tuple[int, ...], axis: int, source: int, bound: float) -> tuple[int, int]:
        """Return int8 weights with a scale for each output, and their int32 bias."""
        outputs = shape[axis]
        scales = self.random.uniform(0.5, 1, outputs).astype(np.float32) * bound / 127
        codes = self.random.integers(-127, 128, shape).astype(np.int8)
        made = self.tensor(shape, "int8", parameters(scales, [0] * outputs, axis), codes)
        (own,) = self.tensors[source].quantization.scale  # type: ignore[union-attr, misc]
        biases = self.random.integers(-200, 200, outputs).astype(np.int32)
        return made, self.tensor((outputs,), "int32", parameters(scales * own, [0] * outputs), biases)

    def content(self, source: int, target: int) -> bytes:
        return self.content_of((source,), (target,))

    def subgraph(self, sources: tuple[int, ...], targets: tuple[int, ...]) -> SubGraph:
        return SubGraph(tuple(self.tensors), sources, targets, tuple(self.operators), "main")

    def content_of(self, sources: tuple[int, ...], targets: tuple[int, ...], *called: SubGraph) -> bytes:
        codes = tuple(
            OperatorCode(min(OPERATORS[name], 127), "", _VERSIONS.get(name, self.version), OPERATORS[name])
            for name in self.codes
        )
        graphs = (self.subgraph(sources, targets), *called)
        return bytes(write_flatbuffer(Model(3, codes, graphs, "test", tuple(self.buffers)), TFLITE))


def parameters(scale: object, zero: object, axis: int = 0) -> QuantizationParameters:
    scales, zeros = np.array(scale, np.float32), np.array(zero, np.int64)
    return QuantizationParameters(scale=scales, zero_point=zeros, quantized_dimension=axis)
