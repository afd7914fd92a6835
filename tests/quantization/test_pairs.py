"""Any scheme of weights goes with any scheme of inputs: calibrated, kept by text, near the float network."""

import numpy as np
import pytest

from lowbit.backends import BACKENDS
from lowbit.errors import NumericError
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.layers import is_low_bit
from lowbit.ir.text import from_text, to_text
from lowbit.quantization import Plan, quantize
from lowbit.schemes.registry import REGISTRY
from lowbit.schemes.specification import specification

BITS = {"affine": (2, 4, 8), "pow2": (2, 4), "lq": (1, 3)}
FORMATS = ("fixed:4.3", "fixed:6.7", "fixed:4.9:floor")


def forms(use: str) -> list[str]:
    """Return specifications of every scheme of the registry; of a new one, the fewest and the most bits."""
    found = [*FORMATS, "float"]
    for name, row in REGISTRY.items():
        if getattr(row, use) and row.parameter == "bits":
            found += [f"{name}:{bits}" for bits in BITS.get(name, getattr(row, use))]
        elif getattr(row, use) and not row.parameter and name != "float":
            found.append(name)
    return found


PAIRS = [
    (weights, inputs, ("gptq", "rtn")[(row + column) % 2])
    for row, weights in enumerate(form for form in forms("weights") if form != "float")
    for column, inputs in enumerate(forms("activations"))
    if (row + column) % 3 == 0
]
"""Every third pair, so that each scheme meets schemes of every kind; conformance has them all."""


def network(seed: int = 0, spread: float = 1.0) -> Graph:
    """Return a convolution, a pool and two layers, with every kind of activation between."""
    random, graph = np.random.default_rng(seed), Graph("net", ("x",), ("y",))
    graph.add(Value("x", "float32", ("n", 2, 4, 4)))

    def constant(name: str, *shape: int) -> str:
        scale = spread / np.sqrt(np.prod(shape[1:]) or 1)
        return graph.add_constant(name, (random.normal(size=shape) * scale).astype(np.float32))

    def add(op: str, source: str, *constants: str, **attributes: object) -> str:
        name = f"{op.lower()}{len(graph.nodes)}"
        graph.nodes.append(Node(op, (source, *constants), (name,), attributes, name))
        return name

    window = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}
    value = add("Relu", add("Conv", "x", constant("w1", 4, 2, 3, 3), constant("b1", 4), **window))
    value = add("Flatten", add("MaxPool", value, kernel_shape=(2, 2), strides=(2, 2)))
    value = add("Tanh", add("Gemm", value, constant("w2", 6, 16), constant("b2", 6), transB=1))
    value = add("Gemm", value, constant("w3", 6, 6), constant("b3", 6), transB=1)
    last = constant("w4", 3, 6), constant("b4", 3)
    graph.nodes.append(Node("Gemm", (value, *last), ("y",), {"transB": 1}, "last"))
    infer(graph)
    verify(graph)
    return graph


SAMPLES = np.random.default_rng(1).normal(size=(120, 2, 4, 4)).astype(np.float32)


@pytest.mark.parametrize(("weights", "inputs", "method"), PAIRS)
def test_every_pair_is_calibrated_and_kept_by_text(weights: str, inputs: str, method: str) -> None:
    graph, _ = quantize(
        network(), SAMPLES, Plan(weights=weights, activations=inputs, method=method, restarts=1)
    )
    layers = [node for node in graph.nodes if is_low_bit(node)]
    assert len(layers) == 4
    for node in layers:
        source, stored = (graph.value(name).encoding for name in node.inputs[:2])
        assert stored is not None and stored.bits == specification(weights).bits
        assert (source is None) == (inputs == "float")
        assert source is None or source.bits == specification(inputs).bits
    exact, found = (evaluate(net, {"x": SAMPLES[:40]})["y"] for net in (network(), graph))
    error = ((found - exact) ** 2).sum() / (exact**2).sum()
    bits = min(specification(weights).bits, specification(inputs).bits)
    limit = {1: 1.2, 2: 0.8, 3: 0.4}.get(bits, 0.1)
    assert error < limit or inputs == "pixels", error  # a grid of 0 to 1 clips values between layers
    again = from_text(to_text(graph))
    assert np.array_equal(evaluate(again, {"x": SAMPLES[:40]})["y"], found)
    engine = BACKENDS["engine"]
    if inputs != "float" and not engine.blockers(graph):
        assert np.array_equal(engine.load(graph).run(SAMPLES[:40])[0], found)


def test_weights_that_a_format_does_not_hold_are_all_named_before_any_work() -> None:
    plan = Plan(weights="fixed:1.7", activations="lq:2")
    with pytest.raises(NumericError, match="would be clipped") as error:
        quantize(network(spread=6.0), SAMPLES, plan)
    assert error.value.found.count(" of ") >= 3 and "fixed:1.7" in error.value.found
