"""Nodes and values of what torch exported, called after the modules that made them.

/model/features/features.0/Relu      features.0
/model/Relu_1                        relu_1
"""

from collections import Counter
from dataclasses import replace
from typing import Any

from lowbit.ir import Graph, Trait, has

ROOT = "model"
"""What the user's module is called in the one that is exported."""


def as_called_by_users(graph: Any) -> None:
    """Let initializers of a graph of ONNX have the names of the user's module, in place."""
    prefix = f"{ROOT}."
    for tensor in graph.initializer:
        tensor.name = tensor.name.removeprefix(prefix)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [name.removeprefix(prefix) for name in names]


def called_by_modules(graph: Graph) -> Graph:
    """Return the graph with such names; constants, inputs, outputs and names of others stay."""
    named = [_name(node.name) for node in graph.nodes]
    many = Counter(path for path, _ in named)
    taken = {name for name, value in graph.values.items() if value.data is not None}
    names: list[str] = []
    for node, (path, operator) in zip(graph.nodes, named, strict=True):
        if operator is None:
            wanted = node.name
        elif path and many[path] == 1:
            wanted = path
        else:
            wanted = f"{path}/{operator}".lstrip("/").lower() if not path else f"{path}/{operator}"
        names.append(_free(wanted, taken))
    values = _values(graph, names)
    result = replace(graph, nodes=[], values={})
    for old, value in graph.values.items():
        new = values.get(old, old)
        result.values[new] = replace(value, name=new)
    result.nodes = [
        replace(
            node,
            name=name,
            inputs=tuple(values.get(each, each) for each in node.inputs),
            outputs=tuple(values.get(each, each) for each in node.outputs),
        )
        for node, name in zip(graph.nodes, names, strict=True)
    ]
    return result


def _values(graph: Graph, names: list[str]) -> dict[str, str]:
    """Return new names of what nodes give, but for outputs of the network and codes."""
    kept = {*graph.inputs, *graph.outputs} | {
        name for name, value in graph.values.items() if value.encoding is not None
    }
    made: dict[str, str] = {}
    taken = set(graph.values)
    for node, name in zip(graph.nodes, names, strict=True):
        for number, output in enumerate(node.outputs):
            if output and output not in kept:
                made[output] = _free(f"{name}.out{number or ''}", taken)
        for number, source in enumerate(node.inputs):
            if source.startswith(f"/{ROOT}/") and source not in made and source not in kept:
                part = "weight" if number == 1 and has(node, Trait.LAYER) else number
                made[source] = _free(f"{name}.{part}", taken)
    return made


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def _name(name: str) -> tuple[str, str | None]:
    """Return module and operator of a node that torch named, or the name and None."""
    if not name.startswith("/"):
        return name, None
    *scopes, operator = name.removeprefix(f"/{ROOT}").lstrip("/").split("/")
    path = ""
    for scope in scopes:
        whole = scope if scope.startswith(f"{path}.") else f"{path}.{scope}".lstrip(".")
        path = whole
    return path, operator
