"""Einsum as products of matrices: letters of both operands are batches, or summed; others rows or columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowbit.errors import UnsupportedError
from lowbit.formats.onnx.importer import Importer
from lowbit.ir.graph import Attribute, Dimension
from lowbit.ir.lengths import as_array, length_of, product
from lowbit.ir.worked_out import resolve_shape

if TYPE_CHECKING:
    from onnx import NodeProto

Operand = tuple[str, str]
"""The name of a value, and a letter for each of its axes."""


def read_einsum(reader: Importer, proto: "NodeProto", attributes: dict[str, Attribute]) -> None:
    """Add the products of an equation such as ``bhqd,bhkd->bhqk``, two operands at a time."""
    terms, arrow, result = str(attributes.get("equation", "")).replace(" ", "").partition("->")
    letters = terms.split(",")
    joined = "".join(letters)
    result = result if arrow else "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    plain = all(term.isalpha() and len(set(term)) == len(term) for term in letters)
    if not plain or len(letters) != len(proto.input) or not set(result) <= set(joined):
        raise UnsupportedError(
            "this equation of an Einsum",
            expected="different letters for the axes",
            found=f"{terms}->{result}",
        )
    work = _Work(reader, proto)
    operands = list(zip(proto.input, letters, strict=True))
    lengths = {c: n for name, term in operands for c, n in zip(term, reader.shape(name), strict=True)}
    made = operands.pop(0)
    while operands:
        other = operands.pop(0)
        needed = set(result).union(*(term for _, term in operands))
        made = work.product(
            work.summed(made, needed | set(other[1])),
            work.summed(other, needed | set(made[1])),
            needed,
            lengths,
        )
    name, term = work.summed(made, set(result))
    order = tuple(term.index(letter) for letter in result)
    reader.add(proto, "Transpose", [name], {"perm": order}) if order else reader.add(
        proto, "Identity", [name], {}
    )


class _Work:
    def __init__(self, reader: Importer, proto: "NodeProto") -> None:
        self.reader, self.stem = reader, proto.output[0]

    def summed(self, operand: Operand, needed: set[str]) -> Operand:
        """Return an operand without the axes that nobody needs."""
        name, term = operand
        axes = [axis for axis, letter in enumerate(term) if letter not in needed]
        if not axes:
            return operand
        row = self.reader.constant(f"{self.stem}/axes", np.array(axes, np.int64))
        made = self.reader.insert("ReduceSum", [name, row], "", keepdims=0)
        return made, "".join(letter for letter in term if letter in needed)

    def product(
        self, left: Operand, right: Operand, needed: set[str], lengths: dict[str, Dimension]
    ) -> Operand:
        """Return the product of two operands, summed over the letters of both that nobody needs."""
        shared = [letter for letter in left[1] if letter in right[1]]
        batch = "".join(letter for letter in shared if letter in needed)
        inner = "".join(letter for letter in shared if letter not in needed)
        rows = "".join(letter for letter in left[1] if letter not in right[1])
        columns = "".join(letter for letter in right[1] if letter not in left[1])
        groups = ([*batch, rows, inner], [*batch, inner, columns])
        matrices = [
            self._shaped(each, group, lengths) for each, group in zip((left, right), groups, strict=True)
        ]
        made = self.reader.insert("MatMul", matrices)
        whole = batch + rows + columns
        return self._reshaped(made, [lengths[letter] for letter in whole]), whole

    def _shaped(self, operand: Operand, groups: list[str], lengths: dict[str, Dimension]) -> str:
        """Return an operand with an axis for each group of letters."""
        name, term = operand
        order = tuple(term.index(letter) for letter in "".join(groups))
        if order != tuple(range(len(order))):
            name = self.reader.insert("Transpose", [name], "", perm=order)
        if all(len(group) == 1 for group in groups):
            return name
        target = [product(lengths[letter] for letter in group) for group in groups]
        return self._reshaped(name, target)

    def _reshaped(self, name: str, target: Sequence[object]) -> str:
        wanted = as_array(length_of(n) if isinstance(n, str) else n for n in target)
        have = self.reader.shape(name)
        if tuple(map(str, wanted)) == tuple(map(str, have)):
            return name
        shape = self.reader.constant(f"{self.stem}/shape", resolve_shape(wanted, have))
        return self.reader.insert("Reshape", [name, shape])
