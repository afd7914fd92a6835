"""What is left out at the end of a classifier: functions behind its scores, which change no class.

Hardware ends in scores, as integers that a scale and a bias make reals of. Whoever wants what the network
itself ends in computes it of those: `Ends.finish`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.activations import real_output
from lowbit.ir.graph import Array
from lowbit.ir.layers import is_low_bit
from lowbit.ir.nodes import Nodes
from lowbit.ir.passes.order_pools import is_monotone
from lowbit.ir.reference import evaluate_node


@dataclass(frozen=True, eq=False)
class Ends:
    """A network up to its scores, and what is behind them.

    Attributes:
        scored: the network whose outputs are scores.
        whole: as it was.
        left_out: what is not in hardware, in words.
        activations: of the layers that give scores, by output, where they had one.
    """

    scored: Graph
    whole: Graph
    left_out: tuple[str, ...]
    activations: Mapping[str, str]

    def finish(self, scores: npt.NDArray[np.float32]) -> tuple[Array, ...]:
        """Return the outputs of the whole network of scores ``[n, all scores]``, output after output."""
        arrays: dict[str, Array] = {
            name: value.data for name, value in self.whole.values.items() if value.data is not None
        }
        at = 0
        for name in dict.fromkeys(self.scored.outputs):
            lengths = tuple(int(extent) for extent in self.scored.value(name).shape[1:])
            count = int(np.prod(lengths))
            own = scores[:, at : at + count].reshape(len(scores), *lengths)
            arrays[name], at = real_output(own, self.activations.get(name, "none")), at + count
        kept = {(node.name, node.outputs) for node in self.scored.nodes}
        for node in self.whole.nodes:
            if (node.name, node.outputs) not in kept:
                arrays.update(zip(node.outputs, evaluate_node(self.whole, node, arrays), strict=True))
        return tuple(arrays[name] for name in self.whole.outputs)


def scored(graph: Graph) -> Ends:
    """Return a network without what stands behind its scores.

    That is softmax and its kin, functions that do not fall, and the number of the largest score: the class is
    the same without them.
    """
    outputs, left_out, activations = [], [], {}
    for name in graph.outputs:
        while (node := graph.producer(name)) is not None and _is_behind_scores(graph, node):
            left_out.append(f"{node.op} ({node.name or name})")
            name = node.inputs[0]
        activation = "none" if node is None else str(node.attributes.get("activation", "none"))
        if (
            node is not None
            and is_low_bit(node)
            and graph.value(name).encoding is None
            and activation != "none"
        ):
            left_out.append(f"{activation} ({node.name})")
            activations[name] = activation
        outputs.append(name)
    if not left_out:
        return Ends(graph, graph, (), {})
    cut = replace(graph, outputs=tuple(dict.fromkeys(outputs)))
    kept = [node for node in graph.nodes if _leads_to(graph, node, set(cut.outputs))]
    cut.nodes = Nodes(
        _without_activation(node) if set(node.outputs) & activations.keys() else node for node in kept
    )
    return Ends(cut, graph, tuple(dict.fromkeys(left_out)), activations)


def _without_activation(node: Node) -> Node:
    return replace(node, attributes={**node.attributes, "activation": "none"})


_PLACES = frozenset({"ArgMax"})


def _is_behind_scores(graph: Graph, node: Node) -> bool:
    source = graph.producer(node.inputs[0]) if node.inputs else None
    if source is None or len(graph.consumers(node.inputs[0])) > 1 or len(node.outputs) > 1:
        return False
    if graph.value(node.inputs[0]).encoding is not None:
        return False
    behind = has(node, Trait.ENDS_CLASSIFIER) or _is_largest(node) or _is_rising(graph, node)
    return behind or (has(node, Trait.KEEPS_ORDER) and _is_behind_scores(graph, source))


def _is_rising(graph: Graph, node: Node) -> bool:
    return has(node, Trait.ELEMENTWISE) and not has(node, Trait.MOVES) and is_monotone(graph, node)


def _is_largest(node: Node) -> bool:
    return node.op in _PLACES and not node.attributes.get("select_last_index", 0)


def _leads_to(graph: Graph, node: Node, names: set[str]) -> bool:
    waiting, seen = list(node.outputs), set[str]()
    while waiting:
        name = waiting.pop()
        if name in names:
            return True
        if name not in seen:
            seen.add(name)
            waiting += [output for reader in graph.consumers(name) for output in reader.outputs]
    return False
