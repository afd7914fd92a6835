"""One sample of a network, and where samples lie in its values."""

from collections.abc import Mapping
from dataclasses import replace

from lowbit.ir import Graph
from lowbit.ir.infer import infer

Varying = Mapping[str, frozenset[int]]
"""By value: the axes whose length grows with the number of samples."""

SEVERAL = 7
"""Samples: few networks have another axis of that length."""


def is_open(graph: Graph) -> bool:
    """Return whether a network takes any number of samples: the first axis of an input has no length."""
    return any(isinstance(length, str) for name in graph.inputs for length in graph.value(name).shape[:1])


def with_samples(graph: Graph, count: int) -> Graph:
    """Return a graph whose inputs hold that many samples, where their first axis is open."""
    if not is_open(graph):
        return graph
    bound = graph.copy()
    for name in graph.inputs:
        shape = graph.value(name).shape
        if shape and isinstance(shape[0], str):
            bound.values[name] = replace(graph.value(name), shape=(count, *shape[1:]))
    infer(bound)
    return bound


def varying_axes(one: Graph, several: Graph) -> Varying:
    """Return where samples lie in the values of a graph.

    Args:
        one: with one sample.
        several: the same with `SEVERAL`.
    """
    found = {}
    for name, value in one.values.items():
        other = several.values.get(name)
        if other is not None and len(other.shape) == len(value.shape):
            pairs = enumerate(zip(value.shape, other.shape, strict=True))
            found[name] = frozenset(axis for axis, (a, b) in pairs if a != b)
    return found
