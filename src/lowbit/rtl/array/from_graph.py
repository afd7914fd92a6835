"""From a deployed graph to the integers of an array engine, or to everything that is in the way."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.blockers import Blocker, blocker_of, grouped
from lowbit.data import Normalize
from lowbit.errors import UnsupportedError
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.rtl.array.blockers import INPUT, refuse
from lowbit.rtl.array.functions import applied, parameters_of
from lowbit.rtl.array.lowering import Lowering, as_map
from lowbit.rtl.array.network import ArrayNetwork, Integers, Shape
from lowbit.rtl.pictures import AnyByte, pixel_values


def from_graph(graph: Graph, normalize: Normalize, byte: AnyByte = None) -> ArrayNetwork:
    """Return the integers of a graph; one input ``[n, c, h, w]``, ``[n, c, w]`` or ``[n, features]``.

    Args:
        graph: the network; its outputs are scores (`lowbit.rtl.array.ends` leaves what is behind them out).
        normalize: mean and deviation of pixels in [0, 1], as in training, or None.
        byte: what a byte stands for; see `lowbit.rtl.pictures.Byte`.

    Raises:
        UnsupportedError: an operator, or a shape, that the engine does not run; names the node.
    """
    refuse(graph, _blockers(graph))
    lowering = Lowering(graph, dry=False)
    heads = tuple(lowering.head(name) for name in graph.outputs)
    pixels = _pixel_ranks(lowering, pixel_values(normalize, byte))
    return ArrayNetwork(graph.name, picture_shape(graph), pixels, tuple(lowering.stages), heads)


def blockers(graph: Graph) -> list[Blocker]:
    """Return what keeps a graph from the engine; nothing is computed of its weights."""
    return grouped(_blockers(graph))


def _blockers(graph: Graph) -> list[Blocker]:
    lowering = Lowering(graph, dry=True)
    if len(graph.inputs) != 1:
        lowering.refuse(None, "one input", f"{len(graph.inputs)}: {', '.join(graph.inputs)}", INPUT)
    for name in graph.outputs:
        lowering.head(name)
    if not lowering.errors and not lowering.encoder:
        lowering.refuse(None, "an encoder of pixels first", "nothing that reads the input", INPUT)
    place = {node.name: number for number, node in enumerate(graph.nodes)}
    errors = sorted(lowering.errors, key=lambda error: place.get(error.where, 0))
    found = dict.fromkeys((error.where, error.expected, error.found, error.remedy) for error in errors)
    return [
        _blocker(graph, UnsupportedError("", where=w, expected=e, found=f, remedy=r)) for w, e, f, r in found
    ]


def _blocker(graph: Graph, error: UnsupportedError) -> Blocker:
    operator = next((node.op for node in graph.nodes if node.name == error.where), "")
    found = blocker_of(error, error.where, operator)
    return replace(found, what=f"the array engine needs {error.expected}")


def picture_shape(graph: Graph) -> Shape:
    """Return the shape ``(c, h, w)`` of a sample; features are channels of a single pixel, lines of one row.

    It is the shape in which the first encoder gives codes: movers before it only add or drop axes.
    """
    encoder = next((node for node in graph.nodes if node.op == "Encode"), None)
    name = graph.inputs[0] if encoder is None else encoder.outputs[0]
    shape = as_map(tuple(graph.value(name).shape[1:]))
    if shape is None:
        raise UnsupportedError(
            "the array engine does not run this network",
            where=graph.name,
            expected="one input [n, c, h, w], [n, c, w] or [n, features]",
            found=str(graph.value(name).shape),
            remedy=INPUT,
        )
    return shape


def _pixel_ranks(lowering: Lowering, values: npt.NDArray[np.float32]) -> Integers:
    """Return the rank of every byte, ``[256]``, or of every byte of every channel, ``[channels, 256]``."""
    graph, nodes = lowering.graph, lowering.encoder
    channels = picture_shape(graph)[0]
    rows = np.arange(channels)
    x: Array = np.broadcast_to(values, (channels, len(values)))
    for node in nodes:
        x = applied(graph, node, x, parameters_of(graph, node, channels), rows)
    order = lowering.encoding_of(nodes[-1].outputs[0]).code_of_rank()[0].astype(np.intp)
    ranks = np.argsort(order)[np.asarray(x, np.intp)].astype(np.int64)
    return ranks[0] if (ranks == ranks[0]).all() else ranks
