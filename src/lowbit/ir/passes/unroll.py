"""Write out recurrent layers of a fixed number of steps, so that their matrices are layers.

Each becomes what its declaration calls parts (`lowbit.ir.operators.unrolled`): a fully connected layer of all
steps at once, and one of the state for each step, all by one constant. Quantization starts from this form.
"""

from lowbit.ir.graph import Graph, Node
from lowbit.ir.infer import call_of
from lowbit.ir.operators.recurrent import is_recurrent
from lowbit.ir.passes.expand import expansion


def _stays(graph: Graph, node: Node) -> bool:
    return not is_recurrent(node)


def why_recurrent(graph: Graph, node: Node) -> str:
    """Return why a recurrent layer stays one, or "" where it is none or is written out."""
    if not is_recurrent(node):
        return ""
    call = call_of(graph, node)
    return call.operator.whole(call) if call.operator.whole else ""


unroll = expansion(_stays)
