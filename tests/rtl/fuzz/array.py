"""Random array engines: layers, schemes, elements, foldings and families by chance."""

from random import Random

import numpy as np

from lowbit.api import quantize
from lowbit.errors import LowbitError, PlanError
from lowbit.ir import Graph
from lowbit.quantization import Plan
from lowbit.rtl.array.design import ArrayDesign
from lowbit.rtl.array.network import ArrayNetwork, Layer
from lowbit.rtl.array.plan import ArrayPlan, Folding, plan_array
from lowbit.rtl.elements import ELEMENTS
from lowbit.rtl.primitives.target import Target
from lowbit.zoo.architecture import (
    Activation,
    Architecture,
    BatchNormalization,
    Convolution,
    Flatten,
    Linear,
    Pool,
)
from lowbit.zoo.architecture import Layer as Part
from lowbit.zoo.binary_graph import binary_graph
from lowbit.zoo.float_graph import float_graph
from tests.rtl.array.networks import network_and_bench
from tests.rtl.fuzz.case import Case

PICTURES = 5
_PLANS = {"binary": None, "lq": (1, 4, 1, 4), "pow2": (2, 4, 1, 8), "affine": (2, 6, 2, 6)}
_KINDS: tuple[str | None, ...] = (None, *sorted(ELEMENTS))
_TARGETS: tuple[Target, ...] = ("generic", "xc7", "ecp5")


def array_case(seed: int) -> Case | None:
    """Return the random engine of a seed; None where quantization refuses the network."""
    random = Random(seed)  # noqa: S311
    scheme = random.choice(list(_PLANS))
    architecture = _perceptron(random) if random.random() < 0.4 else _convolutional(random)
    try:
        graph = _low_bit(architecture, scheme, random, seed)
    except LowbitError:
        return None
    network, bench = network_and_bench(graph, PICTURES)
    plan = _planned(network, random)
    folding = " ".join(f"{unit.inputs[0].lanes}:{unit.output.lanes}" for unit in plan.units)
    name = f"array {seed}: {architecture.input_shape}, {scheme}, lanes {folding}, {plan.target}"
    return Case(name, ArrayDesign(plan), bench)


def foldings(network: ArrayNetwork, random: Random) -> dict[str, Folding]:
    """Return a folding of every layer, by chance."""

    def divisor(number: int) -> int:
        return random.choice([part for part in range(1, number + 1) if number % part == 0])

    layers = (stage for stage in network.stages if isinstance(stage, Layer))
    return {layer.name: Folding(divisor(layer.outputs), divisor(layer.channels)) for layer in layers}


def _planned(network: ArrayNetwork, random: Random) -> ArrayPlan:
    folding, target = foldings(network, random), random.choice(_TARGETS)
    try:
        return plan_array(network, folding, target, random.choice(_KINDS))
    except PlanError:  # no such element for one of the layers
        return plan_array(network, folding, target)


def _low_bit(architecture: Architecture, scheme: str, random: Random, seed: int) -> Graph:
    bits = _PLANS[scheme]
    if bits is None:
        return binary_graph(architecture, seed=seed)
    samples = np.random.default_rng(seed).random((48, *architecture.input_shape)).astype(np.float32)
    plan = Plan(
        scheme=scheme,
        weight_bits=random.randint(*bits[:2]),
        activation_bits=random.randint(*bits[2:]),
        weight_offset=random.choice([None, True, False]) if scheme == "lq" else None,
    )
    return quantize(float_graph(architecture, seed=seed), samples, plan=plan)[0]


def _block(random: Random, layer: Part) -> tuple[Part, ...]:
    normalized = (BatchNormalization(),) if random.random() < 0.5 else ()
    return (layer, *normalized, Activation())


def _perceptron(random: Random) -> Architecture:
    hidden = [_block(random, Linear(random.randint(1, 9))) for _ in range(random.randint(1, 2))]
    parts = (*sum(hidden, ()), Linear(random.randint(2, 6)))
    return Architecture("mlp", (random.randint(2, 14),), parts, "")


def _convolutional(random: Random) -> Architecture:
    channels, rows, columns = random.randint(1, 3), random.randint(3, 8), random.randint(3, 8)
    shape, parts = (channels, rows, columns), []
    for _ in range(random.randint(1, 3)):
        kernel = random.randint(1, min(3, rows, columns))
        padding, stride = random.randint(0, kernel // 2), random.randint(1, 2)
        parts += _block(random, Convolution(random.randint(1, 6), kernel, stride, padding))
        rows, columns = ((extent + 2 * padding - kernel) // stride + 1 for extent in (rows, columns))
        if min(rows, columns) >= 2 and random.random() < 0.4:
            size, step = random.randint(2, min(3, rows, columns)), random.randint(1, 2)
            parts.append(Pool("max", size, step))
            rows, columns = ((extent - size) // step + 1 for extent in (rows, columns))
    if random.random() < 0.4:
        parts += [Flatten(), *_block(random, Linear(random.randint(1, 6))), Linear(random.randint(2, 5))]
    else:
        parts += [Flatten(), Linear(random.randint(2, 5))]
    return Architecture("conv", shape, tuple(parts), "")
