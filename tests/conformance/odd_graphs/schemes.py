"""Every way to quantize a float network, by its specification."""

from collections.abc import Callable
from functools import partial

import numpy as np

from lowbit.ir import Graph, run_passes
from lowbit.ir.layers import FLOAT_BITS
from lowbit.ir.passes import ENGINE_FORM
from lowbit.quantization import Plan, quantize, to_fixed_point
from lowbit.quantization.plan import BITS
from lowbit.quantization.shared import layer_names
from tests.conformance.odd_graphs.network import Array

Quantize = Callable[[Graph, Array], Graph]

QUICK = {"restarts": 0, "rounds": 1, "patches": 512}


def planned(graph: Graph, samples: Array, **settings: object) -> Graph:
    """Return the network quantized by a plan, with little effort."""
    return quantize(graph, samples, Plan(**QUICK, **settings))[0]  # type: ignore[arg-type]


def mixed(graph: Graph, samples: Array) -> Graph:
    """Return the network with a scheme of its own for every layer, or none."""
    names = layer_names(run_passes(graph, ENGINE_FORM).graph)
    random = np.random.default_rng(len(names))
    choices = ({"scheme": "lq", "bits": 2}, {"scheme": "affine", "bits": 8}, {"scheme": "pow2", "bits": 4})
    more = ({"scheme": "float"}, {"scheme": "affine", "bits": 3}, {"scheme": "lq", "activation_bits": 32})
    layers = {name: [*choices, *more][random.integers(6)] for name in names}
    return planned(graph, samples, layers=layers)


def fixed_point(graph: Graph, samples: Array, rounding: str) -> Graph:
    """Return the network in Q6.7, by rounding alone."""
    del samples
    return to_fixed_point(graph, 6, 7, rounding)


def _schemes() -> dict[str, Quantize]:
    found: dict[str, Quantize] = {}
    for scheme, ranges in BITS.items():
        least, most = ranges["weight_bits"]
        for bits in range(least, most + 1):
            sums = "real" if bits % 2 else "fixed"
            settings = {"scheme": scheme, "weight_bits": bits, "activation_bits": bits, "sums": sums}
            found[f"{scheme}:{bits}"] = partial(planned, **settings)
            if scheme != "pow2":
                found[f"{scheme}:{bits}:weights"] = partial(
                    planned, **{**settings, "activation_bits": FLOAT_BITS}
                )
    found["pow2:4:8"] = partial(planned, scheme="pow2", weight_bits=4, activation_bits=8)
    found["lq:1:plain"] = partial(planned, weight_bits=1, activation_bits=1, method="plain")
    found["affine:8:plain"] = partial(
        planned, scheme="affine", weight_bits=8, activation_bits=8, method="plain"
    )
    found["mixed"] = mixed
    found["fixed:6.7"] = partial(fixed_point, rounding="nearest")
    found["fixed:6.7:floor"] = partial(fixed_point, rounding="floor")
    return found


SCHEMES = _schemes()
