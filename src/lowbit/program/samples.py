"""One sample of a network, and where samples lie in its values."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Self

import numpy as np

from lowbit.ir import Graph, Node, Trait, has
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


@dataclass(frozen=True)
class Samples:
    """Where samples lie in the values of a graph.

    Attributes:
        axes: by value, those whose length grows with the number of samples.
        apart: whether values hold every sample by itself, but for what an operator mixes along its axis.
    """

    axes: Varying
    apart: bool

    @classmethod
    def of(cls, one: Graph, several: Graph) -> Self:
        """Return them of a graph with one sample, and the same with `SEVERAL`."""
        axes = {}
        for name, value in one.values.items():
            other = several.values.get(name)
            if other is not None and len(other.shape) == len(value.shape):
                pairs = enumerate(zip(value.shape, other.shape, strict=True))
                axes[name] = frozenset(axis for axis, (a, b) in pairs if a != b)
        return cls(axes, keeps_samples_apart(one, several, axes))


def keeps_samples_apart(one: Graph, several: Graph, varying: Varying) -> bool:
    """Return whether values hold every sample by itself, so that a network may run one after another.

    Of an axis that grows with the samples it is known how many neighbours along it are of one sample. What
    keeps the order of elements may give these another axis; all else leaves them as they are. What mixes
    along an axis says so itself, when it is lowered. How many samples there are may be a length of what is
    moved or repeated, as of states that begin with zeros, and nothing else.
    """
    together = dict.fromkeys(one.inputs, 1)
    for name, value in one.values.items():
        if value.data is not None:
            together[name] = 1
            if not _same_for_all(value.data, several.values[name].data if name in several.values else None):
                return False
    counted: set[str] = set()
    for node in one.nodes:
        sources = [name for name in node.inputs if varying.get(name)]
        if (node.domain, node.op) == ("", "Shape"):
            counted.update(node.outputs)
            continue
        if not counted.isdisjoint(node.inputs):
            if not sources and all(one.value(name).dtype == "int64" for name in node.outputs if name):
                counted.update(node.outputs)
                continue
            if not has(node, Trait.CARRIES):
                return False
        for target in filter(None, node.outputs):
            found = {_together(one, node, name, target, varying, together) for name in sources}
            if sources and (len(found) != 1 or not all(found)):
                return False
            together[target] = found.pop() if found else 1
    return True


def _together(
    one: Graph, node: Node, source: str, target: str, varying: Varying, together: Mapping[str, int]
) -> int:
    """Return how many neighbours along the target's axis are of one sample, or 0 where that is not so."""
    before, after = varying[source], varying.get(target, frozenset())
    if len(before) != 1 or len(after) != 1:
        return 0  # a sample among others, or all in all
    (old,), (new,) = before, after
    shape, wanted = ([int(length) for length in one.value(name).shape] for name in (source, target))
    if not has(node, Trait.KEEPS_ORDER):
        return together[source] if shape[old] == wanted[new] else 0
    step, behind = together[source] * prod(shape[old + 1 :]), prod(wanted[new + 1 :])
    if not step or not behind or step % behind:
        return 0
    return step // behind if wanted[new] % (step // behind) == 0 else 0


def _same_for_all(one: np.ndarray[Any, Any], several: np.ndarray[Any, Any] | None) -> bool:
    """Return whether a constant is the same for every sample; integers may be lengths, which are not."""
    if several is None or one.dtype.kind != "f" or one.ndim != several.ndim:
        return True
    fits = all(a in (1, b) for a, b in zip(one.shape, several.shape, strict=True))
    return fits and np.array_equal(np.broadcast_to(one, several.shape), several)
