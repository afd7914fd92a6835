"""Layers that share their weights: the steps of a recurrent layer, encoders of two inputs, tied blocks.

To a plan and to calibration they are one layer, called as the first of them. What any of them sees is looked
at, and one constant serves them all, as before.
"""

from dataclasses import replace
from hashlib import sha256

from lowbit.ir import Graph, Node
from lowbit.ir.passes import LAYER_FORM, Pass, decode_layers, run_passes
from lowbit.quantization.choice import is_layer


def layer_form(graph: Graph) -> Graph:
    """Return a network whose layers are such as quantization knows, those that share reading one constant."""
    return run_passes(graph, [decode_layers, *LAYER_FORM, share_weights]).graph


def layer_names(network: Graph) -> list[str]:
    """Return the names of all layers with constant weights, in order; of those that share them the first."""
    return list(teams(network))


def teams(graph: Graph) -> dict[str, list[Node]]:
    """Return the layers of a network by the name of the first of those that share weights and bias."""
    found: dict[tuple[object, ...], list[Node]] = {}
    for node in graph.nodes:
        if is_layer(graph, node):
            found.setdefault((node.attributes.get("group", 1), *node.inputs[1:]), []).append(node)
    return {team[0].name: team for team in found.values()}


def _apply(graph: Graph) -> bool:
    """Let layers of equal numbers read the same constants, whoever made copies of them."""
    first: dict[tuple[object, ...], tuple[str, ...]] = {}
    changed = False
    for at, node in enumerate(graph.nodes):
        if is_layer(graph, node):
            constants = first.setdefault(_numbers(graph, node), node.inputs[1:])
            changed |= constants != node.inputs[1:]
            graph.nodes[at] = replace(node, inputs=(node.inputs[0], *constants))
    return changed


def _numbers(graph: Graph, node: Node) -> tuple[object, ...]:
    arrays = [graph.constant(name) for name in node.inputs[1:]]
    return (node.op, *((array.shape, sha256(array.tobytes()).digest()) for array in arrays))


share_weights = Pass("share-weights", _apply)
