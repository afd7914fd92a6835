"""Pixels: codes of 8 bits as they are, level = code / 255; an affine encoding of nothing to choose."""

from lowbit.schemes.pixels.encoding import pixels

__all__ = ["pixels"]
