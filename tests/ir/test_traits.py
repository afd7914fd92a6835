"""Traits are true: what an operator says it is like holds for its reference evaluation on made-up values."""

from typing import Any

import numpy as np
import pytest

from lowbit.ir import OPERATORS, Graph, Node, Trait, Value, evaluate, has, infer, operators_with
from lowbit.ir.operators.registry import Operator
from lowbit.schemes import LearnedBasis

Array = np.ndarray[Any, np.dtype[Any]]
SHAPE = (2, 3, 4, 6)

# What stands behind the data, and attributes, where an operator needs any; others are tried as they are.
EXAMPLES: dict[str, list[tuple[list[Array], dict[str, Any]]]] = {
    "AveragePool": [
        ([], {"kernel_shape": (2, 3), "strides": (2, 1), "pads": (1, 1, 0, 1), "count_include_pad": one})
        for one in (0, 1)
    ],
    "Clip": [([np.float32(-0.3), np.float32(0.4)], {}), ([np.float32(0.1)], {})],
    "Elu": [([], {"alpha": alpha}) for alpha in (0.0, 0.5, 2.0)],
    "Expand": [([np.array([5, 2, 3, 4, 6])], {}), ([np.array([1, 1])], {})],
    "Gather": [([np.array([[1, -1], [0, 0]])], {"axis": axis}) for axis in (0, -2)],
    "GatherElements": [([np.zeros((1, 2, 3, 6), int) - 1], {"axis": 1})],
    "GatherND": [([np.array([[1, 2], [0, -1]])], {}), ([np.array([[1], [2]])], {"batch_dims": 1})],
    "Flatten": [([], {"axis": axis}) for axis in (1, 2)],
    "LeakyRelu": [([], {"alpha": alpha}) for alpha in (0.0, 0.2, 1.5)],
    "MaxPool": [([], {"kernel_shape": (2, 3), "strides": (2, 1), "pads": (1, 1, 0, 1)})],
    "PRelu": [([np.array([[[0.5]], [[2.0]], [[-1.0]]], np.float32)], {})],
    "Reshape": [([np.array([0, 6, 12])], {}), ([np.array([2, -1])], {})],
    "Slice": [
        ([np.array([3, -1]), np.array([-(2**63), 2**31]), np.array([2, 0])], {}),
        ([np.array([5]), np.array([-(2**62)]), np.array([-1]), np.array([-2])], {}),
    ],
    "Squeeze": [([], {})],
    "Tile": [([np.array([1, 2, 1, 3])], {})],
    "Transpose": [([], {"perm": (0, 2, 3, 1)}), ([], {})],
    "Unsqueeze": [([np.array([1])], {})],
}


def examples(traits: Trait) -> list[Any]:
    """Return operators of ONNX's domain with a trait, each with constants and attributes."""
    found = []
    for domain, name in operators_with(traits):
        if not domain:
            found += [(OPERATORS[domain, name], *case) for case in EXAMPLES.get(name, [([], {})])]
    return [pytest.param(*case, id=f"{case[0].name}-{index}") for index, case in enumerate(found)]


def network(operator: Operator, constants: list[Array], attributes: dict[str, Any], x: Value) -> Graph:
    graph = Graph("g", (x.name,), ("y",), values={x.name: x})
    names = [
        graph.add_constant(f"c{at}", data, "int64" if np.asarray(data).dtype.kind == "i" else "float32")
        for at, data in enumerate(constants)
    ]
    needed = max(1, operator.least - len(names))
    graph.nodes = [Node(operator.name, (*[x.name] * needed, *names), ("y",), attributes, "node")]
    if x.encoding is not None:
        graph.add(Value("y", "code", (), None, x.encoding))
    infer(graph)
    return graph


def result(operator: Operator, constants: list[Array], attributes: dict[str, Any], x: Array) -> Array:
    graph = network(operator, constants, attributes, Value("x", "float32", x.shape))
    return evaluate(graph, {"x": x})["y"]


def numbers(seed: int = 0) -> Array:
    return np.random.default_rng(seed).permutation(np.prod(SHAPE)).reshape(SHAPE).astype(np.float32) / 50 - 1


@pytest.mark.parametrize(("operator", "constants", "attributes"), examples(Trait.MOVES))
def test_what_moves_gives_every_element_once(
    operator: Operator, constants: list[Array], attributes: dict[str, Any]
) -> None:
    x = numbers()
    y = result(operator, constants, attributes, x)
    assert np.array_equal(np.sort(y, axis=None), np.sort(x, axis=None))
    moved = not np.array_equal(y.reshape(-1), x.reshape(-1))
    assert moved != has(("", operator.name), Trait.KEEPS_ORDER), "order is kept or changed, as the trait says"


@pytest.mark.parametrize(("operator", "constants", "attributes"), examples(Trait.CARRIES))
def test_what_carries_lets_codes_keep_their_encoding(
    operator: Operator, constants: list[Array], attributes: dict[str, Any]
) -> None:
    encoding = LearnedBasis(np.array([[0.5, 1.0]]), np.zeros(1), top=np.array([2]))
    graph = network(operator, constants, attributes, Value("x", "code", SHAPE, None, encoding))
    codes = np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.uint8)
    y = evaluate(graph, {"x": codes})["y"]
    reals = result(operator, constants, attributes, encoding.decode(codes))
    assert graph.value("y").encoding == encoding and np.array_equal(encoding.decode(y), reals)


@pytest.mark.parametrize(("operator", "constants", "attributes"), examples(Trait.COMPARES))
def test_what_compares_changes_places_with_an_increasing_function(
    operator: Operator, constants: list[Array], attributes: dict[str, Any]
) -> None:
    x = numbers()
    after = np.exp(result(operator, constants, attributes, x))
    assert np.array_equal(after, result(operator, constants, attributes, np.exp(x)))


@pytest.mark.parametrize(("operator", "constants", "attributes"), examples(Trait.MONOTONE))
def test_what_is_monotone_never_decreases(
    operator: Operator, constants: list[Array], attributes: dict[str, Any]
) -> None:
    x = np.linspace(-9, 9, int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)
    assert (np.diff(result(operator, constants, attributes, x).reshape(-1)) >= 0).all()


@pytest.mark.parametrize(("operator", "constants", "attributes"), examples(Trait.HOMOGENEOUS))
def test_what_is_homogeneous_scales_with_each_channel(
    operator: Operator, constants: list[Array], attributes: dict[str, Any]
) -> None:
    x, factor = numbers(), np.array([0.25, 2.0, 8.0], np.float32).reshape(1, 3, 1, 1)
    scaled = result(operator, constants, attributes, x * factor)
    np.testing.assert_allclose(scaled, result(operator, constants, attributes, x) * factor, rtol=1e-6)


@pytest.mark.parametrize(("operator", "constants", "attributes"), examples(Trait.ELEMENTWISE))
def test_what_is_elementwise_does_not_look_aside(
    operator: Operator, constants: list[Array], attributes: dict[str, Any]
) -> None:
    x, order = numbers(), np.random.default_rng(2).permutation(int(np.prod(SHAPE)))
    shuffled = x.reshape(-1)[order].reshape(SHAPE)
    y = result(operator, constants, attributes, x)
    assert y.shape == SHAPE
    mixed = result(operator, constants, attributes, shuffled)
    assert np.array_equal(mixed.reshape(-1), y.reshape(-1)[order], equal_nan=True)


@pytest.mark.parametrize(("operator", "constants", "attributes"), examples(Trait.POOL))
def test_a_pool_makes_one_of_several_of_the_same_channel(
    operator: Operator, constants: list[Array], attributes: dict[str, Any]
) -> None:
    x = np.broadcast_to(np.arange(1, 4, dtype=np.float32).reshape(1, 3, 1, 1), SHAPE).copy()
    attributes = attributes | ({"pads": (0, 0, 0, 0)} if "pads" in attributes else {})
    y = result(operator, constants, attributes, x)
    assert y.size < x.size and np.array_equal(y, np.broadcast_to(x[:, :, :1, :1], y.shape))


def test_windows_have_the_attributes_of_windows() -> None:
    slides = {key for key, operator in OPERATORS.items() if "strides" in operator.attributes}
    slides.remove(("", "ConvTranspose"))  # its windows lie on what it makes
    assert set(operators_with(Trait.WINDOW)) == slides


def test_the_end_of_a_classifier_keeps_the_order_of_scores() -> None:
    x = numbers()
    for domain, name in operators_with(Trait.ENDS_CLASSIFIER):
        y = result(OPERATORS[domain, name], [], {"axis": -1}, x)
        assert np.array_equal(np.argsort(y, axis=-1), np.argsort(x, axis=-1))


@pytest.mark.parametrize(
    ("implied", "implies"),
    [
        (Trait.KEEPS_ORDER, Trait.MOVES),
        (Trait.MOVES, Trait.CARRIES),
        (Trait.REGROUPS, Trait.KEEPS_ORDER),
    ],
)
def test_what_traits_imply(implied: Trait, implies: Trait) -> None:
    assert set(operators_with(implied)) <= set(operators_with(implies))


@pytest.mark.parametrize(("operator", "constants", "attributes"), examples(Trait.MOVES))
def test_what_does_not_regroup_keeps_axes_longer_than_one(
    operator: Operator, constants: list[Array], attributes: dict[str, Any]
) -> None:
    shape = result(operator, constants, attributes, numbers()).shape
    kept = sorted(length for length in shape if length != 1) == sorted(SHAPE)
    assert kept != has(("", operator.name), Trait.REGROUPS)


def test_there_are_at_most_twelve_traits() -> None:
    assert len(Trait) <= 12


def test_a_layer_has_weights_as_its_second_input() -> None:
    names = {OPERATORS[key].inputs[1] for key in operators_with(Trait.LAYER)}
    assert names == {"W", "B", "weights"}


def test_nothing_has_traits_that_is_no_operator() -> None:
    assert not has(None, Trait.MOVES) and not has(("", "Resize"), Trait.MOVES)
    assert not has(Node("Relu", ("x",), ("y",), {}, "", "lowbit"), Trait.MONOTONE)
