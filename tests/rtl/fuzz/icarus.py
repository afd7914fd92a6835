"""A test bench of its own in Verilog, for a simulator of four states: 0, 1, unknown, floating.

It shares nothing with `lowbit.rtl.simulate`. Wires that say nothing are unknown (X); pixels come with gaps
and scores are taken with stalls, both by chance; in the midst of a picture there is a reset. What is checked
in every clock after a reset: no handshake is unknown, nothing that is valid is unknown, and a word that is
not taken stays as it is.
"""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

from lowbit.rtl.primitives.target import MODELS
from lowbit.rtl.project import write_sources
from lowbit.rtl.report import Options
from tests.rtl.fuzz.case import Case

_BENCH = """\
`timescale 1ns/1ps
module bench;
  reg clk = 0, rst_n = 0, s_valid = 0, m_ready = 0, s_last = 1'bx;
  reg [7:0] s_data = 8'bx;
  wire s_ready, m_valid, m_last;
  wire [@BITS@-1:0] m_data;
  reg [7:0] pixels [0:@PIXELS@-1];
  integer at = 0, cycle = 0, beats = 0, resetting = 5, reset_after = @RESET@, seed = @SEED@, next = 0;
  reg held = 0, offered = 0;
  reg [@BITS@:0] kept;

  @TOP@ dut (
    .ap_clk(clk), .ap_rst_n(rst_n),
    .s_axis_0_tdata(s_data), .s_axis_0_tvalid(s_valid), .s_axis_0_tlast(s_last), .s_axis_0_tready(s_ready),
    .m_axis_0_tdata(m_data), .m_axis_0_tvalid(m_valid), .m_axis_0_tlast(m_last), .m_axis_0_tready(m_ready));

  initial $readmemh("pixels.hex", pixels);
  always #5 clk = ~clk;

  task fault(input [8*32-1:0] what);
    begin
      $display("FAULT %0s in clock %0d", what, cycle);
      $finish;
    end
  endtask

  always @(posedge clk) begin
    cycle = cycle + 1;
    next = at;
    if (rst_n) begin
      if ((^{s_ready, m_valid}) === 1'bx) fault("unknown handshake");
      if (m_valid === 1'b1 && (^{m_data, m_last}) === 1'bx) fault("unknown data");
      if (held && (m_valid !== 1'b1 || {m_data, m_last} !== kept)) fault("changed while it waits");
      held = m_valid & ~m_ready;
      kept = {m_data, m_last};
      if (m_valid && m_ready) begin
        $display("BEAT %0d %0d", $signed(m_data), m_last);
        beats = beats + 1;
        if (beats == @BEATS@) $finish;
      end
      if (s_valid && s_ready) begin
        next = at + 1;
        offered = 0;
      end
    end
    if (next == reset_after) begin
      $display("RESET");
      resetting = 3;
      reset_after = -1;
      next = 0;
      beats = 0;
      offered = 0;
    end
    at = next;
    if (resetting > 0) begin
      resetting = resetting - 1;
      rst_n <= 0;
      held = 0;
    end else
      rst_n <= 1;
    if (!offered && next < @PIXELS@ && resetting == 0) offered = ($unsigned($random(seed)) % 100) >= @GAP@;
    s_valid <= offered;
    s_data <= offered ? pixels[next] : 8'bx;
    s_last <= offered ? ((next + 1) % @PACKET@ == 0) : 1'bx;
    m_ready <= ($unsigned($random(seed)) % 100) >= @STALL@;
    if (cycle > @CYCLES@) fault("no end");
  end
endmodule
"""


def is_there() -> bool:
    """Return whether Icarus Verilog is installed."""
    return shutil.which("iverilog") is not None and shutil.which("vvp") is not None


def different_pictures(case: Case, folder: Path, *, seed: int = 1, packet: int = 2) -> tuple[int, str]:
    """Return how many pictures differ, and what the test bench objects to, if anything.

    Args:
        case: the engine.
        folder: an empty one, where it is written and run.
        seed: of gaps and stalls.
        packet: pictures per packet.
    """
    design, pictures = case.design, case.bench.pictures
    count, size = len(pictures), pictures[0].size
    write_sources(design, Options(), folder)
    (folder / "pixels.hex").write_text("\n".join(f"{byte:02x}" for byte in pictures.ravel().tolist()) + "\n")
    beats = count * (design.classes + 1)
    words = {
        "BITS": _score_bits(folder / f"{design.top}.v"),
        "PIXELS": pictures.size,
        "BEATS": beats,
        "TOP": design.top,
        "RESET": size * 3 // 2,
        "PACKET": size * packet,
        "SEED": seed,
        "GAP": 40,
        "STALL": 50,
        "CYCLES": 64 * (count + 4) * design.cycles_per_image + 64 * size,
    }
    bench = _BENCH
    for word, value in words.items():
        bench = bench.replace(f"@{word}@", str(value))
    (folder / "bench.v").write_text(bench)
    sources = ["bench.v", f"{design.top}.v", *map(str, MODELS[design.target])]
    _run(["iverilog", "-g2005", "-s", "bench", "-o", "bench.vvp", *sources], folder)
    said = _run(["vvp", "-n", "bench.vvp"], folder).rpartition("RESET\n")[2].splitlines()
    objections = [line for line in said if not line.startswith("BEAT ")]
    found = np.array([[int(word) for word in line.split()[1:]] for line in said if line.startswith("BEAT ")])
    if objections or len(found) != beats:
        return count, "; ".join(objections) or f"{len(found)} of {beats} beats"
    table, ends = found.reshape(count, -1, 2), np.zeros((count, design.classes + 1), np.int64)
    ends[packet - 1 :: packet, -1] = 1
    wrong = case.differ(table[:, :-1, 0], table[:, -1, 0]) | (table[..., 1] != ends).any(axis=1)
    return int(wrong.sum()), ""


def _score_bits(verilog: Path) -> int:
    """Return the width of the scores' stream."""
    port = re.search(r"output \[(\d+):0\] m_axis_0_tdata", verilog.read_text())
    assert port is not None
    return int(port[1]) + 1


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout
