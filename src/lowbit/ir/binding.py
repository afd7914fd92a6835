"""Open lengths become numbers: a network for inputs of these shapes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lowbit.errors import DataError
from lowbit.ir.graph import Graph, Shape
from lowbit.ir.infer import infer
from lowbit.ir.lengths import Length, dimension_of, length_of, with_known

Given = Mapping[str, Sequence[int]]
"""Shapes of arrays by the name of the input."""


def lengths_given(graph: Graph, shapes: Given) -> dict[str, int]:
    """Return what the open lengths of inputs are in arrays of these shapes.

    Raises:
        DataError: another number of axes, another length than the network's, or one name with two lengths.
    """
    known: dict[str, int] = {}
    for name, given in shapes.items():
        shape = graph.value(name).shape
        if len(shape) != len(given):
            _refuse(name, shape, given)
        for length, number in zip(shape, given, strict=True):
            if isinstance(length, str) and length_of(length) == Length({(length,): 1}):
                known.setdefault(length, int(number))
    for name, given in shapes.items():
        for length, number in zip(graph.value(name).shape, given, strict=True):
            wanted = with_known(length_of(length), known)
            if not isinstance(wanted, Length) and wanted != number:
                _refuse(name, graph.value(name).shape, given)
    return known


def bound(graph: Graph, known: Mapping[str, int]) -> Graph:
    """Return a copy of a graph in which open lengths of these names are numbers.

    Raises:
        GraphError: an operator does not take such lengths.
    """
    made = graph.copy()
    for name in graph.inputs:
        shape = (with_known(length_of(length), known) for length in graph.value(name).shape)
        made.values[name] = replace(graph.value(name), shape=tuple(map(dimension_of, shape)))
    infer(made)
    return made


def open_names(shapes: Iterable[Shape]) -> list[str]:
    """Return the names of the lengths that are open in shapes, in their order."""
    lengths = [length_of(length) for shape in shapes for length in shape]
    names = (sorted(length.names) for length in lengths if isinstance(length, Length))
    return list(dict.fromkeys(name for row in names for name in row))


def _refuse(name: str, shape: Shape, given: Sequence[int]) -> None:
    raise DataError(
        "an array does not have the shape of its input",
        where=f"input {name}",
        expected=", ".join(map(str, shape)),
        found=", ".join(map(str, given)),
        remedy="Lengths are numbers, or names that stand for one number in all inputs.",
    )
