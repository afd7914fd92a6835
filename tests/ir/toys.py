"""Operators that exist for one test, and networks of one operator."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from lowbit.ir import OPERATORS, Graph, Node, Operator, Value, infer, verify
from lowbit.ir.activations import ACTIVATIONS, Activation
from lowbit.ir.graph import Attribute
from lowbit.ir.operators.composites import composite


@contextmanager
def toy(
    name: str, inputs: str, body: str, domain: str = "", torch: str = "", **attributes: Attribute
) -> Iterator[Operator]:
    """Declare an operator by its body for as long as the context lasts."""
    assert (domain, name) not in OPERATORS
    try:
        yield composite(name, inputs, body, domain=domain, torch=torch, **attributes)
    finally:
        del OPERATORS[domain, name]


def network(
    op: str,
    shape: tuple[int, ...],
    attributes: Mapping[str, Attribute] = {},
    domain: str = "",
    constants: Mapping[str, npt.ArrayLike] = {},
) -> Graph:
    """Return y = op(x) for samples of that shape; constants are there for whoever puts in another node."""
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    for name, data in constants.items():
        graph.add_constant(name, data)
    operator = OPERATORS[domain, op]
    inputs = ("x", *constants)[: len(operator.inputs)]
    graph.nodes.append(Node(op, inputs, ("y",), dict(attributes), "f", domain))
    infer(graph)
    verify(graph)
    return graph


def samples(shape: tuple[int, ...], count: int = 6) -> npt.NDArray[np.float32]:
    """Return samples with zeros of both signs, infinities, subnormal, huge and ordinary numbers."""
    x = np.random.default_rng(5).normal(size=(count, *shape)).astype(np.float32) * 4
    odd = [0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 3e38, -3e38, 88.0, -104.0]
    x.reshape(-1)[: len(odd)] = odd[: x.size]
    return x


@contextmanager
def toy_activation(name: str, row: Activation) -> Iterator[None]:
    """Let layers have an activation for as long as the context lasts."""
    assert name not in ACTIVATIONS
    try:
        ACTIVATIONS[name] = row
        yield
    finally:
        del ACTIVATIONS[name]
