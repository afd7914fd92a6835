"""Binary: the sign, with a scale per output channel for weights."""

from lowbit.schemes.binary.encoding import THRESHOLD, signs

__all__ = ["THRESHOLD", "signs"]
