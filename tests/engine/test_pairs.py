"""Every pair of encodings runs in the engine and gives the reference's numbers, on every kernel level.

Where another machine is emulated (scripts/aarch64), on its levels, too.
"""

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.ir import Graph, evaluate, infer, verify
from lowbit.ir.graph import Array, Node, Value
from lowbit.ir.weight_only import tolerance
from lowbit.schemes import FixedPoint
from tests.conformance.backends import LEVELS, runner_at
from tests.conformance.pairs import FLOAT, Case, few_cases, network

CASES = list(few_cases())
FULL = FixedPoint(1, 15)
"""Of 16 bits: sums of more than one product leave int32."""


def traced(graph: Graph, x: Array) -> dict[str, Array]:
    found: dict[str, Array] = {}
    evaluate(graph, {"x": x}, lambda name, value: found.update({name: value}))
    return found


def levels_of(graph: Graph, name: str, codes: Array) -> Array:
    """Return levels, since two codes may have one."""
    encoding = graph.value(name).encoding
    return codes if encoding is None else np.asarray(encoding.integer_levels()[0][codes])


def bound_of(graph: Graph, x: Array) -> Array | float:
    """Return by how much the output of a layer on floats may differ."""
    weights, bias = (graph.value(name) for name in graph.nodes[-1].inputs[1:3])
    assert weights.data is not None and bias.data is not None
    return float(np.max(tolerance(weights, bias.data, np.abs(x).reshape(len(x), -1).sum(axis=1))))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_engine_equals_the_reference(case: Case) -> None:
    graph, x = network(case), case.samples()
    wanted = traced(graph, x)
    for level in LEVELS:
        runner = runner_at(level, graph)
        (y,), found = runner.run(x), runner.trace(x)
        if case.activations == FLOAT:
            np.testing.assert_allclose(y, wanted["y"], rtol=1e-6, atol=bound_of(graph, x), err_msg=level)
            continue
        np.testing.assert_allclose(y, wanted["y"], rtol=1e-6 if case.end == "tanh" else 0, err_msg=level)
        for name in wanted.keys() & found.keys() - {"y"}:
            ours, theirs = (levels_of(graph, name, values[name]) for values in (found, wanted))
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{level}: {name}")


def test_every_form_is_met() -> None:
    seen = {name for case in CASES[::7] for name, _, _ in Program(network(case)).kernels}
    forms = {name.partition("_")[0] for name in seen if name.endswith(("fully_connected", "convolution"))}
    assert forms == {"plane", "byte", "word", "float", "weight"}


def full_width(rows: int, shift: int) -> Graph:
    """Return a layer of 16-bit numbers whose sums need more than 32 bits, and one that reads its codes."""
    random = np.random.default_rng(rows)
    graph = Graph("wide", ("x",), ("y",), values={"x": Value("x", "float32", ("n", rows, 37))})
    target = FixedPoint(1 + shift, 15 - shift)
    for name, encoding in (("c", FULL), ("a", target)):
        graph.add(Value(name, "code16", (), None, encoding))
    graph.nodes.append(Node("Encode", ("x",), ("c",), {}, "encode", "lowbit"))
    for source, output, n in (("c", "a", 37), ("a", "y", 9)):
        codes = random.choice([0, 1, 65535], (9, n)).astype(np.uint16)
        graph.add(Value(f"{output}/w", "code16", codes.shape, codes, FULL))
        graph.add_constant(f"{output}/b", random.normal(size=9))
        graph.nodes.append(
            Node("Linear", (source, f"{output}/w", f"{output}/b"), (output,), {}, output, "lowbit")
        )
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("level", kernel_levels())
@pytest.mark.parametrize(("rows", "shift"), [(1, 0), (3, 6), (5, 2)])
def test_sums_that_need_64_bits_are_exact(rows: int, shift: int, level: str) -> None:
    graph = full_width(rows, shift)
    x = np.random.default_rng(1).choice([-1.0, 1.0, 0.3, -2.0], (4, rows, 37)).astype(np.float32)
    wanted, program = traced(graph, x), Program(graph, kernels=level)
    np.testing.assert_array_equal(program.trace(x)["a"], wanted["a"])
    np.testing.assert_array_equal(program.run(x), wanted["y"])
