"""The weights of a layer as people look at them: reals and codes, one row per output."""

import difflib
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lowbit.errors import PlanError
from lowbit.ir import Graph, Node, Value
from lowbit.ir.deployed import codes_of
from lowbit.ir.layers import layers_of, outputs_last
from lowbit.schemes import Encoding, decoded

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.generic]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Weights of one layer.

    Attributes:
        layer: the node's name.
        values: reals, float32 ``[o, n]``; rows of a convolution in the order (c, kh, kw).
        codes: ``[o, n]``, or None for floats.
        encoding: of the codes, or None.
    """

    layer: str
    values: Floats
    codes: Codes | None
    encoding: Encoding | None

    def levels(self, output: int) -> npt.NDArray[np.float64]:
        """Return the levels of one output's codes, ascending; none for floats."""
        if self.encoding is None:
            return np.zeros(0)
        rows = self.encoding.levels()
        if self.encoding.group:
            rows = rows.reshape(len(self.values), -1)
        return np.unique(rows[output % len(rows)])


def layer_weights(graph: Graph, layer: str) -> LayerWeights:
    """Return the weights of a layer.

    Raises:
        PlanError: there is no such layer; near names are listed.
    """
    return _weights(graph, find_layer(graph, layer))


def all_weights(graph: Graph) -> tuple[LayerWeights, ...]:
    """Return the weights of every layer, in order."""
    names = {layer.name for layer in layers_of(graph)}
    return tuple(_weights(graph, node) for node in graph.nodes if node.name in names)


def find_layer(graph: Graph, layer: str) -> Node:
    """Return the node of a layer with weights.

    Raises:
        PlanError: there is no such layer; near names are listed.
    """
    names = [each.name for each in layers_of(graph)]
    if layer not in names:
        raise unknown_name("layer", layer, names, graph)
    return next(node for node in graph.nodes if node.name == layer)


def unknown_name(what: str, name: str, known: list[str], graph: Graph) -> PlanError:
    """Return the error of a name that is not there, with near names."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:8]
    return PlanError(
        f"the network has no {what} of that name",
        where=graph.name,
        expected=" or ".join(near) or f"a network with a {what}",
        found=repr(name),
        remedy="Layers are listed by: lowbit inspect MODEL",
    )


def _weights(graph: Graph, node: Node) -> LayerWeights:
    value = graph.value(node.inputs[1])
    if value.encoding is not None:
        codes = codes_of(value)
        reals = decoded(value.encoding, codes).astype(np.float32)
        return LayerWeights(node.name, _rows(value, reals), _rows(value, codes), value.encoding)
    data = np.asarray(value.data, np.float32)
    rows = np.moveaxis(data, -1, 0) if outputs_last(node) else data
    return LayerWeights(node.name, np.ascontiguousarray(rows.reshape(len(rows), -1)), None, None)


def _rows(value: Value, rows: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return rows of weights in the order of floats: convolutions pack theirs as (o, kh, kw, c)."""
    if len(value.shape) < 4:
        return rows
    return np.moveaxis(rows.reshape([int(extent) for extent in value.shape]), -1, 1).reshape(rows.shape)
