"""What a tensor is to become; see `lowbit.schemes.specification`."""

from lowbit.schemes.specification import FLOAT, Specification, specification

__all__ = ["FLOAT", "Specification", "specification"]
