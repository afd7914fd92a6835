"""The families of devices there are mappings for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Target = Literal["xc7", "xcup", "ecp5", "ice40", "gowin", "generic"]
"""7-series, UltraScale+, ECP5, iCE40, Gowin; `generic` is behaviour without named blocks, for any tool."""

NAMED_TABLES = frozenset({"xc7", "xcup"})
"""Families whose look-up tables are named, because synthesizers take the structure apart again."""

WITHOUT_MULTIPLIERS: frozenset[Target] = frozenset({"ice40"})
"""Families that multiply in look-up tables."""

ECP5_MULTIPLIER_BITS = 18
"""Width of an input of MULT18X18D."""

_MODELS = Path(__file__).parents[1] / "models"

MODELS: Mapping[Target, tuple[Path, ...]] = {
    "xc7": (_MODELS / "look_up_tables.v",),
    "xcup": (_MODELS / "look_up_tables.v",),
    "ice40": (),
    "gowin": (),
    "generic": (),
    "ecp5": (_MODELS / "mult18x18d.v",),
}
"""Simulation models of the blocks that a family's Verilog names."""
