"""What others published of networks that are here too: said once, drawn, printed and compared from here.

LST-1 in fixed point: Vashkevich and Krivalcevich, *Learned separable transforms*, 2025, and their talk. The
engine is theirs in Q6.7 on an XC7Z010, counted by the vendor's tool.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedAccuracy:
    """A published accuracy: bits behind the point, top-1 as a fraction, and how it was said."""

    bits: int
    top1: float
    said: str


LST1_ACCURACY = (
    PublishedAccuracy(7, 0.9828, "98.28 %"),
    PublishedAccuracy(5, 0.97, "above 97 %"),
    PublishedAccuracy(5, 0.885, "88.5 %"),
    PublishedAccuracy(4, 0.219, "21.9 %"),
)
"""LST-1, six bits before the point, MNIST. For 5 bits the source has both figures."""

LST1_ENGINE: Mapping[str, float] = {
    "cycles_per_image": 4934,
    "lut": 914,
    "ff": 302,
    "dsp": 57,
    "ramb18": 67,
    "fmax_mhz": 48.8,
}
"""Clocks for a picture, look-up tables, flip-flops, multipliers, memories of 18 kbit, clock in MHz."""

FIGURES: Mapping[str, float] = {
    **{f"lst1 {name}": figure for name, figure in LST1_ENGINE.items()},
    **{f"lst1 Q6.{each.bits}": each.top1 for each in reversed(LST1_ACCURACY)},
}
"""Figures by the name that rows of ``recipes/rows.toml`` have for them; of two for one format the higher."""
