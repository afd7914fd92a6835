"""Operands of a layer: an element's sum, scaled and offset, is the accumulator of the deployed layer."""

import numpy as np
import pytest

from lowbit.errors import UnsupportedError
from lowbit.ir import Value
from lowbit.ir.deployed import deployed_layer
from lowbit.planes import pack
from lowbit.rtl.elements import ELEMENTS
from lowbit.rtl.elements.operands import natural_kind, operands
from lowbit.schemes import Affine, Encoding, FixedPoint, LearnedBasis, PowerOfTwo, snap, snap_weights

OUTPUTS, N = 5, 37
RANDOM = np.random.default_rng(0)


def basis(multipliers: list[list[int]], offset: float = 0.0) -> LearnedBasis:
    rows = np.array(multipliers, np.float32)
    encoding = LearnedBasis(rows, np.full(len(rows), offset, np.float32), np.zeros(len(rows), np.int32))
    return snap(encoding, 21) if len(rows) == 1 else snap_weights(encoding)


def planes(multipliers: list[int], offset: float = 0.0) -> Value:
    encoding = basis([multipliers] * OUTPUTS, offset)
    codes = RANDOM.integers(0, 1 << encoding.bits, (OUTPUTS, N))
    return Value("w", "planes", (OUTPUTS, N), pack(codes, encoding.bits), encoding)


def coded(encoding: Encoding) -> Value:
    codes = RANDOM.integers(0, 1 << encoding.bits, (OUTPUTS, N)).astype(np.uint8)
    return Value("w", "code", (OUTPUTS, N), codes, encoding)


POWERS = [PowerOfTwo(bits, np.full(OUTPUTS, 0.5, np.float32)) for bits in (2, 3, 4)]
LINEAR = [
    FixedPoint(3, 5),
    FixedPoint(6, 10),
    Affine(8, np.float32([0.02]), np.int32([128])),
    Affine(5, np.float32([0.1]), np.int32([3])),
    basis([[1]]),
    basis([[1, 2]], 0.7),
    basis([[1, 2, 4]]),
]
CASES = [
    *(("shift", x, coded(w)) for x in LINEAR for w in POWERS),
    *(("multiply", x, w) for x in LINEAR for w in (planes([1]), planes([3, 8], 5.0), coded(POWERS[2]))),
    *(("xnor", x, planes([1])) for x in (basis([[1]]), basis([[1]], 0.3))),
    *(
        ("planes", x, w)
        for x in (basis([[1]]), basis([[1, 2]], -1.0), basis([[2, 3, 9]]))
        for w in (planes([1]), planes([3, 8]), planes([1, 2, 4], -9.0), planes([2, 5], 7.0))
    ),
]


@pytest.mark.parametrize(("kind", "activations", "weights"), CASES, ids=str)
def test_sums_become_accumulators(kind: str, activations: Encoding, weights: Value) -> None:
    found = operands(kind, activations, weights)
    element = found.element(lanes=N, beats=1).fitted(found.weights, found.coefficients)
    layer = deployed_layer(activations, weights, np.zeros(OUTPUTS, np.float32))
    codes = RANDOM.integers(0, 1 << activations.bits, N)
    x = codes ^ ((1 << activations.bits >> 1) if found.inverted else 0)
    for channel in range(OUTPUTS):
        coefficients = None if found.coefficients is None else found.coefficients[channel]
        total = element.model(x, found.weights[channel], coefficients)
        want = int(layer.input_levels[codes].astype(np.int64) @ layer.weights[channel])
        assert found.gain * total + found.offset * int(layer.weights[channel].sum()) == want


@pytest.mark.parametrize(
    ("activations", "weights", "kind"),
    [
        (basis([[1]]), planes([1]), "xnor"),
        (basis([[1]]), planes([1], 4.0), "planes"),
        (basis([[1, 2]]), planes([1]), "planes"),
        (LINEAR[2], coded(POWERS[0]), "shift"),
        (LINEAR[2], planes([1, 2]), "multiply"),
    ],
)
def test_each_layer_has_the_kind_it_is_meant_for(activations: Encoding, weights: Value, kind: str) -> None:
    assert natural_kind(activations, weights) == kind
    assert operands(kind, activations, weights)


@pytest.mark.parametrize(
    ("kind", "activations", "weights"),
    [
        ("shift", LINEAR[0], planes([1])),
        ("shift", basis([[2, 3, 9]]), coded(POWERS[0])),
        ("multiply", basis([[2, 3, 9]]), planes([1])),
        ("xnor", basis([[1, 2]]), planes([1])),
        ("xnor", basis([[1]]), planes([1], 4.0)),
        ("xnor", LINEAR[0], planes([1])),
        ("planes", LINEAR[0], planes([1])),
        ("planes", basis([[1]]), coded(POWERS[0])),
    ],
)
def test_what_an_element_cannot_do_is_refused(kind: str, activations: Encoding, weights: Value) -> None:
    assert kind in ELEMENTS
    with pytest.raises(UnsupportedError) as refused:
        operands(kind, activations, weights)
    assert refused.value.where == "w" and refused.value.expected and refused.value.remedy
