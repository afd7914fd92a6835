"""How large an unrolled network will be, before anything is made of it."""

from collections.abc import Mapping

import numpy as np

from lowbit.errors import PlanError
from lowbit.rtl.array.network import ArrayNetwork, Layer
from lowbit.rtl.primitives.target import Target
from lowbit.rtl.unroll.digits import signed_digits

LARGEST: Mapping[Target, str] = {
    "xc7": "xc7z045",
    "xcup": "xczu9eg",
    "ecp5": "ecp5-85k",
    "ice40": "ice40-hx8k",
    "gowin": "gw2a-18",
    "generic": "xczu9eg",
}
"""What an unrolled network must fit where no device is named."""

_SHARED = 0.75
"""Adders that are left of the terms of a layer, about, when two outputs share what they can."""


def forecast(network: ArrayNetwork) -> dict[str, int]:
    """Return about how many look-up tables each layer takes, by its name."""
    return {layer.name: _layer(layer) for layer in network.layers}


def check_size(network: ArrayNetwork, most: int) -> None:
    """Refuse a network that is forecast to be too large.

    Raises:
        PlanError: names the largest layer, and by how much.
    """
    found = forecast(network)
    total = sum(found.values())
    if total <= most:
        return
    layer = max(found, key=lambda name: found[name])
    raise PlanError(
        "this network is too large to be unrolled",
        where=layer,
        expected=f"at most {most:,} look-up tables",
        found=f"about {total:,}, {total / most:.1f} times as many; {found[layer]:,} of them here",
        remedy="Take --engine array, which folds layers, or fewer bits, or a larger --budget lut=N.",
    )


def unrolls(network: ArrayNetwork, cycles: int | None, most: int) -> tuple[bool, str]:
    """Return whether a network is better unrolled than folded, and why.

    Args:
        network: its integers.
        cycles: clocks per picture that are wanted, or None.
        most: look-up tables that there are.
    """
    channels, rows, columns = network.shape
    pixels, size = channels * rows * columns, sum(forecast(network).values())
    about = f"about {size:,} of {most:,} look-up tables"
    if cycles is not None and cycles < pixels:
        fits = size <= most
        why = f"a byte per clock takes {pixels} clocks per picture, {cycles} are wanted"
        return fits, f"engine {'unroll' if fits else 'array'}: {why}; unrolled, it takes {about}"
    if size <= most:
        return False, f"engine array: unrolled (--engine unroll), it would take {about}, a picture per clock"
    return False, f"engine array: unrolled, it would take {about}"


def _layer(layer: Layer) -> int:
    pixels = layer.window[0].outputs * layer.window[1].outputs
    numbers, counts = np.unique(layer.weights, return_counts=True)
    digits = sum(
        len(signed_digits(int(number))) * int(count)
        for number, count in zip(numbers, counts, strict=True)
        if number
    )
    span = int(layer.levels.max() - layer.levels.min()) * int(np.abs(layer.weights).max(initial=1))
    each = span.bit_length() + 1
    return round(_SHARED * pixels * digits * each * 0.75)
