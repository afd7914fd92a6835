"""Recurrent layers written out step by step: the same numbers, their matrices layers by one constant."""

import itertools
from typing import Any

import numpy as np
import pytest

from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from lowbit.ir.operators.recurrent import is_recurrent
from lowbit.ir.passes import expand, run_passes, unroll, why_recurrent

STEPS, INPUTS, HIDDEN = 5, 3, 4
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "RNN": [{}, {"clip": 0.5}, {"activations": "Relu"}],
    "GRU": [{}, {"clip": 0.5}, {"linear_before_reset": 1}, {"activations": "HardSigmoid Softsign"}],
    "LSTM": [
        {},
        {"clip": 0.5},
        {"P": 1},
        {"P": 1, "input_forget": 1},
        {"activations": "Sigmoid Elu LeakyRelu"},
    ],
}


def network(op: str, way: str, given: tuple[str, ...], steps: int | str = STEPS, **attributes: Any) -> Graph:
    """Return one recurrent layer with all its outputs; `given` names the optional inputs that it has."""
    random, ways = np.random.default_rng(0), 2 if way == "bidirectional" else 1
    rows = GATES[op] * HIDDEN
    constants = {"W": (rows, INPUTS), "R": (rows, HIDDEN), "B": (2 * rows,), "P": (3 * HIDDEN,)}
    computed = {
        "sequence_lens": Value("sequence_lens", "int64", ("n",)),
        "initial_h": Value("initial_h", "float32", (ways, "n", HIDDEN)),
        "initial_c": Value("initial_c", "float32", (ways, "n", HIDDEN)),
    }
    graph = Graph("net", ("x",), (), values={"x": Value("x", "float32", (steps, "n", INPUTS))})
    wanted = {"W", "R", *given, *(["P"] if attributes.pop("P", 0) else [])}
    names = []
    for name in ("W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"):
        names.append(name if name in wanted else "")
        if name in wanted and name in constants:
            graph.add_constant(name, random.normal(size=(ways, *constants[name])))
        elif name in wanted:
            graph.add(computed[name])
            graph.inputs += (name,)
    while not names[-1]:
        names.pop()
    if "activations" in attributes:
        attributes["activations"] = " ".join([attributes["activations"]] * ways)
    graph.outputs = ("Y", "Y_h", "Y_c") if op == "LSTM" else ("Y", "Y_h")
    graph.nodes = [
        Node(
            op, ("x", *names), graph.outputs, {"direction": way, "hidden_size": HIDDEN, **attributes}, "layer"
        )
    ]
    infer(graph)
    verify(graph)
    return graph


def samples(graph: Graph) -> dict[str, np.ndarray[Any, Any]]:
    random, found = np.random.default_rng(1), {}
    for name in graph.inputs:
        shape = tuple(6 if length == "n" else int(length) for length in graph.value(name).shape)
        found[name] = random.normal(size=shape).astype(np.float32)
    if "sequence_lens" in found:
        found["sequence_lens"] = np.array([5, 1, 3, 2, 5, 0])
    return found


CASES = [
    (op, way, variant)
    for op, variants in VARIANTS.items()
    for way in ("forward", "reverse", "bidirectional")
    for variant in variants
]


@pytest.mark.parametrize(("op", "way", "variant"), CASES, ids=str)
def test_it_computes_the_same(op: str, way: str, variant: dict[str, Any]) -> None:
    states = ("initial_h", "initial_c") if op == "LSTM" else ("initial_h",)
    for bias, lengths, state in itertools.product((("B",), ()), (("sequence_lens",), ()), (states, ())):
        graph = network(op, way, (*bias, *lengths, *state), **variant)
        written = expand(graph, lambda _, node: not is_recurrent(node))
        verify(written)
        assert not any(is_recurrent(node) for node in written.nodes)
        feeds = samples(graph)
        expected, found = evaluate(graph, feeds), evaluate(written, feeds)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


def test_the_steps_share_one_matrix_whose_layers_are_called_after_the_node() -> None:
    graph = run_passes(network("GRU", "bidirectional", ("B",)), [unroll]).graph
    layers = [node for node in graph.nodes if node.op == "Gemm"]
    names = {node.name.split("_")[0] for node in layers}
    assert names == {f"layer/{way}{part}" for way in ("", "reverse/") for part in ("recurrent", "candidate")}
    assert len({node.inputs[1] for node in layers}) == 4
    products = [node.name for node in graph.nodes if node.op == "MatMul"]
    assert products == ["layer/input", "layer/reverse/input"]


def test_states_that_are_known_to_be_zero_are_not_multiplied() -> None:
    graph = network("LSTM", "forward", ("B",))
    graph.add_constant("zero", np.zeros((1, 1, HIDDEN)))
    graph.add_constant("shape", [1, 6, HIDDEN], "int64")
    graph.add(Value("state", "float32", (1, 6, HIDDEN)))
    graph.values["x"] = Value("x", "float32", (STEPS, 6, INPUTS))
    layer = graph.nodes[0]
    graph.nodes = [
        Node("Expand", ("zero", "shape"), ("state",), {}, "nothing"),
        Node("LSTM", (*layer.inputs, "", "state", "state"), layer.outputs, layer.attributes, "layer"),
    ]
    infer(graph)
    written = run_passes(graph, [unroll]).graph
    assert sum(node.op == "Gemm" for node in written.nodes) == STEPS - 1


@pytest.mark.parametrize(
    ("steps", "why"), [("t", "its steps, t, are not a fixed number"), (2000, "it has 2000 steps")]
)
def test_what_stays_says_why(steps: int | str, why: str) -> None:
    graph = network("RNN", "forward", (), steps)
    assert why_recurrent(graph, graph.nodes[0]).startswith(why)
    assert run_passes(graph, [unroll]).graph.nodes == graph.nodes
