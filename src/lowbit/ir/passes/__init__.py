"""Passes: one rewrite per file, each with a contract, verified after it ran."""

from lowbit.ir.passes.fold_batchnorm import fold_batchnorm, is_convolution
from lowbit.ir.passes.fold_constants import fold_constants
from lowbit.ir.passes.fuse_linear import fuse_linear, is_linear
from lowbit.ir.passes.infrastructure import Pass, PassResult, run_passes

__all__ = [
    "Pass",
    "PassResult",
    "fold_batchnorm",
    "fold_constants",
    "fuse_linear",
    "is_convolution",
    "is_linear",
    "run_passes",
]
