"""Passes: one rewrite per file, each with a contract, verified after it ran."""

from lowbit.ir.passes.affine_chain import affine_chain, affine_ends
from lowbit.ir.passes.coded_ends import drop_implied, round_layers
from lowbit.ir.passes.decode_layers import decode_layers, has_affine_layers
from lowbit.ir.passes.expand import Supports, expand, expansion
from lowbit.ir.passes.fixed_sums import RegionFormat, fixed_sums, region_format
from lowbit.ir.passes.fold_activations import fold_activations
from lowbit.ir.passes.fold_batchnorm import fold_batchnorm, is_convolution
from lowbit.ir.passes.fold_constants import fold_constants
from lowbit.ir.passes.fold_decodes import fold_decodes
from lowbit.ir.passes.fold_encodes import fold_encodes
from lowbit.ir.passes.fold_normalization import fold_normalization
from lowbit.ir.passes.fold_pads import fold_pads
from lowbit.ir.passes.fold_slopes import fold_slopes
from lowbit.ir.passes.fuse_linear import fuse_linear, is_linear
from lowbit.ir.passes.infrastructure import Pass, PassResult, run_passes
from lowbit.ir.passes.layers_of_codes import layers_of_codes
from lowbit.ir.passes.lift_encodes import lift_encodes
from lowbit.ir.passes.lines_to_maps import has_lines, lines_to_maps
from lowbit.ir.passes.lower_decodes import lower_decodes
from lowbit.ir.passes.order_pools import order_pools
from lowbit.ir.passes.rows_to_convolution import rows_to_convolution
from lowbit.ir.passes.settle_layout import settle_layout
from lowbit.ir.passes.split_batchnorm import split_batchnorm
from lowbit.ir.passes.stack_maps import stack_maps
from lowbit.ir.passes.sum_regions import Region, sum_regions
from lowbit.ir.passes.tokens_to_maps import tokens_to_maps
from lowbit.ir.passes.transposed_to_phases import transposed_to_phases, why_transposed
from lowbit.ir.passes.unroll import unroll, why_recurrent

NORMAL_FORM = (fold_constants, fuse_linear, order_pools, fold_pads, fold_batchnorm, split_batchnorm)
"""The passes, in order, after which layers have weights, bias and pads, then activation, then pooling."""

MAP_FORM = (fold_constants, rows_to_convolution, lines_to_maps, settle_layout)
"""The passes after which maps are [n, c, h, w], and lines are maps of height 1."""

ENGINE_FORM = (*MAP_FORM, *NORMAL_FORM)
"""Both, for who has maps only."""

LAYER_FORM = (
    fold_constants,
    unroll,
    transposed_to_phases,
    rows_to_convolution,
    tokens_to_maps,
    *ENGINE_FORM,
)
"""The same, after which what multiplies by constants is a layer of rows or a convolution of maps: layers of
tokens, matrices of recurrent layers, and transposed convolutions, too. Quantization starts from it."""

LOW_BIT_FORM = (
    fold_constants,
    fold_slopes,
    order_pools,
    fold_normalization,
    fold_batchnorm,
    split_batchnorm,
    lift_encodes,
    fold_activations,
    fold_encodes,
)
"""The passes that bring a graph with low-bit layers into the form that is deployed."""

RECOGNISED_FORM = (
    lower_decodes,
    layers_of_codes,
    fold_decodes,
    fold_constants,
    drop_implied,
    round_layers,
    *LOW_BIT_FORM,
)
"""The passes that find the low-bit layers of a foreign file among its encoders and decoders."""

__all__ = [
    "ENGINE_FORM",
    "LAYER_FORM",
    "LOW_BIT_FORM",
    "MAP_FORM",
    "NORMAL_FORM",
    "RECOGNISED_FORM",
    "Pass",
    "PassResult",
    "Region",
    "RegionFormat",
    "Supports",
    "affine_chain",
    "affine_ends",
    "decode_layers",
    "drop_implied",
    "expand",
    "expansion",
    "fixed_sums",
    "fold_activations",
    "fold_batchnorm",
    "fold_constants",
    "fold_decodes",
    "fold_encodes",
    "fold_normalization",
    "fold_pads",
    "fold_slopes",
    "fuse_linear",
    "has_affine_layers",
    "has_lines",
    "is_convolution",
    "is_linear",
    "layers_of_codes",
    "lift_encodes",
    "lines_to_maps",
    "lower_decodes",
    "order_pools",
    "region_format",
    "round_layers",
    "rows_to_convolution",
    "run_passes",
    "settle_layout",
    "split_batchnorm",
    "stack_maps",
    "sum_regions",
    "tokens_to_maps",
    "transposed_to_phases",
    "unroll",
    "why_recurrent",
    "why_transposed",
]
