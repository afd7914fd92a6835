"""Random LST engines: every size, format, rounding and function by chance, square or not."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lowbit.errors import PlanError
from lowbit.rtl.lst.design import lst_design
from lowbit.rtl.lst.from_graph import from_graph
from lowbit.rtl.lst.network import Layer, LstNetwork
from lowbit.rtl.lst.plan import Variant
from lowbit.rtl.pictures import reference_scores
from lowbit.rtl.primitives.target import Target
from lowbit.rtl.report import Bench
from tests.rtl.fuzz.case import Case
from tests.rtl.networks import NORMALIZE, random_graph, random_pictures

VARIANTS: tuple[Variant, ...] = ("shared", "pipelined")
TARGETS: tuple[Target, ...] = ("generic", "xc7", "ecp5")
PICTURES = 6

Integers = npt.NDArray[np.int64]


def lst_cases(seed: int, *, largest: int = 28) -> Iterator[Case]:
    """Yield both variants of the random shape of a seed; one where the other has too many classes."""
    random = np.random.default_rng([seed, 1])
    rows, columns, a, b = (_size(random, largest) for _ in range(4))
    classes = int(random.choice([1, 2, 3, 10, min(max(rows, columns, a, b, 3), 40)]))
    n = int(random.integers(0, 11))
    m = int(random.integers(2 if n == 0 else 1, 17 - n))
    reach = float(random.choice([0.3, 0.9, 2.0, 1 << min(m - 1, 4)]))
    rounding = str(random.choice(["nearest", "floor"]))
    function = str(random.choice(["Tanh", "Relu", "Sigmoid"]))
    named = {"rounding": rounding, "function": function, "seed": seed, "reach": reach}
    graph = random_graph(rows, columns, a, b, classes, m, n, **named)  # type: ignore[arg-type]
    network = from_graph(graph, NORMALIZE)
    pictures = random_pictures(network, PICTURES, seed)
    bench, sums = Bench(pictures, reference_scores(graph, pictures, NORMALIZE)), exact_sums(network, pictures)
    target = TARGETS[int(random.integers(len(TARGETS)))]
    for variant in VARIANTS:
        name = (
            f"lst {seed}: {rows}x{columns} -> {a}, {b} -> {classes}, Q{m}.{n} {rounding} {variant} {target}"
        )
        try:
            yield Case(name, lst_design(network, variant, target), bench, sums)
        except PlanError as refused:
            assert "classes" in refused.message


def exact_sums(network: LstNetwork, pictures: npt.NDArray[np.uint8]) -> Integers:
    """Return the scores ``[n, classes]`` in 64 bits, written down once more from the paper."""
    hidden = _layer(network, network.by_rows, network.pixels[pictures])
    features = _layer(network, network.by_columns, hidden.transpose(0, 2, 1))
    return _sums(network, network.output, features.transpose(0, 2, 1).reshape(len(pictures), -1))


def _size(random: np.random.Generator, largest: int) -> int:
    """Return a size, small ones and those beside powers of two more often."""
    sizes = [size for size in (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 24, 28, 33) if size <= largest]
    return int(random.choice(sizes))


def _sums(network: LstNetwork, layer: Layer, x: Integers) -> Integers:
    return x @ layer.weights.T + (layer.bias << network.encoding.fraction_bits)


def _layer(network: LstNetwork, layer: Layer, x: Integers) -> Integers:
    least = network.encoding.least
    rounded = (_sums(network, layer, x) + network.half) >> network.encoding.fraction_bits
    return np.asarray(network.activation[np.clip(rounded, least, -least - 1) - least])
