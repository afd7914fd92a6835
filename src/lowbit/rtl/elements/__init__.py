"""Processing elements: what multiplies and adds, one description each; `hardware` draws them.

A description says all that plans, budgets and commands know of an element; here it has a row.
"""

from collections.abc import Mapping

from lowbit.rtl.elements.element import Element
from lowbit.rtl.elements.multiply import MultiplyElement
from lowbit.rtl.elements.planes import PlanesElement
from lowbit.rtl.elements.shift import ShiftElement
from lowbit.rtl.elements.xnor import XnorElement

__all__ = ["ELEMENTS", "Element", "MultiplyElement", "PlanesElement", "ShiftElement", "XnorElement"]

ELEMENTS: Mapping[str, type[Element]] = {
    kind.kind: kind for kind in (XnorElement, ShiftElement, PlanesElement, MultiplyElement)
}
"""Every element, by name: the cheapest first, which a layer takes if it can run it."""
