"""Descriptions: shapes, names, parameter counts, and what does not fit."""

from collections import Counter
from itertools import pairwise

import pytest

from lowbit.errors import GraphError, PlanError
from lowbit.zoo import NETWORKS, flat, network, parameter_count, parameters, place
from lowbit.zoo.architecture import (
    Architecture,
    BatchNormalization,
    Convolution,
    Dense,
    Flatten,
    Linear,
    Pool,
    Residual,
    SeparableTransform,
    Transpose,
)

# VGG16's convolutions: 9 * (3*64 + 64*64 + 64*128 + ...) = 14,710,464; their normalizations 2 * 4224.
COUNTS = {
    "vgg16": 14_710_464 + 2 * 4224 + 512 * 1024 + 2 * 1024 + 1024 * 10 + 10,
    "vgg-small": 4_574_592 + 2 * 2 * (128 + 256 + 512) + 81_920 + 10,  # convolutions as in LQ-Nets: 4.6 M
    "cnv": 1_542_848 + 2 * (2 * 64 + 2 * 128 + 2 * 256 + 2 * 512) + 10,
    "resnet18": 11_173_962,  # as in the widely used CIFAR version
    "resnet20": 272_474,  # with 1x1 shortcuts; He et al. say 0.27 M
    "lst1": 9_474,
    "lst2": 11_098,
    "reslst": 12_722,
    "mlp-784-10": 7_850,
    "mlp-784-12-10": 9_550,
    "mlp-784-40-10": 31_810,
    "mlp": 784 * 680 + 680 + 680 * 10 + 10,
    "lenet": 61_706,  # LeNet-5 with full connections in its second convolution
}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_parameter_counts_are_the_published_ones(name: str, count: int) -> None:
    assert parameter_count(NETWORKS[name]) == count


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_ends_in_ten_logits_and_names_are_unique(name: str) -> None:
    placed = place(NETWORKS[name])
    assert placed[-1].target == (10,) and placed[0].source == NETWORKS[name].input_shape
    assert max(Counter(item.name for item in flat(placed)).values()) == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_follow_each_other(name: str) -> None:
    placed = place(NETWORKS[name])
    for before, after in pairwise(placed):
        assert before.target == after.source


def test_shapes_of_a_window() -> None:
    layers = (Convolution(7, kernel=5, stride=2, padding=1, bias=True), Pool("max", 3, 2), Flatten())
    description = Architecture("odd", (3, 31, 33), layers)
    assert [item.target for item in place(description)] == [(7, 15, 16), (7, 7, 7), (343,)]
    assert parameters(description) == {"conv1.weight": (7, 3, 5, 5), "conv1.bias": (7,)}


def test_a_separable_transform_takes_any_lengths() -> None:
    (transform,) = place(Architecture("lst", (2, 7, 5), (SeparableTransform(3),)))
    assert transform.target == (2, 3, 3)
    assert [item.target for item in transform.body] == [
        *((2, 7, 3), (2, 7, 3), (2, 3, 7)),
        *((2, 3, 3), (2, 3, 3), (2, 3, 3)),
    ]
    assert parameters(Architecture("lst", (2, 7, 5), (SeparableTransform(3),))) == {
        "fc1.weight": (3, 5),
        "fc1.bias": (3,),
        "fc2.weight": (3, 7),
        "fc2.bias": (3,),
    }


def test_what_layers_hold_is_named_in_order_of_computation() -> None:
    block = Residual((Convolution(4, padding=1), BatchNormalization()), (Convolution(4, 1),))
    description = Architecture("block", (2, 5, 5), (block, Dense((Convolution(3, padding=1),))))
    assert [item.name for item in flat(place(description))] == [
        "conv1",
        "norm1",
        "conv2",
        "residual1",
        "conv3",
        "dense1",
    ]
    assert place(description)[-1].target == (7, 5, 5)


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ((3, 4, 4), (Convolution(8, kernel=5),)),
        ((3, 1, 9), (Pool(),)),
        ((3, 4, 4), (Linear(10),)),
        ((12,), (Convolution(8),)),
        ((12,), (SeparableTransform(5),)),
        ((12,), (Transpose(),)),
        ((12,), (Linear(10, rows=True),)),
        ((3, 4, 4), (Residual((Convolution(8, padding=1),)),)),
        ((3, 4, 4), (Dense((Convolution(8),)),)),
    ],
)
def test_layers_that_do_not_fit_are_named(shape: tuple[int, ...], layers: tuple[object, ...]) -> None:
    with pytest.raises(GraphError, match=r"wrong/\w+1"):
        place(Architecture("wrong", shape, layers))  # type: ignore[arg-type]


def test_an_unknown_network_lists_near_names() -> None:
    with pytest.raises(PlanError, match="vgg16"):
        network("vgg-16")
