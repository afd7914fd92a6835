"""The families of devices there are mappings for."""

from typing import Literal

Target = Literal["xc7", "ecp5"]
