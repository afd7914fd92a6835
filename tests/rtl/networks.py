"""Networks for hardware tests, with random weights in the trained range."""

import numpy as np

from lowbit.rtl.lst.network import Layer, LstNetwork, pixel_codes, table_codes


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
        table_codes(np.tanh, m, n),
        pixel_codes(m, n),
    ).check()
