"""A plan is the same on every machine; planes become bytes when it is loaded, where kernels want them."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.ir import Graph, evaluate
from lowbit.program import plan
from lowbit.schemes import LearnedBasis
from tests.engine.test_arena import Maker
from tests.ir.networks import (
    Convolution,
    lowbit_convnet,
    lowbit_mlp,
    weight_only_convnet,
    weight_only_mlp,
    with_powers,
)


def networks() -> Iterator[Graph]:
    yield from (Maker(seed).make(20) for seed in range(8))
    for bits in (1, 2, 3, 4):
        yield lowbit_mlp((65, 33, 10), bits, 5 - bits, weight_offset=bool(bits % 2))
        yield lowbit_convnet((4, 6, 6), (Convolution(20), Convolution(8)), bits, bits, classes=3)
        yield lowbit_convnet((64, 6, 6), (Convolution(32, group=2), Convolution(8)), bits, bits)
    yield with_powers(lowbit_mlp((65, 33, 10), 2, 2), 3)
    yield weight_only_mlp()
    yield weight_only_convnet((3, 6, 6), (Convolution(8),))


def difference(one: Any, other: Any, where: str = "plan") -> str:
    """Return where two plans differ, or nothing."""
    if is_dataclass(one) and type(one) is type(other):
        pairs = [(each.name, getattr(one, each.name), getattr(other, each.name)) for each in fields(one)]
    elif isinstance(one, tuple | list) and len(one) == len(other):
        pairs = [(str(n), *pair) for n, pair in enumerate(zip(one, other, strict=True))]
    elif isinstance(one, dict) and one.keys() == other.keys():
        pairs = [(key, one[key], other[key]) for key in one]
    elif isinstance(one, np.ndarray):
        return "" if one.dtype == other.dtype and np.array_equal(one, other) else where
    else:
        return "" if one == other else where
    found = (difference(a, b, f"{where}.{name}") for name, a, b in pairs)
    return next((text for text in found if text), "")


def test_plans_are_equal_on_every_level(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, graph in enumerate(networks()):
        plans = []
        for level in kernel_levels():
            monkeypatch.setenv("LOWBIT_KERNELS", level)
            plans.append(plan(graph))
        assert [difference(plans[0], other) for other in plans] == [""] * len(plans), number


def test_a_difference_of_plans_is_found() -> None:
    first, second = plan(lowbit_mlp(seed=1)), plan(lowbit_mlp(seed=2))
    assert difference(first, first) == ""
    assert difference(first, second).startswith("plan.steps.0.thresholds")


# Most pairs of planes where layers count bits, and convolutions of 32 channels and of one, by level.
PAIRS = {
    "portable": (16, 16, 3),
    "avx2": (9, 3, 0),
    "avx512_vpopcntdq": (16, 16, 2),
    "avx512_vnni": (9, 5, 0),
}


@pytest.mark.parametrize("level", kernel_levels())
def test_kernels_choose_by_their_costs(level: str) -> None:
    levels = kernel_levels()
    own = [each for each in levels[: levels.index(level) + 1] if each in PAIRS]
    for bits in product((1, 2, 3, 4), repeat=2):
        graphs = (
            lowbit_mlp((65, 33, 10), *bits),
            lowbit_convnet((32, 4, 4), (Convolution(32), Convolution(5)), *bits),
            lowbit_convnet((1, 4, 4), (Convolution(5),), *bits),
        )
        for graph, most in zip(graphs, PAIRS[own[-1]], strict=True):
            keep_codes_apart(graph)
            program = Program(graph, kernels=level)
            ran = [operation for operation, _, why in program.kernels if why]
            wanted = "plane" if prod(bits) <= most else "byte"
            assert ran and all(operation.startswith(wanted) for operation in ran), bits
            check(graph, program)


def keep_codes_apart(graph: Graph) -> None:
    """Give all codes of activations levels of their own: else planes alone tell them apart."""
    for name, value in list(graph.values.items()):
        if value.dtype == "code" and isinstance(value.encoding, LearnedBasis):
            basis = 1 << np.arange(value.encoding.bits)[None]
            graph.update(name, encoding=LearnedBasis(basis, np.zeros(1), basis.max(axis=1)))


@pytest.mark.parametrize("classes", [0, 3])
def test_maps_of_bytes_are_arranged_as_bytes_and_read_as_they_lie(classes: int) -> None:
    graph = lowbit_convnet((4, 6, 6), (Convolution(20), Convolution(8)), 2, 2, classes=classes)
    ran = [operation for operation, _, _ in Program(graph, path="dot").kernels]
    convolutions = ["encode", "arrange", "byte_convolution", "byte_convolution"]
    assert ran == [*convolutions, *(["byte_fully_connected"] if classes else ["flatten"])]


def test_codes_that_are_flattened_as_they_came_are_not_arranged() -> None:
    graph = lowbit_convnet((1, 8, 8), (), 2, 2, classes=3)
    program = Program(graph, path="dot")
    assert [operation for operation, _, _ in program.kernels] == ["encode", "byte_fully_connected"]
    check(graph, program)


def test_weights_that_fit_no_bytes_stay_in_planes() -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 2)
    name = "fc2/weights"
    channels = graph.value(name).shape[0]
    wide = LearnedBasis(np.tile([[1.0, 200.0]], (channels, 1)), np.zeros(channels), np.full(channels, 200))
    graph.update(name, encoding=wide)
    program = Program(graph, path="dot")
    layers = [operation for operation, _, why in program.kernels if why]
    assert layers == ["byte_fully_connected", "plane_fully_connected"]
    check(graph, program)


def check(graph: Graph, program: Program) -> None:
    x = np.random.default_rng(3).normal(size=(5, *graph.value("x").shape[1:])).astype(np.float32)
    expected: dict[str, Any] = {}
    evaluate(graph, {"x": x}, expected.__setitem__)
    for value, found in program.trace(x).items():
        if graph.value(value).encoding is not None:
            np.testing.assert_array_equal(found, expected[value], err_msg=value)
    np.testing.assert_allclose(program.run(x), expected["y"], rtol=1e-5, atol=1e-6)
