"""Outputs that are quantized in a file are reals in the graph, as inputs are."""

from dataclasses import replace

from lowbit.ir.graph import Graph, Node


def decode_outputs(graph: Graph) -> Graph:
    """Return the graph with a decoder behind every output of codes; the reals have its name."""
    made = graph.copy()
    for name in graph.outputs:
        value = graph.value(name)
        if value.encoding is None or value.data is not None:
            continue
        codes = made.add(replace(value, name=made.fresh_name(f"{name}/codes")))
        made.nodes = [_renamed(node, name, codes) for node in made.nodes]
        made.update(name, dtype="float32", encoding=None)
        made.nodes.append(Node("Decode", (codes,), (name,), {}, made.fresh_name(f"{name}/decode"), "lowbit"))
        made.notes = (
            *made.notes,
            f"output {name} is given as the reals that its {value.encoding.bits}-bit codes stand for",
        )
    return made


def _renamed(node: Node, old: str, new: str) -> Node:
    inputs, outputs = (
        tuple(new if name == old else name for name in names) for names in (node.inputs, node.outputs)
    )
    return replace(node, inputs=inputs, outputs=outputs)
