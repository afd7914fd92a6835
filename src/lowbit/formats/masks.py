"""Infinities of masks, which exporters write where a value must never win."""

import numpy as np

from lowbit.ir import Graph, Trait, has

_BOUNDED = "infinities in constants are the largest float32"


def bound_masks(graph: Graph) -> None:
    """Let infinities of constants, but of weights, be the largest float32, in place, with a note."""
    weights = {name for node in graph.nodes if has(node, Trait.LAYER) for name in node.inputs[1:]}
    most = np.finfo(np.float32).max
    for name, value in graph.values.items():
        data = value.data
        if data is None or data.dtype != np.float32 or name in weights or not np.isinf(data).any():
            continue
        graph.update(name, data=np.clip(data, -most, most))
        if _BOUNDED not in graph.notes:
            graph.notes = (*graph.notes, _BOUNDED)
