"""Codebook: a table of levels per output, of any spacing."""

from lowbit.schemes.codebook.encoding import Codebook

__all__ = ["Codebook"]
