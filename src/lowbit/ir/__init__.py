"""The graph IR: what a network is, what its operators mean, and how it is printed and checked."""

from lowbit.ir.graph import DTYPES, Graph, Node, Value, topological
from lowbit.ir.infer import infer
from lowbit.ir.operators import OPERATORS, Operator, Trait, carried, has, operator_of, operators_with
from lowbit.ir.passes import PassResult, run_passes
from lowbit.ir.reference import evaluate
from lowbit.ir.text import from_text, to_text
from lowbit.ir.verify import Finding, findings, verify

__all__ = [
    "DTYPES",
    "OPERATORS",
    "Finding",
    "Graph",
    "Node",
    "Operator",
    "PassResult",
    "Trait",
    "Value",
    "carried",
    "evaluate",
    "findings",
    "from_text",
    "has",
    "infer",
    "operator_of",
    "operators_with",
    "run_passes",
    "to_text",
    "topological",
    "verify",
]
