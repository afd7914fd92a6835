"""What a vendor's tool and a board need beside the Verilog: two Tcl scripts and a driver.

None of it was tested with the vendor's tool or on a board; the files say so. The driver is tested against an
imitation of the DMA that runs the simulated engine.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from lowbit.rtl.names import printable

if TYPE_CHECKING:
    from lowbit.rtl.design import Design

CLOCK_MHZ = 100
"""Clock of the block design: a judgement of what the smallest Zynq holds, not a measurement."""

_TEMPLATES = Path(__file__).parent / "pynq"
_FILES = {
    "package_ip.tcl": "package_ip.tcl",
    "block_design.tcl": "block_design.tcl",
    "driver.py.template": "driver.py",
}
_CONNECT_COUNTERS = """\
apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config {Master /ps/M_AXI_GP0 Clk Auto} \\
  [get_bd_intf_pins engine/s_axi_0]
"""


def write_pynq(design: "Design", folder: Path, *, counters: bool = False) -> None:
    """Write the scripts and the driver of an engine into its project.

    Args:
        design: the engine, of a stream of bytes.
        folder: of the project.
        counters: whether it has counters behind AXI-Lite.
    """
    words = {
        "TOP": design.top,
        "PLAN": printable(f"{design.variant}, {design.number_format}"),
        "CONNECT_COUNTERS": _CONNECT_COUNTERS if counters else "",
        "CLOCK_MHZ": str(CLOCK_MHZ),
        "SCORE_BITS": str(design.score_bits),
        "SHAPE": repr(design.stream_shape),
        "CLASSES": str(design.classes),
        "SCORE_DTYPE": f"<i{design.score_bits // 8}",
        "SCALE": repr(design.score_scale.tolist()),
        "BIAS": repr(design.score_bias.tolist()),
    }
    for template, name in _FILES.items():
        text = (_TEMPLATES / template).read_text()
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        (folder / name).write_text(text)
