"""What goes in and comes out: pixels and declared integers give what floats give, scores keep their order."""

import ctypes
from dataclasses import replace

import numpy as np
import pytest

from lowbit.backends.c99 import compiled
from lowbit.c99.scores import Scores, keeps_order, scores_of
from lowbit.c99.target import generated
from lowbit.engine import Program
from lowbit.errors import UnsupportedError, UsageError
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.ir.input_type import InputType
from lowbit.schemes.pixels import pixels
from lowbit.zoo import binary_graph
from lowbit.zoo.architecture import Activation, Architecture, BatchNormalization, Flatten, Linear, Pool
from tests.formats.networks import affine_mlp
from tests.ir.networks import float_mlp, lowbit_mlp

KINDS = {
    "uint8_t": np.uint8,
    "int8_t": np.int8,
    "float": np.float32,
    "real_t": np.float32,
    "int32_t": np.int32,
}


def ran(graph: Graph, x: Array, **options) -> Array:
    """Return what generated C makes of rows of its own integers."""
    source = generated(graph, "net", **options)
    assert x.dtype == KINDS[source.inputs[0].ctype]
    library = compiled(source)
    results = np.zeros((len(x), source.outputs[0].count), KINDS[source.outputs[0].ctype])
    for row, result in zip(np.ascontiguousarray(x), results, strict=True):
        library.net_run(ctypes.c_void_p(row.ctypes.data), ctypes.c_void_p(result.ctypes.data))
    return results


def pictures(count: int, size: int) -> Array:
    return np.random.default_rng(4).integers(0, 256, (count, size), dtype=np.uint8)


@pytest.mark.parametrize("bits", [(1, 1), (2, 2), (4, 3)])
def test_pixels_are_255ths(bits: tuple[int, int]) -> None:
    graph, x = lowbit_mlp((65, 33, 10), *bits, softmax=False), pictures(40, 65)
    expected = Program(graph).run(x.astype(np.float32) / 255)
    np.testing.assert_array_equal(ran(graph, x, given="pixels"), expected)


def test_pixels_that_are_codes_are_read_where_they_lie() -> None:
    graph, x = affine_mlp((65, 33, 10)), pictures(200, 65)
    graph.update("x/codes", encoding=pixels())
    source = generated(graph, "net", integers=True)
    assert not any(value == "x/codes" and stored.name != "input" for stored, value in source.values)
    reals = Program(graph).run(x.astype(np.float32) / 255)
    scores = ran(graph, x, integers=True)
    for mine, real in zip(scores, reals, strict=True):  # codes that are equal are equal scores
        np.testing.assert_array_equal(mine[:, None] < mine, real[:, None] < real)


def averaged(kernel: int, shift: float) -> Graph:
    """Return a network whose pixels are averaged before they are coded, by steps that are moved."""
    layers = (
        Pool("average", kernel, kernel),
        Flatten(),
        Linear(7),
        BatchNormalization(),
        Activation(),
        Linear(5),
    )
    graph = binary_graph(Architecture("averaged", (1, 12, 12), layers), seed=kernel)
    at = next(index for index, node in enumerate(graph.nodes) if node.op == "Encode")
    steps = graph.add_constant("steps", ((np.arange(255) + 0.5 + shift) / 255).astype(np.float32))
    graph.nodes[at] = replace(graph.nodes[at], inputs=(*graph.nodes[at].inputs, steps))
    return graph


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_means_of_pixels_are_coded_by_their_sums(kernel: int) -> None:
    graph, x = averaged(kernel, 0.01), pictures(60, 144)
    x[:20] //= 64  # sums next to steps
    reals = (x.astype(np.float32) / 255).reshape(-1, 1, 12, 12)
    np.testing.assert_array_equal(ran(graph, x, given="pixels"), Program(graph).run(reals))
    np.testing.assert_array_equal(ran(graph, reals, given="float"), Program(graph).run(reals))


def test_a_step_at_a_mean_of_pixels_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="a mean of integers lies at a step"):
        generated(averaged(2, 0), "net", given="pixels")  # half a pixel is the mean of some
    generated(averaged(3, 0), "net", given="pixels")


def test_declared_integers_go_in() -> None:
    graph = lowbit_mlp((65, 33, 10), 3, 2, softmax=False)
    noted = InputType("int8", 1 / 32, -7)
    noted.remember(graph)
    codes = np.random.default_rng(4).integers(-128, 128, (40, 65)).astype(np.int8)
    reals = np.array([noted.level(code) for code in range(-128, 128)]).astype(np.float32)
    expected = Program(graph).run(reals[codes.astype(int) + 128])
    np.testing.assert_array_equal(ran(graph, codes), expected)
    np.testing.assert_array_equal(ran(graph, reals[codes.astype(int) + 128], given="float"), expected)


@pytest.mark.parametrize("bits", [(1, 1), (2, 2), (3, 4)])
def test_integer_scores_have_the_order_of_reals(bits: tuple[int, int]) -> None:
    graph, x = lowbit_mlp((65, 33, 10), *bits), pictures(200, 65)
    expected = Program(graph).run(x.astype(np.float32) / 255)
    scores = ran(graph, x, integers=True)
    assert scores.dtype == np.int32
    np.testing.assert_array_equal(scores.argmax(axis=1), expected.argmax(axis=1))
    assert "double" not in generated(graph, "net", integers=True).code.replace("#define", "")


def test_orders_that_are_lost_are_found() -> None:
    random = np.random.default_rng(0)
    scale, bias = random.uniform(0.5, 1, 10), random.normal(size=10) * 100
    found = scores_of(scale, bias, 3000)
    assert found.proved
    coarse = Scores(found.multiplier >> 20, found.addend >> 20, found.shift, proved=False)
    assert not keeps_order(coarse, scale, bias, 3000)
    swapped = Scores(found.multiplier, found.addend[::-1], found.shift, proved=False)
    assert not keeps_order(swapped, scale, bias, 3000)


def test_what_cannot_go_in_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown input"):
        generated(lowbit_mlp((5, 4, 3), 2, 2), "net", given="bits")
    with pytest.raises(UsageError, match="floats go in"):
        generated(lowbit_mlp((5, 4, 3), 2, 2), "net", given="float", integers=True)
    with pytest.raises(UnsupportedError, match="works on floats"):
        generated(float_mlp(), "net", given="pixels")
