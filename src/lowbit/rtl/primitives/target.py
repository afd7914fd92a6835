"""The families of devices there are mappings for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Target = Literal["xc7", "ecp5"]

MODELS: Mapping[Target, tuple[Path, ...]] = {
    "xc7": (),
    "ecp5": (Path(__file__).parents[1] / "models" / "mult18x18d.v",),
}
"""Simulation models of the blocks that a family's Verilog names."""
