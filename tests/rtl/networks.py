"""Networks for hardware tests, with random weights, and their integers by plain loops over Python's own."""

import numpy as np
import numpy.typing as npt

from lowbit.rtl.lst.network import Layer, LstNetwork, Rounding, pixel_codes, table_codes


def random_network(
    rows: int = 4,
    columns: int = 4,
    a: int = 4,
    b: int = 4,
    classes: int = 3,
    m: int = 6,
    n: int = 7,
    *,
    reach: float = 0.88,
    rounding: Rounding = "half_up",
    seed: int = 0,
) -> LstNetwork:
    """Return a network with weights in [-reach, reach] that the format holds."""
    random = np.random.default_rng(seed)
    bound = min(int(reach * 2**n), (1 << (m + n - 1)) - 1)

    def layer(name: str, outputs: int, inputs: int) -> Layer:
        codes = random.integers(-bound, bound + 1, (outputs, inputs))
        return Layer(name, codes, random.integers(-bound, bound + 1, outputs))

    return LstNetwork(
        m,
        n,
        rounding,
        layer("rows", a, columns),
        layer("columns", b, rows),
        layer("output", classes, a * b),
        table_codes(np.tanh, m, n),
        pixel_codes(m, n),
    ).check()


def random_pictures(network: LstNetwork, count: int, seed: int = 1) -> npt.NDArray[np.uint8]:
    """Return pictures of noise, the first all black and the second all white."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (count, network.rows, network.columns)).astype(np.uint8)
    pictures[0], pictures[1 % count] = 0, 255
    return pictures


def scores_by_loops(network: LstNetwork, picture: npt.NDArray[np.uint8]) -> list[int]:
    """Return the scores of one picture, from the formulas alone."""
    m, n = network.integer_bits, network.fraction_bits
    low, high = -(1 << (m + n - 1)), (1 << (m + n - 1)) - 1

    def linear(x: list[int], layer: Layer) -> list[int]:
        totals = []
        for weights, bias in zip(layer.weights.tolist(), layer.bias.tolist(), strict=True):
            total = bias * 2**n + sum(w * v for w, v in zip(weights, x, strict=True))
            total += 2**n // 2 if network.rounding == "half_up" else 0
            totals.append(min(max(total // 2**n, low), high))
        return totals

    def activated(x: list[int]) -> list[int]:
        return [int(network.activation[code - low]) for code in x]

    by_rows = [activated(linear([int(network.pixels[p]) for p in row], network.by_rows)) for row in picture]
    both = [activated(linear(list(column), network.by_columns)) for column in zip(*by_rows, strict=True)]
    return linear([value for row in zip(*both, strict=True) for value in row], network.output)
