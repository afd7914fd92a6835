"""Which modules are layers, and the low-bit class of each."""

from torch import nn

from lowbit.errors import UnsupportedError
from lowbit.nn.layers import KINDS
from lowbit.nn.low_bit import LowBit

_WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd, nn.Bilinear, nn.RNNBase, nn.RNNCellBase)


def is_layer(module: nn.Module) -> bool:
    """Return whether plans speak of a module."""
    return isinstance(module, _WEIGHTED)


def has_low_bit_form(module: nn.Module) -> bool:
    """Return whether a module is a layer that computes what one of torch does."""
    return any(isinstance(module, base) and type(module).forward is base.forward for base in KINDS)


def low_bit_class(module: nn.Module) -> type[LowBit]:
    """Return the class of a layer's low-bit form; of a subclass that computes the same, a class of its own.

    Raises:
        UnsupportedError: there is none.
    """
    kind = type(module)
    if kind in KINDS:
        return KINDS[kind]
    for base, made in KINDS.items():
        if isinstance(module, base) and has_low_bit_form(module):
            return type(f"LowBit{kind.__name__}", (made, kind), {"__module__": kind.__module__})
    raise UnsupportedError(
        "this layer cannot be quantized",
        expected=", ".join(f"torch.nn.{base.__name__}" for base in KINDS),
        found=str(module),
        remedy="Leave it float in the plan.",
    )
