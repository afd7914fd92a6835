"""What both graphs of a description share: nodes that carry a layer's name, and layers without weights."""

from dataclasses import replace

from lowbit.ir import Graph, Node, Value
from lowbit.ir.graph import Attribute
from lowbit.zoo.architecture import Architecture, Convolution, Placed, Pool

INPUT, OUTPUT = "x", "logits"


def start(architecture: Architecture, name: str) -> Graph:
    """Return a graph that has its input and no nodes."""
    graph = Graph(name, (INPUT,), (OUTPUT,))
    graph.add(Value(INPUT, "float32", ("n", *architecture.input_shape)))
    return graph


def append(graph: Graph, operator: str, name: str, *inputs: str, **attributes: Attribute) -> str:
    """Append a node of ``operator`` or ``domain.operator`` and return the name of its output."""
    domain, _, op = operator.rpartition(".")
    graph.nodes.append(Node(op, inputs, (f"{name}.out",), attributes, name, domain))
    return f"{name}.out"


def end(graph: Graph) -> None:
    """Call what the last node gives the graph's output."""
    graph.nodes[-1] = replace(graph.nodes[-1], outputs=(OUTPUT,))


def window(layer: Convolution | Pool) -> dict[str, Attribute]:
    """Return the attributes that say how a window moves."""
    sizes: dict[str, Attribute] = {"kernel_shape": (layer.kernel,) * 2, "strides": (layer.stride,) * 2}
    if isinstance(layer, Pool):
        return sizes
    grouped: dict[str, Attribute] = {"group": layer.groups} if layer.groups != 1 else {}
    return sizes | {"pads": (layer.padding,) * 4} | grouped


def pool(graph: Graph, item: Placed, source: str) -> str:
    """Append a pool."""
    assert isinstance(item.layer, Pool)
    return append(graph, f"{item.layer.kind.capitalize()}Pool", item.name, source, **window(item.layer))


def global_average(graph: Graph, item: Placed, source: str) -> str:
    """Append the mean of every map, and flatten."""
    means = append(graph, "GlobalAveragePool", f"{item.name}/maps", source)
    return append(graph, "Flatten", item.name, means)
