"""Passes: one rewrite per file, each with a contract, verified after it ran."""

from lowbit.ir.passes.fold_batchnorm import fold_batchnorm, is_convolution
from lowbit.ir.passes.fold_constants import fold_constants
from lowbit.ir.passes.fold_pads import fold_pads
from lowbit.ir.passes.fuse_linear import fuse_linear, is_linear
from lowbit.ir.passes.infrastructure import Pass, PassResult, run_passes
from lowbit.ir.passes.order_pools import order_pools
from lowbit.ir.passes.rows_to_convolution import rows_to_convolution
from lowbit.ir.passes.split_batchnorm import split_batchnorm

NORMAL_FORM = (fold_constants, fuse_linear, order_pools, fold_pads, fold_batchnorm, split_batchnorm)
"""The passes, in order, after which layers have weights, bias and pads, then activation, then pooling."""

ENGINE_FORM = (fold_constants, rows_to_convolution, *NORMAL_FORM)
"""The same for who has no products of maps."""

__all__ = [
    "ENGINE_FORM",
    "NORMAL_FORM",
    "Pass",
    "PassResult",
    "fold_batchnorm",
    "fold_constants",
    "fold_pads",
    "fuse_linear",
    "is_convolution",
    "is_linear",
    "order_pools",
    "rows_to_convolution",
    "run_passes",
    "split_batchnorm",
]
