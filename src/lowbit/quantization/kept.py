"""What of a network stays float when it is quantized, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.layers import is_low_bit, is_product
from lowbit.ir.passes import why_recurrent, why_transposed
from lowbit.quantization.choice import is_layer
from lowbit.quantization.plan import Plan
from lowbit.quantization.shared import layer_form, layer_names


@dataclass(frozen=True)
class KeptReport:
    """A layer that stays float.

    Attributes:
        name: the layer's node.
        op: its operator.
        why: it does.
    """

    name: str
    op: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} ({self.op}) stays float, since {self.why}."


@dataclass(frozen=True)
class Candidate:
    """A layer with constant weights.

    Attributes:
        name: as plans call it.
        operator: of its node.
        weights: their shape.
        why: it is left in float; "" where it can be quantized.
    """

    name: str
    operator: str
    weights: tuple[int, ...]
    why: str


def candidates(graph: Graph) -> list[Candidate]:
    """Return the layers of a network as quantization sees them, in order, with what it leaves in float."""
    network = layer_form(graph)
    names = set(layer_names(network))
    found = [(node, _why(network, node)) for node in network.nodes]
    return [_candidate(network, node, why) for node, why in found if why or node.name in names]


def _candidate(network: Graph, node: Node, why: str) -> Candidate:
    dtype = network.value(node.inputs[0]).dtype
    if not why and dtype != "float32":
        why = f"it reads {dtype}"
    values = [network.value(name) for name in node.inputs[:2]]
    weights = next((value for value in values[::-1] if value.data is not None), values[1])
    shape = tuple(int(length) for length in weights.shape if isinstance(length, int))
    return Candidate(node.name, node.op, shape, why)


def kept_float(network: Graph, names: Sequence[str], plan: Plan) -> tuple[KeptReport, ...]:
    """Return what multiplies by weights and stays float, in order.

    Args:
        network: the float network whose layers are quantized.
        names: of its layers.
        plan: of every layer.
    """
    planned = {name: "the plan says so" for name in names if plan.for_layer(name).is_float}
    named = [(node, why) for node in network.nodes if (why := planned.get(node.name) or _why(network, node))]
    return tuple(KeptReport(node.name, node.op, why) for node, why in named)


def _why(network: Graph, node: Node) -> str:
    """Return why a node with weights is no layer that can be quantized, or "" for all other nodes."""
    if is_layer(network, node):
        return ""
    return next(filter(None, (found(network, node) for found in _REASONS)), "")


def _why_linear(network: Graph, node: Node) -> str:
    """Return why a product or a convolution is no layer."""
    if node.domain or not has(node, Trait.LAYER):
        return ""
    constant = [network.value(name).data is not None for name in node.inputs[:2]]
    if not any(constant):
        return "" if is_product(node) else "its weights are computed"
    if not is_product(node):
        return f"its maps have {len(network.value(node.inputs[1]).shape) - 2} axes"
    if constant[0]:
        return "its constant stands on the left"
    if len(network.value(node.inputs[1]).shape) != 2:
        return "it has a matrix for every sample or head"
    return "its input has too many axes" if node.op == "MatMul" else "its bias or its sides are computed"


def _why_low_bit(network: Graph, node: Node) -> str:
    if not is_low_bit(node):
        return ""
    encoding = network.value(node.inputs[1]).encoding
    codes = f" ({encoding.scheme}, {encoding.bits} bits)" if encoding else ""
    return f"its weights are codes already{codes}"


def _why_table(network: Graph, node: Node) -> str:
    """Return why a table of rows, as embeddings are, is no layer."""
    table = network.value(node.inputs[0])
    if node.domain or node.op != "Gather" or table.data is None or table.data.ndim < 2:
        return ""
    return "rows are taken of its table, not multiplied" if table.dtype == "float32" else ""


_REASONS = (_why_low_bit, why_recurrent, why_transposed, _why_linear, _why_table)
