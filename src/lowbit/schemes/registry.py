"""The registry: a row for every scheme, which says how it is written, how many bits it has, and where.

A row is all that plans, recipes and commands know of a scheme. A text names it and its parameters,

    affine:4:group=128         name, bits, options
    fixed:6.7:floor            name, bits before and behind the point, options
    binary                     name alone

see `lowbit.schemes.specification`. The row also names the scheme's folder: how it is fitted (``fit``) and
trained (``train``, which needs torch) is imported when somebody asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from lowbit.schemes.affine import Affine
from lowbit.schemes.codebook import Codebook
from lowbit.schemes.encoding import Encoding
from lowbit.schemes.fixed_point import MOST_BITS, FixedPoint
from lowbit.schemes.learned_basis import LearnedBasis
from lowbit.schemes.power_of_two import PowerOfTwo

if TYPE_CHECKING:
    from lowbit.schemes.fitting import Fit

FLOAT_BITS = 32

Bits = tuple[int, int]
"""The fewest and the most."""


@dataclass(frozen=True)
class Scheme:
    """A row of the registry.

    Attributes:
        name: the first word of a specification.
        title: what people call it in pictures.
        parameter: what follows the name: `bits`, `format` (bits before and behind the point) or nothing.
        weights: bits that weights may have; None where weights cannot have the scheme.
        activations: of the inputs of layers, likewise.
        folder: of its modules, in `lowbit.schemes`; none where there is nothing to fit or train.
        encoding: the class of its encodings; None where they are of another scheme's.
        uniform: whether levels are whole multiples of a scale, all of them in a range.
        options: words that may follow; one that ends in `=` takes a number.
        aliases: words that stand for a specification of this scheme.
        inputs: what the input of a layer becomes where a plan says the scheme of weights and bits alone: the
            first of these that has the bits; none where a plan has to say both.
    """

    name: str
    title: str
    parameter: Literal["", "bits", "format"]
    weights: Bits | None
    activations: Bits | None
    folder: str = ""
    encoding: type[Encoding] | None = None
    options: tuple[str, ...] = ()
    uniform: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()

    @property
    def bits(self) -> Bits:
        """The fewest and the most bits that it has anywhere."""
        ranges = [found for found in (self.weights, self.activations) if found]
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    @property
    def fit(self) -> "Fit":
        """How its encodings are fitted to tensors after training."""
        found: Fit = import_module(f"lowbit.schemes.{self.folder}.fit").FIT
        return found

    @property
    def train(self) -> Any:
        """The module of its trainable quantizers: functions `weights` and `inputs`, as far as it has them."""
        return import_module(f"lowbit.schemes.{self.folder}.train")


_ROWS = (
    Scheme("float", "float", "", (FLOAT_BITS, FLOAT_BITS), (FLOAT_BITS, FLOAT_BITS)),
    Scheme("binary", "binary", "", (1, 1), (1, 1), "binary"),
    Scheme(
        "lq",
        "learned basis",
        "bits",
        (1, 4),
        (1, 4),
        "learned_basis",
        LearnedBasis,
        ("offset",),
        inputs=("lq",),
    ),
    Scheme(
        "pow2",
        "powers of two",
        "bits",
        (2, 4),
        None,
        "power_of_two",
        PowerOfTwo,
        aliases={"ternary": "pow2:2"},
        inputs=("lq", "affine"),
    ),
    Scheme(
        "affine",
        "uniform",
        "bits",
        (2, 8),
        (2, 8),
        "affine",
        Affine,
        ("group=",),
        uniform=True,
        inputs=("affine",),
    ),
    Scheme(
        "fixed",
        "fixed point",
        "format",
        (2, MOST_BITS),
        (2, MOST_BITS),
        "fixed_point",
        FixedPoint,
        ("floor",),
        uniform=True,
    ),
    Scheme("codebook", "codebook", "bits", (2, 4), None, "codebook", Codebook),
    Scheme("pixels", "pixels", "", None, (8, 8), "pixels", uniform=True),
)

REGISTRY: dict[str, Scheme] = {row.name: row for row in _ROWS}
"""Every scheme by name."""


def title(name: str) -> str:
    """Return what people call a scheme; of an unknown name, the name."""
    return REGISTRY[name].title if name in REGISTRY else name
