"""From a trained module to the graph: `to_graph`. A float network stays float; low-bit layers give codes.

The calls that a module makes become nodes (`lowbit.nn.emission`); a low-bit layer becomes an encoder and a
layer on codes, with exactly the integers and scales that the module multiplies in eval mode. Passes then
remove the floats between the layers, as they do behind post-training quantization: batch normalization and
a sign become thresholds.
"""

from collections.abc import Sequence

from torch import fx, nn

from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Value, infer, run_passes, verify
from lowbit.ir.passes import LOW_BIT_FORM
from lowbit.nn.emission import Emission, emit, unknown_calls
from lowbit.nn.trace import trace
from lowbit.quantization.fixed_point import to_fixed_point

INPUT, OUTPUT = "x", "logits"


def to_graph(model: nn.Module, input_shape: Sequence[int], name: str = "") -> Graph:
    """Return a module as a graph from `x [n, *input_shape]` to `logits`.

    Args:
        model: what eval mode computes is what the graph computes; it is left as it was.
        input_shape: of one sample.
        name: of the graph; the architecture's, or the class's, when empty.

    Raises:
        UnsupportedError: a call that the graph has no operator for, or a forward that depends on its input.
    """
    was_training = model.training
    model.eval()
    try:
        emission = _emitted(model, tuple(input_shape), name or _name(model))
    finally:
        model.train(was_training)
    graph = emission.graph
    if any(emission.formats.values()):
        return _in_fixed_point(emission)
    if any(node.domain == "lowbit" for node in graph.nodes):
        graph = run_passes(graph, LOW_BIT_FORM).graph
    verify(graph)
    return graph


def _in_fixed_point(emission: Emission) -> Graph:
    """Return integers of the one format that all layers have."""
    graph, formats = emission.graph, set(emission.formats.values())
    chosen = formats.pop()
    if formats or chosen is None or any(node.op == "BatchNormalization" for node in graph.nodes):
        raise UnsupportedError(
            "a fixed-point network has one format in all its layers, and no batch normalization",
            where=graph.name,
            found=", ".join(f"{name} {found or 'float'}" for name, found in emission.formats.items()),
        )
    return to_fixed_point(graph, chosen.integer_bits, chosen.fraction_bits, chosen.rounding)


def _emitted(model: nn.Module, input_shape: tuple[int, ...], name: str) -> Emission:
    graph = Graph(name, (INPUT,), (OUTPUT,))
    graph.add(Value(INPUT, "float32", ("n", *input_shape)))
    emission, names, calls = Emission(graph, model), dict[fx.Node, str](), trace(model)
    if unknown := unknown_calls(calls, model):
        raise UnsupportedError(
            f"there is no operator for {len(unknown)} of the calls", where=name, found=", ".join(unknown)
        )
    for call in calls.nodes:
        if call.op == "placeholder":
            if names:
                raise UnsupportedError("a network has one input", where=name, found=str(call.target))
            names[call] = INPUT
        elif call.op == "output":
            emission.finish(names.get(call.args[0], ""), OUTPUT)
        elif (made := emit(emission, call, names)) is not None:
            names[call] = made
    infer(graph)
    return emission


def _name(model: nn.Module) -> str:
    architecture = getattr(model, "architecture", None)
    return str(architecture.name) if architecture is not None else type(model).__name__.lower()
