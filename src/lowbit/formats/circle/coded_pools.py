"""Pools of codes: those that the format has operators for, and what ours say of their windows.

    AveragePool         codes    input_encoding, output_encoding, the window, count_include_pad
    GlobalAveragePool   codes    input_encoding, output_encoding
    MaxPool             codes    input_encoding, output_encoding, the window

The format has no mean of codes, and no largest one with pads that SAME does not say, or with dilations.
"""

import numpy as np

from lowbit.formats.circle.layout import padding_of
from lowbit.formats.circle.options import window_of
from lowbit.formats.flexbuffer import Option
from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.graph import Attribute
from lowbit.ir.infer import call_of
from lowbit.ir.operators.windows import windows_of
from lowbit.ir.window import Axis

_COUNTED = "count_include_pad"
OPTIONS = (_COUNTED,)
"""What operators say besides encodings and the window."""


def is_builtin_pool(graph: Graph, node: Node) -> bool:
    """Return whether a node is no pool, or one that the format has an operator for if it reads codes."""
    if not has(node, Trait.POOL):
        return True
    if not has(node, Trait.COMPARES):
        return False
    if not has(node, Trait.WINDOW):
        return True
    axes = _axes(graph, node)
    geometry = ([getattr(axis, name) for axis in axes] for name in ("extent", "kernel", "stride", "dilation"))
    plain = all(axis.dilation == 1 for axis in axes)
    return len(axes) != 2 or (plain and padding_of(_pads(axes), *geometry) is not None)


def pool_options(graph: Graph, node: Node) -> dict[str, Option]:
    """Return what a pool says of its window, nothing left to defaults."""
    if not has(node, Trait.WINDOW):
        return {}
    axes = _axes(graph, node)
    window = {name: np.array([getattr(axis, one) for axis in axes]) for name, one in _NAMES.items()}
    counted = {} if has(node, Trait.COMPARES) else {_COUNTED: call_of(graph, node).integer(_COUNTED)}
    return {**window, "pads": np.array(_pads(axes)), **counted}


def pool_attributes(op: str, options: dict[str, Option], place: str) -> dict[str, Attribute]:
    """Return the attributes of a pool that options say.

    Raises:
        ModelFormatError: a number is missing or out of range.
    """
    if not has(("", op), Trait.WINDOW):
        return {}
    counted = {} if has(("", op), Trait.COMPARES) else {_COUNTED: int(bool(options.get(_COUNTED)))}
    return {**window_of(options, place), **counted}


def _axes(graph: Graph, node: Node) -> tuple[Axis, ...]:
    call = call_of(graph, node)
    return windows_of(call, call.integers("kernel_shape"))


def _pads(axes: tuple[Axis, ...]) -> tuple[int, ...]:
    return (*(axis.before for axis in axes), *(axis.after for axis in axes))


_NAMES = {"kernel_shape": "kernel", "strides": "stride", "dilations": "dilation"}
