"""Which modules are layers, and the low-bit class of each."""

from torch import nn

from lowbit.errors import UnsupportedError
from lowbit.nn.attention import MultiheadAttention
from lowbit.nn.layers import KINDS as LAYERS
from lowbit.nn.low_bit import LowBit
from lowbit.nn.parts import Parts
from lowbit.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

KINDS: dict[type[nn.Module], type[LowBit] | type[Parts]] = {
    **LAYERS,
    nn.LSTM: LSTM,
    nn.GRU: GRU,
    nn.RNN: RNN,
    nn.LSTMCell: LSTMCell,
    nn.GRUCell: GRUCell,
    nn.RNNCell: RNNCell,
    nn.MultiheadAttention: MultiheadAttention,
}
"""The low-bit form of every module of torch that has one."""

_OTHERS = (nn.modules.conv._ConvNd, nn.Bilinear)


def is_layer(module: nn.Module) -> bool:
    """Return whether plans speak of a module."""
    return isinstance(module, (*KINDS, *_OTHERS))


def has_low_bit_form(module: nn.Module) -> bool:
    """Return whether a module is a layer that computes what one of torch does."""
    return any(isinstance(module, base) and type(module).forward is base.forward for base in KINDS)


def low_bit_class(module: nn.Module) -> type[LowBit] | type[Parts]:
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
        f"{kind.__name__} has no low-bit form",
        expected=f"one of torch.nn: {', '.join(base.__name__ for base in KINDS)}",
        found=str(module),
    )
