"""Passes and rewrites take every operator of a trait, not those that somebody thought of."""

from typing import Any

import numpy as np
import pytest

from lowbit.calibrate import engine_or_reference
from lowbit.ir import Graph, Node, Trait, Value, evaluate, infer, operators_with, run_passes, verify
from lowbit.ir.passes import fold_pads, fold_slopes, rows_to_convolution, settle_layout
from lowbit.ir.passes.order_pools import is_monotone
from lowbit.quantization.equalize import equalize
from lowbit.quantization.fixed_point import to_fixed_point
from lowbit.schemes import FixedPoint, LearnedBasis, PowerOfTwo

FUNCTIONS = [name for domain, name in operators_with(Trait.ELEMENTWISE) if not domain and name != "Clip"]


def network(shape: tuple[int, ...], *nodes: tuple[Any, ...], **constants: Any) -> Graph:
    """Return a network from ``x [n, *shape]`` to ``y``: nodes are operator, inputs, output, attributes."""
    graph = Graph("g", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    for name, data in constants.items():
        graph.add_constant(name, data, "int64" if np.asarray(data).dtype.kind == "i" else "float32")
    graph.nodes = [Node(op, tuple(i.split()), (o,), dict(*a), f"{op}-{o}") for op, i, o, *a in nodes]
    infer(graph)
    if "y" in graph.values:  # else the test adds what makes it
        verify(graph)
    return graph


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def same(before: Graph, after: Graph, x: np.ndarray, tolerance: float = 1e-5) -> None:
    (one,), (other,) = (evaluate(graph, {"x": x}).values() for graph in (before, after))
    np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_function_of_elements_may_stand_between_rows_and_a_transposition(function: str) -> None:
    graph = network(
        (1, 5, 4),
        ("MatMul", "x w", "p"),
        (function, "p", "f"),
        ("Transpose", "f", "y", {"perm": (0, 1, 3, 2)}),
        w=np.abs(numbers(4, 3)),
    )
    after = run_passes(graph, [rows_to_convolution]).graph
    assert ops(after) == ["Conv", function, "Reshape"]
    same(graph, after, np.abs(numbers(2, 1, 5, 4)) + 0.1)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_padding_goes_into_a_maximum_behind_what_gives_no_negative_number(function: str) -> None:
    graph = network(
        (2, 4, 4),
        (function, "x", "f"),
        ("Pad", "f pads", "p"),
        ("MaxPool", "p", "y", {"kernel_shape": (2, 2)}),
        pads=np.array([0, 0, 1, 1, 0, 0, 0, 0]),
    )
    x = np.concatenate([numbers(3, 2, 4, 4) * 3, np.full((1, 2, 4, 4), -50, np.float32)])
    known = is_monotone(graph, graph.nodes[0])
    with np.errstate(all="ignore"):
        positive = known and bool((evaluate_first(graph, x) >= 0).all())
        after = run_passes(graph, [fold_pads]).graph
        if function != "Log":
            same(graph, after, x)
    assert ("Pad" not in ops(after)) == positive


def evaluate_first(graph: Graph, x: np.ndarray) -> np.ndarray:
    seen: dict[str, np.ndarray] = {}
    evaluate(graph, {"x": x}, lambda name, array: seen.update({name: array}))
    return seen["f"]


@pytest.mark.parametrize(
    "moves",
    [
        [("Flatten", "s", "m")],
        [("Transpose", "s", "t", {"perm": (0, 2, 1)}), ("Flatten", "t", "m")],
        [("Unsqueeze", "s one", "u"), ("GlobalMaxPool", "u", "p"), ("Flatten", "p", "m")],
        [("Concat", "s s", "c", {"axis": 1}), ("Flatten", "c", "m")],
    ],
    ids=lambda moves: moves[0][0],
)
def test_a_sign_is_taken_before_a_slope_through_all_that_carries_elements(moves: list[Any]) -> None:
    graph = network((3, 4), ("PRelu", "x slope", "s"), *moves, slope=[0.25], one=np.array([1]))
    sign = np.nextafter(np.zeros(1, np.float32), np.float32(-1))
    graph.add_constant("just_below", sign)
    binary = LearnedBasis(np.ones((1, 1)), np.zeros(1), top=np.ones(1, np.int32))
    graph.add(Value("y", "code", (), None, binary))
    graph.nodes.append(Node("Encode", ("m", "just_below"), ("y",), {}, "sign", "lowbit"))
    infer(graph)
    after = run_passes(graph, [fold_slopes]).graph
    assert not {"PRelu", "Mul", "Sub"} & set(ops(after)), "nothing is left of the slope"
    same(graph, after, numbers(5, 3, 4), 0)


def layers_with(between: list[Any], **constants: Any) -> Graph:
    return network(
        (6,),
        ("Gemm", "x w1 b1", "h", {"transB": 1}),
        *between,
        ("Gemm", "a w2 b2", "y", {"transB": 1}),
        w1=numbers(8, 6) * np.logspace(-2, 2, 8)[:, None],
        b1=numbers(8),
        w2=numbers(4, 8),
        b2=numbers(4),
        **constants,
    )


@pytest.mark.parametrize("homogeneous", [True, False])
def test_channels_are_equalized_through_a_slope_of_each(homogeneous: bool) -> None:
    function = ("PRelu", "h slope", "a") if homogeneous else ("Tanh", "h", "a")
    graph = layers_with([function], **({"slope": numbers(8)} if homogeneous else {}))
    x = numbers(64, 6)
    after = equalize(graph, {graph.inputs[0]: x}, engine_or_reference, lambda _: True)
    same(graph, after, x, 1e-4)
    assert (after.constant("w1") != graph.constant("w1")).any() == homogeneous


def test_joins_and_clips_run_in_fixed_point() -> None:
    bounds = {"zero": np.float32(0), "six": np.float32(6)}
    graph = network(
        (6,),
        ("Gemm", "x w b", "h", {"transB": 1}),
        ("Clip", "h zero six", "a"),
        ("Concat", "a h", "c", {"axis": 1}),
        ("Gemm", "c v u", "y", {"transB": 1}),
        w=numbers(3, 6),
        b=numbers(3),
        v=numbers(2, 6),
        u=numbers(2),
        **bounds,
    )
    low, x, form = to_fixed_point(graph, 5, 4), np.abs(numbers(40, 6)), FixedPoint(5, 4)

    def rounded(values: np.ndarray) -> np.ndarray:
        return form.decode(form.encode(values)).astype(np.float64)

    w, b, v, u = (rounded(graph.constant(name)) for name in "wbvu")
    hidden = rounded(rounded(x) @ w.T + b)
    joined = np.concatenate([np.clip(hidden, 0, 6), hidden], axis=1)
    np.testing.assert_array_equal(evaluate(low, {"x": x})["y"], (joined @ v.T + u).astype(np.float32))
    assert "FixedLookup" in ops(low) and "Concat" in ops(low)


def test_any_layer_of_codes_reads_a_map_as_it_lies() -> None:
    """A transposition before a flattened map goes into weights that are codes, whatever their scheme."""
    encoding = PowerOfTwo(3, np.ones(5, np.float32))
    moves = [("Transpose", "r", "t", {"perm": (0, 2, 3, 1)}), ("Flatten", "t", "m")]
    graph = network((2, 3, 4), ("Relu", "x", "r"), *moves)
    codes = np.random.default_rng(3).integers(0, 8, (5, 24)).astype(np.uint8)
    graph.add(Value("w", "code", (5, 24), codes, encoding))
    graph.add_constant("b", numbers(5))
    graph.nodes.append(Node("Linear", ("m", "w", "b"), ("y",), {}, "fc", "lowbit"))
    infer(graph)
    after = run_passes(graph, [settle_layout]).graph
    assert ops(after) == ["Relu", "Reshape", "Linear"]
    same(graph, after, numbers(3, 2, 3, 4))
