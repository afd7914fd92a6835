"""What the numbers of a stage stand for, and what the graph makes of that up to the next codes.

A layer's sums, or codes, are reals in the graph, with functions of single elements behind them. Hardware has
no reals: the whole way from a number to the next code is one function of integers, which the graph's own
operators compute here, so that a rounding or a tie is the graph's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.activations import ACTIVATIONS, apply_activation, real_output
from lowbit.ir.deployed import DeployedLayer, accumulator_bound
from lowbit.ir.graph import Array
from lowbit.ir.layers import activation_of
from lowbit.ir.passes.order_pools import is_monotone
from lowbit.ir.reference import evaluate_node
from lowbit.rtl.array.endings import Ending, Meaning, ending_of, runs
from lowbit.schemes import Encoding

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Reals:
    """Reals that numbers stand for.

    Attributes:
        of: reals, float32, of numbers ``[rows, n]``, of the rows named.
        slope, start: ``slope * number + start`` is the real, about; of every row.
        least, most: of the numbers.
        shape: row classes, column classes, channels (1 where all are alike): rows in this order.
    """

    of: Callable[[Integers, Rows], Array]
    slope: Floats
    start: Floats
    least: int
    most: int
    shape: tuple[int, int, int]

    def by_channel(self, channels: int) -> "Reals":
        """Return the same with rows of their own for every channel."""
        rows, columns, own = self.shape
        if own == channels:
            return self
        assert own == 1

        def of(numbers: Integers, at: Rows) -> Array:
            return self.of(numbers, at // channels)

        slope, start = (np.repeat(values, channels) for values in (self.slope, self.start))
        return replace(self, of=of, slope=slope, start=start, shape=(rows, columns, channels))


def reals_of_layer(layer: DeployedLayer, bias: Floats, levels: Integers, activation: str) -> Reals:
    """Return what a layer gives whose output is real, of its sums without what is added to them."""
    scale, shape = layer.scale, bias.shape
    outputs, biases = shape[-1], bias.reshape(-1)

    def of(numbers: Integers, rows: Rows) -> Array:
        at = rows % outputs
        exact = scale[at, None] * (numbers + layer.addend[at, None]).astype(np.float64) + biases[rows, None]
        return real_output(exact, activation)

    bound = accumulator_bound(np.asarray(levels, np.int32), layer.weights)
    slope = np.resize(scale, len(biases))
    return Reals(
        of, slope, biases + slope * np.resize(layer.addend, len(biases)), -bound, bound, _three(shape)
    )


def reals_of_codes(encoding: Encoding) -> Reals:
    """Return what the ranks of an encoding stand for."""
    order = encoding.code_of_rank()[0]
    levels = np.asarray(encoding.decode(order), np.float32).reshape(-1)
    top = len(levels) - 1
    slope = max((float(levels[-1]) - float(levels[0])) / max(top, 1), 1e-30)

    def of(numbers: Integers, rows: Rows) -> Array:
        return levels[np.clip(numbers, 0, top)]

    return Reals(of, np.array([slope]), np.array([float(levels[0])]), 0, top, (1, 1, 1))


def coded_layer(
    layer: DeployedLayer, bias: Floats, levels: Integers, target: Encoding, activation: str
) -> Meaning:
    """Return what the sums of a layer become that rounds to codes, once."""
    reals = reals_of_layer(layer, bias, levels, "none")
    outputs, biases = bias.shape[-1], bias.reshape(-1)
    ranks = _ranks(target)

    def rank(numbers: Integers, rows: Rows) -> Integers:
        at = rows % outputs
        real = layer.scale[at, None] * (numbers + layer.addend[at, None]).astype(np.float64)
        coded = target.encode(apply_activation(activation, real + biases[rows, None]))
        return ranks[coded.astype(np.intp)]

    return _meaning(reals, rank, target)


def compared_layer(
    layer: DeployedLayer, bias: Floats, levels: Integers, target: Encoding, thresholds: Integers
) -> Meaning:
    """Return what the sums of a layer become that compares them with ``[row, column classes, o, steps]``."""
    reals = reals_of_layer(layer, bias, levels, "none")
    steps = thresholds.reshape(-1, thresholds.shape[-1]) - np.resize(layer.addend, len(reals.slope))[:, None]

    def rank(numbers: Integers, rows: Rows) -> Integers:
        found = (np.searchsorted(steps[row], one) for row, one in zip(rows, numbers, strict=True))
        return np.stack(list(found)).astype(np.int64)

    return _meaning(reals, rank, target)


def ending_of_nodes(graph: Graph, reals: Reals, nodes: Sequence[Node], channels: int) -> Ending | None:
    """Return how numbers end in the codes of an encoder behind functions; None where there is no way.

    Args:
        graph: the network.
        reals: what the numbers are.
        nodes: functions of single elements, then the encoder.
        channels: of the value that the first of them reads.
    """
    *functions, encoder = nodes
    parameters = [parameters_of(graph, node, channels) for node in nodes]
    if any(array.size > 1 for own in parameters[:-1] for array in own.values()):
        reals = reals.by_channel(channels)
    own_channels, target = reals.shape[2], graph.value(encoder.outputs[0]).encoding
    assert target is not None
    ranks = _ranks(target)

    def rank(numbers: Integers, rows: Rows) -> Integers:
        x, at = reals.of(numbers, rows), rows % own_channels
        for node, own in zip(nodes, parameters, strict=True):
            x = applied(graph, node, x, own, at)
        return ranks[x.astype(np.intp)]

    meaning = _meaning(reals, rank, target)
    if all(is_monotone(graph, node) for node in functions):
        return ending_of(meaning)
    return runs(meaning)


def parameters_of(graph: Graph, node: Node, channels: int) -> dict[str, Array]:
    """Return the constants of a function: of one element, or of one for each channel.

    Raises:
        ValueError: they differ along another axis.
    """
    found, rank = {}, len(graph.value(node.outputs[0]).shape)
    for name in node.inputs:
        data = graph.values[name].data if name else None
        if data is None:
            continue
        array = np.asarray(data)
        if node.op == "Encode" or array.size == 1:
            found[name] = array if node.op == "Encode" else array.reshape(())
            continue
        shape = (1,) * (rank - array.ndim) + array.shape
        if any(extent != 1 for axis, extent in enumerate(shape) if axis != 1) or shape[1] != channels:
            raise ValueError(f"{name} {array.shape}")
        found[name] = array.reshape(-1)
    return found


def applied(graph: Graph, node: Node, x: Array, own: dict[str, Array], channel: Rows) -> Array:
    """Return a function of reals ``[rows, n]``, of the channel of each row."""
    arrays = {name: array[channel, None] if array.ndim == 1 and node.op != "Encode" else array
              for name, array in own.items()}  # fmt: skip
    (source,) = (name for name in dict.fromkeys(node.inputs) if name and name not in own)
    return evaluate_node(graph, node, {**arrays, source: x})[0]


def clips_alone(graph: Graph, node: Node) -> bool:
    """Return whether a function only clips: then a rounding behind it is still a line."""
    name = activation_of(graph, node)
    return name is not None and ACTIVATIONS[name].clip is not None


def is_function(graph: Graph, node: Node) -> bool:
    """Return whether a node is a function of each element of one value that is computed."""
    computed = {name for name in node.inputs if name and graph.values[name].data is None}
    each = has(node, Trait.ELEMENTWISE) or has(node, Trait.BROADCASTS)
    source = next(iter(computed), "")
    return (
        each
        and len(computed) == 1
        and graph.value(source).encoding is None
        and not _widens(graph, node, source)
    )


def _widens(graph: Graph, node: Node, source: str) -> bool:
    return graph.value(source).shape != graph.value(node.outputs[0]).shape


def _meaning(reals: Reals, rank: Callable[[Integers, Rows], Integers], target: Encoding) -> Meaning:
    levels = np.asarray(target.levels()[0], np.float64)[target.code_of_rank()[0].astype(np.intp)]
    top = len(levels) - 1
    step = max((levels[-1] - levels[0]) / max(top, 1), 1e-30)
    slope, start = reals.slope / step, (reals.start - levels[0]) / step
    return Meaning(rank, slope, start, top, reals.least, reals.most, reals.shape)


def _ranks(encoding: Encoding) -> Integers:
    """Return the rank of every code."""
    order = encoding.code_of_rank()[0].astype(np.intp)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    rows, columns, outputs = (1, 1, 1, *shape)[-3:]
    return rows, columns, outputs
