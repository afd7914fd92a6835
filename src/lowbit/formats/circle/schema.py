"""The tables of a Circle file (and of TFLite, its subset), declared once.

Source: ``circle_schema.fbs`` 0.10 of Samsung/ONE and ``schema.fbs`` of TensorFlow Lite. Only what
lowbit reads or writes is declared; unknown slots are skipped, unknown option tags read as None.
"""
# ruff: noqa: RUF009 (the defaults are declarations, made by functions that return dataclass fields)

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.formats.circle.foreign_options import FOREIGN_OPTIONS, OPTIONS_2
from lowbit.formats.circle.operator_names import BUILTIN
from lowbit.formats.tables import array, integers, scalar, string, table, tables, union

Bytes = npt.NDArray[np.uint8]

CIRCLE, TFLITE = b"CIR0", b"TFL3"
BUFFER_ALIGNMENT = 64

TENSOR_TYPES = {
    "float32": 0,
    "float16": 1,
    "int32": 2,
    "uint8": 3,
    "int64": 4,
    "bool": 6,
    "int16": 7,
    "int8": 9,
    "float64": 10,
    "uint32": 15,
    "uint16": 16,
    "int4": 17,
}

OPERATORS = {name: code for code, name in enumerate(BUILTIN)}
"""The code of every builtin operator."""

FUSED_ACTIVATIONS: dict[int, tuple[str, tuple[float, ...]]] = {
    0: ("", ()),
    1: ("Relu", ()),
    2: ("Clip", (-1.0, 1.0)),
    3: ("Clip", (0.0, 6.0)),
    4: ("Tanh", ()),
}
"""The values of ``ActivationFunctionType`` that the graph has an operator for: that, and its constants."""

CUSTOM_OPERATOR, CONVOLUTION_OPERATOR = "LQFullyConnected", "LQConv"
POWER_OPERATORS = ("Pow2FullyConnected", "Pow2Conv")
CONVOLUTION_OPERATORS = (CONVOLUTION_OPERATOR, POWER_OPERATORS[1])
LAYER_OPERATORS = (CUSTOM_OPERATOR, CONVOLUTION_OPERATOR, *POWER_OPERATORS)

SAME, VALID = 0, 1
"""The values of ``Padding``."""

THESIS_OPERATOR = 200
"""Operator code and option tag of LQFullyConnected in the published system (one unsigned byte)."""


@dataclass(frozen=True)
class FullyConnectedOptions:
    """Options of FULLY_CONNECTED."""

    fused_activation_function: int = scalar("b")
    weights_format: int = scalar("b")
    keep_num_dims: bool = scalar("?", False)
    asymmetric_quantize_inputs: bool = scalar("?", False)
    quantized_bias_type: int = scalar("b")


@dataclass(frozen=True)
class SoftmaxOptions:
    """Options of SOFTMAX: ``softmax(beta * x)``."""

    beta: float = scalar("f", 0.0)


@dataclass(frozen=True)
class ElementwiseOptions:
    """Options of ADD, MUL, SUB and DIV, whose first slot is the same."""

    fused_activation_function: int = scalar("b")


@dataclass(frozen=True)
class AddOptions(ElementwiseOptions):
    """Options of ADD."""


@dataclass(frozen=True)
class MulOptions(ElementwiseOptions):
    """Options of MUL."""


@dataclass(frozen=True)
class SubOptions(ElementwiseOptions):
    """Options of SUB."""


@dataclass(frozen=True)
class DivOptions(ElementwiseOptions):
    """Options of DIV."""


@dataclass(frozen=True)
class Conv2DOptions:
    """Options of CONV_2D."""

    padding: int = scalar("b")
    stride_w: int = scalar("i")
    stride_h: int = scalar("i")
    fused_activation_function: int = scalar("b")
    dilation_w_factor: int = scalar("i", 1)
    dilation_h_factor: int = scalar("i", 1)


@dataclass(frozen=True)
class DepthwiseConv2DOptions:
    """Options of DEPTHWISE_CONV_2D."""

    padding: int = scalar("b")
    stride_w: int = scalar("i")
    stride_h: int = scalar("i")
    depth_multiplier: int = scalar("i")
    fused_activation_function: int = scalar("b")
    dilation_w_factor: int = scalar("i", 1)
    dilation_h_factor: int = scalar("i", 1)


@dataclass(frozen=True)
class Pool2DOptions:
    """Options of MAX_POOL_2D and AVERAGE_POOL_2D."""

    padding: int = scalar("b")
    stride_w: int = scalar("i")
    stride_h: int = scalar("i")
    filter_width: int = scalar("i")
    filter_height: int = scalar("i")
    fused_activation_function: int = scalar("b")


@dataclass(frozen=True)
class ConcatenationOptions:
    """Options of CONCATENATION."""

    axis: int = scalar("i")
    fused_activation_function: int = scalar("b")


@dataclass(frozen=True)
class ReducerOptions:
    """Options of MEAN and REDUCE_MAX."""

    keep_dims: bool = scalar("?", False)


@dataclass(frozen=True)
class PadOptions:
    """PAD has none."""


@dataclass(frozen=True)
class PadV2Options:
    """PADV2 has none."""


@dataclass(frozen=True)
class MaximumMinimumOptions:
    """MAXIMUM and MINIMUM have none."""


@dataclass(frozen=True)
class HardSwishOptions:
    """HARD_SWISH has none."""


@dataclass(frozen=True)
class LeakyReluOptions:
    """Options of LEAKY_RELU: the slope below zero."""

    alpha: float = scalar("f")


@dataclass(frozen=True)
class TransposeOptions:
    """TRANSPOSE has none."""


@dataclass(frozen=True)
class ReshapeOptions:
    """Options of RESHAPE; the second input, where there is one, wins."""

    new_shape: tuple[int, ...] = integers()


@dataclass(frozen=True)
class SqueezeOptions:
    """Options of SQUEEZE: the axes, all of length 1 where there are none."""

    squeeze_dims: tuple[int, ...] = integers()


@dataclass(frozen=True)
class PackOptions:
    """Options of PACK."""

    values_count: int = scalar("i")
    axis: int = scalar("i")


@dataclass(frozen=True)
class StridedSliceOptions:
    """Options of STRIDED_SLICE: one bit per axis."""

    begin_mask: int = scalar("i")
    end_mask: int = scalar("i")
    ellipsis_mask: int = scalar("i")
    new_axis_mask: int = scalar("i")
    shrink_axis_mask: int = scalar("i")
    offset: bool = scalar("?", False)


@dataclass(frozen=True)
class LogSoftmaxOptions:
    """LOG_SOFTMAX has none."""


@dataclass(frozen=True)
class DequantizeOptions:
    """DEQUANTIZE has none."""


@dataclass(frozen=True)
class QuantizeOptions:
    """QUANTIZE has none."""


@dataclass(frozen=True)
class ThesisOptions:
    """Options of LQFullyConnected in the published system: the slots of BCQFullyConnectedOptions."""

    weights_hidden_size: int = scalar("i")
    fused_activation_function: int = scalar("b")


OPTIONS: dict[int, type] = {
    **FOREIGN_OPTIONS,
    1: Conv2DOptions,
    2: DepthwiseConv2DOptions,
    5: Pool2DOptions,
    8: FullyConnectedOptions,
    9: SoftmaxOptions,
    10: ConcatenationOptions,
    11: AddOptions,
    17: ReshapeOptions,
    21: MulOptions,
    22: PadOptions,
    26: TransposeOptions,
    27: ReducerOptions,
    28: SubOptions,
    29: DivOptions,
    30: SqueezeOptions,
    32: StridedSliceOptions,
    36: LogSoftmaxOptions,
    38: DequantizeOptions,
    39: MaximumMinimumOptions,
    43: PadV2Options,
    59: PackOptions,
    75: LeakyReluOptions,
    89: QuantizeOptions,
    91: HardSwishOptions,
    THESIS_OPERATOR: ThesisOptions,
}
"""Tags of the union ``BuiltinOptions``."""


@dataclass(frozen=True)
class QuantizationParameters:
    """Affine quantization: ``real = scale * (q - zero_point)``, per tensor or per channel."""

    min: npt.NDArray[np.float32] | None = array("f")
    max: npt.NDArray[np.float32] | None = array("f")
    scale: npt.NDArray[np.float32] | None = array("f")
    zero_point: npt.NDArray[np.int64] | None = array("q", alignment=8)
    quantized_dimension: int = scalar("i", slot=6)


@dataclass(frozen=True)
class Int32Vector:
    """Numbers of a sparse constant."""

    values: npt.NDArray[np.int32] | None = array("i")


@dataclass(frozen=True)
class Uint16Vector:
    """The same in fewer bytes."""

    values: npt.NDArray[np.uint16] | None = array("H")


@dataclass(frozen=True)
class Uint8Vector:
    """The same in the fewest."""

    values: Bytes | None = array("B")


INDICES: dict[int, type] = {1: Int32Vector, 2: Uint16Vector, 3: Uint8Vector}
"""Tags of the union ``SparseIndexVector``."""


@dataclass(frozen=True)
class DimensionMetadata:
    """A level of a sparse constant: dense (format 0), or the places of what is not zero (1)."""

    format: int = scalar("b")
    dense_size: int = scalar("i")
    segments: Any = union(INDICES)
    indices: Any = union(INDICES)


@dataclass(frozen=True)
class Sparsity:
    """How a sparse constant is stored: the order of its levels, and what they are."""

    traversal_order: tuple[int, ...] = integers()
    block_map: tuple[int, ...] = integers()
    dimensions: tuple[DimensionMetadata, ...] = tables(DimensionMetadata)


@dataclass(frozen=True)
class Tensor:
    """A value: shape, type, name, and the index of the buffer with its constant data (0 for none)."""

    shape: tuple[int, ...] = integers()
    type: int = scalar("b")
    buffer: int = scalar("I")
    name: str = string()
    quantization: QuantizationParameters | None = table(QuantizationParameters)
    shape_signature: tuple[int, ...] = integers(slot=7)
    sparsity: Sparsity | None = table(Sparsity, slot=6)
    is_variable: bool = scalar("?", False, slot=5)


@dataclass(frozen=True)
class OperatorCode:
    """Which operator: a code, or a name when the code is CUSTOM."""

    deprecated_builtin_code: int = scalar("b")
    custom_code: str = string()
    version: int = scalar("i", 1)
    builtin_code: int = scalar("i")


@dataclass(frozen=True)
class Operator:
    """One node: index into the operator codes, tensor indices (-1 for an absent input), options."""

    opcode_index: int = scalar("I")
    inputs: tuple[int, ...] = integers()
    outputs: tuple[int, ...] = integers()
    builtin_options: Any = union(OPTIONS)
    custom_options: Bytes | None = array("B")
    custom_options_format: int = scalar("b")
    builtin_options_2: Any = union(OPTIONS_2, slot=11)


@dataclass(frozen=True)
class SubGraph:
    """A graph. Operators stand in an order in which they can run."""

    tensors: tuple[Tensor, ...] = tables(Tensor)
    inputs: tuple[int, ...] = integers()
    outputs: tuple[int, ...] = integers()
    operators: tuple[Operator, ...] = tables(Operator)
    name: str = string()


@dataclass(frozen=True)
class Buffer:
    """Constant data, inline and aligned, or (large files) ``size`` bytes at ``offset`` of the file."""

    data: Bytes | None = array("B", alignment=BUFFER_ALIGNMENT)
    offset: int = scalar("Q")
    size: int = scalar("Q")


@dataclass(frozen=True)
class Metadata:
    """A named buffer for tools."""

    name: str = string()
    buffer: int = scalar("I")


@dataclass(frozen=True)
class Model:
    """The root table. Buffer 0 is empty by convention."""

    version: int = scalar("I")
    operator_codes: tuple[OperatorCode, ...] = tables(OperatorCode)
    subgraphs: tuple[SubGraph, ...] = tables(SubGraph)
    description: str = string()
    buffers: tuple[Buffer, ...] = tables(Buffer)
    metadata: tuple[Metadata, ...] = tables(Metadata, slot=6)
