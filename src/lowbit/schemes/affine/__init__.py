"""Affine: levels on a uniform grid."""

from lowbit.schemes.affine.encoding import Affine

__all__ = ["Affine"]
