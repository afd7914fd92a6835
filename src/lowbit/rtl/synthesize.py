"""Resources and clock, by open tools.

``xc7``   Yosys ``synth_xilinx``, out of context: no vendor tool, no placement, no clock frequency
``xcup``  the same for UltraScale+
``gowin`` Yosys ``synth_gowin``: resources only
``ecp5``  Yosys ``synth_ecp5``, then nextpnr-ecp5 for LFE5U-45F, speed grade 6: frequency and bitstream
``ice40`` Yosys ``synth_ice40``, then nextpnr-ice40 for ICE40HX8K: frequency and bitstream

LUTs are the sum of LUT1 … LUT6 (an upper bound on sites) and of look-up tables used as memory or shift
registers; carry chains of ECP5 count two each. RAMB18 equivalents: a RAMB36 is two; a DP16KD, or a block of
Gowin, counts as one, four blocks of iCE40 (4 Kbit) as one.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from lowbit.errors import PlanError
from lowbit.rtl.primitives.target import Target
from lowbit.rtl.tools import fastest, run_tool

_SYNTHESIS: Mapping[Target, str] = {
    "xc7": "synth_xilinx -family xc7 -noiopad -noclkbuf",
    "xcup": "synth_xilinx -family xcup -noiopad -noclkbuf",
    "ecp5": "synth_ecp5",
    "ice40": "synth_ice40",
    "gowin": "synth_gowin",
}

_FLATTEN_THEMSELVES = frozenset({"ecp5", "ice40", "gowin"})
"""Families whose synthesis flattens unless it is told not to."""


_COUNTED_AS: tuple[tuple[str, str, int], ...] = (
    (r"LUT[1-6]", "lut", 1),
    (r"SRL16E|SRLC32E|SRLC16E", "lut", 1),
    (r"RAM32X1S|RAM64X1S|RAM32X1D|RAM64X1D", "lut", 2),
    (r"RAM32M|RAM64M", "lut", 4),
    (r"TRELLIS_DPR16X4", "lut", 6),
    (r"CCU2C", "lut", 2),
    (r"FD[RSCP]E.*|TRELLIS_FF", "ff", 1),
    (r"DSP48E[12]|MULT18X18D", "dsp", 1),
    (r"RAMB18E[12]|DP16KD", "ramb18", 1),
    (r"RAMB36E[12]", "ramb18", 2),
    (r"SB_LUT4|ALU", "lut", 1),
    (r"SB_RAM40_4K.*", "ramb4", 1),
    (r"SB_DFF.*|DFF.*", "ff", 1),
    (r"SB_MAC16|MULT18X18|MULT9X9|MULT36X36", "dsp", 1),
    (r"SP|SPX9|SDPB|SDPX9B|DPB|DPX9B|pROM|pROMX9", "ramb18", 1),
    (r"RAM16SDP[124]|RAM16S[124]", "lut", 4),
)
"""Cells by name, what they are, and how many."""

_CLOCK = re.compile(r"Max frequency for clock\s+'[^']*':\s+([0-9.]+) MHz")


@dataclass(frozen=True)
class Resources:
    """What a design, or a block of one, takes."""

    lut: int
    ff: int
    dsp: int
    ramb18: int


NOTHING = Resources(0, 0, 0, 0)


@dataclass(frozen=True)
class Synthesis:
    """The whole, optimized across blocks, and its blocks each for itself (so they add up to more)."""

    target: Target
    total: Resources
    blocks: Mapping[str, Resources]


def synthesize(
    folder: Path, verilog: str, top: str, target: Target, *, dsp: bool = True, by_block: bool = True
) -> Synthesis:
    """Return what a design takes; leaves ``synthesis.json`` (the netlist) in the folder.

    Args:
        folder: where the design is.
        verilog: its file name there.
        top: its top module.
        target: the family.
        dsp: whether multipliers may become DSP blocks.
        by_block: whether blocks are counted as well, which takes as long again.
    """
    command = f"{_SYNTHESIS[target]} -top {top}" + ("" if dsp else " -nodsp")
    whole, parts = (
        (command, f"{command} -noflatten")
        if target in _FLATTEN_THEMSELVES
        else (f"{command} -flatten", command)
    )
    wanted = [(whole, "synthesis.json"), (parts, "blocks.json")]
    for script, result in wanted if by_block else wanted[:1]:
        # By way of RTLIL: Yosys would read the Verilog again for named blocks, after it has flattened it.
        read = f"read_verilog {verilog}; write_rtlil design.il; design -reset; read_rtlil design.il"
        run_tool(fastest("yosys"), ["-q", "-p", f"{read}; {script}; write_json {result}"], folder)
    total = _count(folder / "synthesis.json")[top]
    blocks = _count(folder / "blocks.json") if by_block else {}
    (folder / "blocks.json").unlink(missing_ok=True)
    (folder / "design.il").unlink()
    return Synthesis(target, total, {name: found for name, found in blocks.items() if found != NOTHING})


def synthesize_parts(
    folder: Path, verilog: str, top: str, parts: Mapping[str, str], target: Target
) -> Synthesis:
    """Return what a large design takes: parts each for itself, flattened, then what is around them.

    Memory and time of synthesis are those of the largest part. The total is the sum.

    Args:
        folder: where the design is.
        verilog: its file name there.
        top: its top module.
        parts: modules below it, and the one that each takes as much as: itself, or one before it.
        target: the family.
    """
    flatten = "" if target in _FLATTEN_THEMSELVES else " -flatten"
    own = [name for name, like in parts.items() if name == like]
    cut = "".join(f"design -load whole; hierarchy -top {part}; write_rtlil {part}.il; " for part in own)
    around = f"design -load whole; blackbox {' '.join(parts)}; hierarchy -top {top}; write_rtlil {top}.il"
    run_tool(
        fastest("yosys"), ["-q", "-p", f"read_verilog {verilog}; design -save whole; {cut}{around}"], folder
    )
    found = {}
    for name in (*own, top):
        script = f"read_rtlil {name}.il; {_SYNTHESIS[target]}{flatten} -top {name}; write_json part.json"
        run_tool(fastest("yosys"), ["-q", "-p", script], folder)
        found[name] = _count(folder / "part.json")[name]
        (folder / f"{name}.il").unlink()
    (folder / "part.json").unlink()
    blocks = {**{name: found[like] for name, like in parts.items()}, top: found[top]}
    total = Resources(*(sum(counts) for counts in zip(*map(astuple, blocks.values()), strict=True)))
    return Synthesis(target, total, blocks)


@dataclass(frozen=True)
class Placement:
    """How a family is placed and routed by open tools.

    Attributes:
        device: what is placed on, for people.
        placer: the program, and its arguments but for files and the seed.
        placed: what the option of its result is called, and how the result's file name ends.
        packer: what makes a bitstream of it, with its arguments, and how that file's name ends.
    """

    device: str
    placer: tuple[str, ...]
    placed: tuple[str, str]
    packer: tuple[tuple[str, ...], str]


PLACED: Mapping[Target, Placement] = {
    "ecp5": Placement(
        "LFE5U-45F, speed grade 6",
        ("nextpnr-ecp5", "--45k", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained"),
        ("--textcfg", "config"),
        (("ecppack", "--compress"), "bit"),
    ),
    "ice40": Placement(
        "ICE40HX8K",
        ("nextpnr-ice40", "--hx8k", "--package", "ct256", "--pcf-allow-unconstrained"),
        ("--asc", "asc"),
        (("icepack",), "bin"),
    ),
}
"""Families whose bitstreams open tools make."""


def place_and_route(folder: Path, name: str, target: Target, *, seed: int = 1) -> float:
    """Make a bitstream, ``NAME.bit`` or ``NAME.bin``, of ``synthesis.json``; return the highest clock in MHz.

    Pins are left to the tool: the bitstream proves fit and speed; a board needs a constraint file.
    """
    how = PLACED[target]
    (placer, *options), (option, middle), ((packer, *more), ending) = how.placer, how.placed, how.packer
    files = ["--json", "synthesis.json", option, f"{name}.{middle}"]
    freely = ["--freq", "100", "--seed", str(seed), "--timing-allow-fail"]
    said = run_tool(fastest(placer), [*options, *files, *freely], folder)
    run_tool(fastest(packer), [*more, f"{name}.{middle}", f"{name}.{ending}"], folder)
    found = _CLOCK.findall(said)
    if not found:
        raise PlanError("the design has no clock", where=name, found="no frequency in the report of nextpnr")
    return float(found[-1])


def _count(netlist: Path) -> dict[str, Resources]:
    """Return what the cells of each module are, without those of the modules inside."""
    modules = json.loads(netlist.read_text())["modules"]
    return {
        name: _resources(sum((_counted(cell["type"]) for cell in module["cells"].values()), Counter()))
        for name, module in modules.items()
        if "blackbox" not in module["attributes"] and "whitebox" not in module["attributes"]
    }


def _counted(kind: str) -> Counter[str]:
    for pattern, what, count in _COUNTED_AS:
        if re.fullmatch(pattern, kind):
            return Counter({what: count})
    return Counter()


def _resources(counts: Counter[str]) -> Resources:
    blocks = counts["ramb18"] + -(-counts["ramb4"] // 4)
    return Resources(counts["lut"], counts["ff"], counts["dsp"], blocks)
