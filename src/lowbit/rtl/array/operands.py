"""Which element runs a layer: the one that is asked for, or the cheapest that can."""

import numpy as np

from lowbit.errors import PlanError
from lowbit.rtl.array.network import Integers, Layer
from lowbit.rtl.elements import ELEMENTS
from lowbit.rtl.elements.operands import Operands
from lowbit.rtl.primitives.target import Target


def operands(layer: Layer, target: Target, kind: str | None = None) -> Operands:
    """Return the operands of a layer for the element wanted, or for the cheapest that can run it.

    Raises:
        PlanError: no such element can run it; names the node.
    """
    for candidate in ELEMENTS.values() if kind is None else (ELEMENTS[kind],):
        found = candidate.operands(layer, target)
        if found is not None:
            return found
    raise PlanError(
        "the element cannot run this layer",
        where=layer.name,
        expected=candidate.needs,
        found=f"levels {_listed(layer.levels)}, weights {_listed(np.unique(layer.weights))}",
        remedy="Leave --pe out, and each layer gets an element that can run it.",
    )


def _listed(values: Integers) -> str:
    shown = [str(value) for value in values[:5]]
    return ", ".join(shown) + (f" … {values[-1]}" if len(values) > 5 else "")
