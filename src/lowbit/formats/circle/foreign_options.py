"""Options of the TFLite operators that lowbit reads and does not write, as tables of the schema.

Operators without a row here have no options, or none that changes what they compute.
"""

from dataclasses import dataclass

from lowbit.formats.tables import scalar, string


@dataclass(frozen=True)
class L2NormOptions:
    """Options of L2_NORMALIZATION."""

    fused_activation_function: int = scalar("b")


@dataclass(frozen=True)
class LSTMOptions:
    """Options of LSTM, one step."""

    fused_activation_function: int = scalar("b")
    cell_clip: float = scalar("f", 0.0)
    proj_clip: float = scalar("f", 0.0)
    kernel_type: int = scalar("b")


@dataclass(frozen=True)
class LocalResponseNormalizationOptions:
    """Options of LOCAL_RESPONSE_NORMALIZATION."""

    radius: int = scalar("i")
    bias: float = scalar("f", 0.0)
    alpha: float = scalar("f", 0.0)
    beta: float = scalar("f", 0.0)


@dataclass(frozen=True)
class ResizeBilinearOptions:
    """Options of RESIZE_BILINEAR."""

    align_corners: bool = scalar("?", False, slot=2)
    half_pixel_centers: bool = scalar("?", False)


@dataclass(frozen=True)
class ResizeNearestNeighborOptions:
    """Options of RESIZE_NEAREST_NEIGHBOR."""

    align_corners: bool = scalar("?", False)
    half_pixel_centers: bool = scalar("?", False)


@dataclass(frozen=True)
class SpaceToDepthOptions:
    """Options of SPACE_TO_DEPTH."""

    block_size: int = scalar("i")


@dataclass(frozen=True)
class DepthToSpaceOptions:
    """Options of DEPTH_TO_SPACE."""

    block_size: int = scalar("i")


@dataclass(frozen=True)
class GatherOptions:
    """Options of GATHER."""

    axis: int = scalar("i")
    batch_dims: int = scalar("i")


@dataclass(frozen=True)
class SplitOptions:
    """Options of SPLIT."""

    num_splits: int = scalar("i")


@dataclass(frozen=True)
class SplitVOptions:
    """Options of SPLIT_V."""

    num_splits: int = scalar("i")


@dataclass(frozen=True)
class TransposeConvOptions:
    """Options of TRANSPOSE_CONV."""

    padding: int = scalar("b")
    stride_w: int = scalar("i")
    stride_h: int = scalar("i")
    fused_activation_function: int = scalar("b")


@dataclass(frozen=True)
class ArgMaxOptions:
    """Options of ARG_MAX: the type of its result."""

    output_type: int = scalar("b")


@dataclass(frozen=True)
class ArgMinOptions:
    """Options of ARG_MIN."""

    output_type: int = scalar("b")


@dataclass(frozen=True)
class ShapeOptions:
    """Options of SHAPE: the type of its result."""

    out_type: int = scalar("b")


@dataclass(frozen=True)
class OneHotOptions:
    """Options of ONE_HOT."""

    axis: int = scalar("i")


@dataclass(frozen=True)
class UnpackOptions:
    """Options of UNPACK."""

    num: int = scalar("i")
    axis: int = scalar("i")


@dataclass(frozen=True)
class UnidirectionalSequenceLSTMOptions:
    """Options of UNIDIRECTIONAL_SEQUENCE_LSTM."""

    fused_activation_function: int = scalar("b")
    cell_clip: float = scalar("f", 0.0)
    proj_clip: float = scalar("f", 0.0)
    time_major: bool = scalar("?", False)
    asymmetric_quantize_inputs: bool = scalar("?", False)
    diagonal_recurrent_tensors: bool = scalar("?", False)


@dataclass(frozen=True)
class BidirectionalSequenceLSTMOptions:
    """Options of BIDIRECTIONAL_SEQUENCE_LSTM."""

    fused_activation_function: int = scalar("b")
    cell_clip: float = scalar("f", 0.0)
    proj_clip: float = scalar("f", 0.0)
    merge_outputs: bool = scalar("?", False)
    time_major: bool = scalar("?", True)


@dataclass(frozen=True)
class SequenceRNNOptions:
    """Options of UNIDIRECTIONAL_SEQUENCE_RNN."""

    time_major: bool = scalar("?", False)
    fused_activation_function: int = scalar("b")


@dataclass(frozen=True)
class MirrorPadOptions:
    """Options of MIRROR_PAD: 0 without the edge (reflect), 1 with it (symmetric)."""

    mode: int = scalar("b")


@dataclass(frozen=True)
class ReverseSequenceOptions:
    """Options of REVERSE_SEQUENCE."""

    seq_dim: int = scalar("i")
    batch_dim: int = scalar("i")


@dataclass(frozen=True)
class IfOptions:
    """Options of IF."""

    then_subgraph_index: int = scalar("i")
    else_subgraph_index: int = scalar("i")


@dataclass(frozen=True)
class WhileOptions:
    """Options of WHILE."""

    cond_subgraph_index: int = scalar("i")
    body_subgraph_index: int = scalar("i")


@dataclass(frozen=True)
class BatchMatMulOptions:
    """Options of BATCH_MATMUL: which operands are transposed."""

    adjoint_lhs: bool = scalar("?", False)
    adjoint_rhs: bool = scalar("?", False)


@dataclass(frozen=True)
class CumsumOptions:
    """Options of CUMSUM."""

    exclusive: bool = scalar("?", False)
    reverse: bool = scalar("?", False)


@dataclass(frozen=True)
class CallOnceOptions:
    """Options of CALL_ONCE."""

    init_subgraph_index: int = scalar("i")


@dataclass(frozen=True)
class VarHandleOptions:
    """Options of VAR_HANDLE: the name of the variable."""

    container: str = string()
    shared_name: str = string()


@dataclass(frozen=True)
class GeluOptions:
    """Options of GELU."""

    approximate: bool = scalar("?", False)


@dataclass(frozen=True)
class FakeQuantOptions:
    """Options of FAKE_QUANT."""

    min: float = scalar("f", 0.0)
    max: float = scalar("f", 0.0)
    num_bits: int = scalar("i")
    narrow_range: bool = scalar("?", False)


@dataclass(frozen=True)
class CompositeOptions:
    """Options of STABLEHLO_COMPOSITE."""

    name: str = string()
    decomposition_subgraph_index: int = scalar("i")


FOREIGN_OPTIONS: dict[int, type] = {
    12: L2NormOptions,
    13: LocalResponseNormalizationOptions,
    14: LSTMOptions,
    15: ResizeBilinearOptions,
    19: SpaceToDepthOptions,
    23: GatherOptions,
    31: SequenceRNNOptions,
    35: SplitOptions,
    40: ArgMaxOptions,
    49: TransposeConvOptions,
    55: ShapeOptions,
    57: ArgMinOptions,
    58: FakeQuantOptions,
    61: OneHotOptions,
    64: UnpackOptions,
    69: BidirectionalSequenceLSTMOptions,
    71: UnidirectionalSequenceLSTMOptions,
    74: ResizeNearestNeighborOptions,
    77: MirrorPadOptions,
    79: SplitVOptions,
    87: ReverseSequenceOptions,
    92: IfOptions,
    93: WhileOptions,
    94: DepthToSpaceOptions,
    101: BatchMatMulOptions,
    102: CumsumOptions,
    103: CallOnceOptions,
    111: VarHandleOptions,
    116: GeluOptions,
}
"""Tags of the union ``BuiltinOptions``."""

OPTIONS_2: dict[int, type] = {21: CompositeOptions}
"""Tags of the union ``BuiltinOptions2``."""
