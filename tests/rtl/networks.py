"""Networks for hardware tests: random weights in the trained range, and the integers they give."""

import numpy as np

from lowbit.rtl.lst.network import Layer, LstNetwork, pixel_codes, tanh_codes


def random_network(
    rows=28, columns=28, a=28, b=28, classes=10, m=6, n=7, *, reach=0.88, rounding="half_up", seed=0
) -> LstNetwork:
    """Return a network with weights in [-reach, reach]."""
    random = np.random.default_rng(seed)
    bound = min(int(reach * 2**n), (1 << (m + n - 1)) - 1)

    def layer(name, outputs, inputs):
        codes = random.integers(-bound, bound + 1, (outputs, inputs))
        return Layer(name, codes, random.integers(-bound, bound + 1, outputs))

    return LstNetwork(
        m,
        n,
        rounding,
        layer("rows", a, columns),
        layer("columns", b, rows),
        layer("output", classes, a * b),
        tanh_codes(m, n),
        pixel_codes(m, n),
    ).check()


def scores(network: LstNetwork, pictures: np.ndarray) -> np.ndarray:
    """Return the score codes [n, classes] of byte pictures [n, rows, columns]."""
    bound, n = 1 << (network.bits - 1), network.fraction_bits
    half = (1 << n >> 1) if network.rounding == "half_up" else 0

    def linear(x, layer):
        total = x @ layer.weights.T + (layer.bias << n)
        return np.clip((total + half) >> n, -bound, bound - 1)

    hidden = network.activation[linear(network.pixels[pictures], network.by_rows) + bound]
    both = network.activation[linear(hidden.transpose(0, 2, 1), network.by_columns) + bound]
    return linear(both.transpose(0, 2, 1).reshape(len(pictures), -1), network.output)
