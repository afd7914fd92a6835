"""Shapes with open lengths as values of the graph: where the lengths are not known before the network runs.

A reshape that copies the batch needs no number for it. An Expand to the batch does: the length is computed by
Shape nodes from the input that has it, and what stands in the file around them is left out.
"""

from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.shape_arithmetic import FIX
from lowbit.ir import Node
from lowbit.ir.graph import Array
from lowbit.ir.lengths import Length

if TYPE_CHECKING:
    from lowbit.formats.onnx.importer import Importer


class OpenLengths:
    """Adds the nodes that compute such arrays to a reader's graph."""

    def __init__(self, reader: "Importer") -> None:
        self.reader = reader

    def compute(self, name: str, array: Array) -> None:
        """Add what computes an array of integers and open lengths, under its name."""
        parts = [self._row(length) for length in array.reshape(-1)]
        row = parts[0] if len(parts) == 1 else self.reader.insert("Concat", parts, axis=0)
        shape = self.reader.constant(f"{name}/shape", np.array(array.shape, np.int64))
        self.reader.emit(Node("Reshape", (row, shape), (name,), {}, f"{name}/open"))

    def _row(self, length: object) -> str:
        """Return a row of one element that is a length."""
        if not isinstance(length, Length):
            return self.reader.constant("length", np.array([length], np.int64))
        terms = [self._term(names, number) for names, number in sorted(length.terms.items())]
        total = terms[0]
        for term in terms[1:]:
            total = self.reader.insert("Add", [total, term])
        return total

    def _term(self, names: tuple[str, ...], number: int) -> str:
        factors = [self._named(name) for name in names]
        if number != 1 or not factors:
            factors.append(self.reader.constant("factor", np.array([number], np.int64)))
        made = factors[0]
        for factor in factors[1:]:
            made = self.reader.insert("Mul", [made, factor])
        return made

    def _named(self, name: str) -> str:
        graph = self.reader.result
        for source in graph.inputs:
            shape = graph.value(source).shape
            if name in shape:
                axis = shape.index(name)
                return self.reader.insert("Shape", [source], start=axis, end=axis + 1)
        raise UnsupportedError(
            "a length that is only known when the network runs",
            expected="fixed lengths, or those of inputs",
            found=name,
            remedy=FIX,
        )
