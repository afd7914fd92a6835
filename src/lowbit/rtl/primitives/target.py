"""The families of devices there are mappings for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Target = Literal["xc7", "xcup", "ecp5", "generic"]
"""7-series, UltraScale+, ECP5; `generic` is behaviour without named blocks, for simulation."""

NAMED_TABLES = frozenset({"xc7", "xcup"})
"""Families whose look-up tables are named, because synthesizers take the structure apart again."""

ECP5_MULTIPLIER_BITS = 18
"""Width of an input of MULT18X18D."""

MODELS: Mapping[Target, tuple[Path, ...]] = {
    "xc7": (),
    "xcup": (),
    "generic": (),
    "ecp5": (Path(__file__).parents[1] / "models" / "mult18x18d.v",),
}
"""Simulation models of the blocks that a family's Verilog names."""
