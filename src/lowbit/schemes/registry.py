"""The registry: a row for every scheme, which says how it is written, how many bits it has, and where.

A row is all that plans, recipes and commands know of a scheme. A text names it and its parameters,

    affine:4:group=128         name, bits, options
    fixed:6.7:floor            name, bits before and behind the point, options
    binary                     name alone

see `lowbit.schemes.specification`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lowbit.schemes import fixed_point, power_of_two

FLOAT_BITS = 32

Bits = tuple[int, int]
"""The fewest and the most."""


@dataclass(frozen=True)
class Scheme:
    """A row of the registry.

    Attributes:
        name: the first word of a specification.
        parameter: what follows the name: `bits`, `format` (bits before and behind the point) or nothing.
        weights: bits that weights may have; None where weights cannot have the scheme.
        activations: of the inputs of layers, likewise.
        options: words that may follow; one that ends in `=` takes a number.
        aliases: words that stand for a specification of this scheme.
    """

    name: str
    parameter: Literal["", "bits", "format"]
    weights: Bits | None
    activations: Bits | None
    options: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def bits(self) -> Bits:
        """The fewest and the most bits that it has anywhere."""
        ranges = [found for found in (self.weights, self.activations) if found]
        return min(low for low, _ in ranges), max(high for _, high in ranges)


_ROWS = (
    Scheme("float", "", (FLOAT_BITS, FLOAT_BITS), (FLOAT_BITS, FLOAT_BITS)),
    Scheme("binary", "", (1, 1), (1, 1)),
    Scheme("lq", "bits", (1, 4), (1, 4), ("offset",)),
    Scheme(
        "pow2",
        "bits",
        (power_of_two.LEAST_BITS, power_of_two.MOST_BITS),
        None,
        aliases={"ternary": "pow2:2"},
    ),
    Scheme("affine", "bits", (2, 8), (2, 8), ("group=",)),
    Scheme("fixed", "format", (2, fixed_point.MOST_BITS), (2, fixed_point.MOST_BITS), ("floor",)),
    Scheme("pixels", "", None, (8, 8)),
)

REGISTRY: dict[str, Scheme] = {row.name: row for row in _ROWS}
"""Every scheme by name."""
