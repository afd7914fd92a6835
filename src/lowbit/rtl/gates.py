"""Switching activity: how often wires change, in gates of two inputs that take a unit of time each.

    settled   wires that differ between the ends of two clocks
    all       changes on the way, too: a gate follows its inputs a unit later, and glitches count

Yosys makes the gates (and, or, xor, not; registers with enable). The clock is left out. All streams of a
stimulus run side by side, a bit each. It is a measure to compare designs by, as ratios of their sums: neither
look-up tables and carry chains of a device, nor capacitances, nor joules.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import EngineError
from lowbit.rtl.tools import run_tool

Bits = npt.NDArray[np.uint8]
_Words = npt.NDArray[np.uint64]
_Nets = npt.NDArray[np.intp]

_SYNTHESIS = (
    "read_verilog design.v; synth -flatten -noabc -top {top}; "
    "dfflegalize -cell $_DFF_P_ 01 -cell $_DFFE_PP_ 01; abc -g AND,OR,XOR; opt_clean -purge; "
    "write_json gates.json"
)
_GATES: Mapping[str, Callable[[_Words, _Words], _Words]] = {
    "$_AND_": np.bitwise_and,
    "$_OR_": np.bitwise_or,
    "$_XOR_": np.bitwise_xor,
    "$_NOT_": np.bitwise_xor,  # with one
}
_REGISTERS = ("$_DFF_P_", "$_DFFE_PP_")
_MOST_UNITS = 10_000
"""No design is so deep; a loop would go on for ever."""


@dataclass(frozen=True)
class Toggles:
    """Changes of wires, summed over `clocks` and `streams`."""

    gates: int
    registers: int
    clocks: int
    streams: int
    settled: int
    all: int

    @property
    def per_clock(self) -> float:
        """Changes per clock, glitches included."""
        return self.all / (self.clocks * self.streams)

    @property
    def settled_per_clock(self) -> float:
        """Changes per clock, from end to end."""
        return self.settled / (self.clocks * self.streams)


@dataclass(frozen=True, eq=False)
class _Logic:
    """All gates of a kind, by the numbers of their nets."""

    function: Callable[[_Words, _Words], _Words]
    a: _Nets
    b: _Nets
    y: _Nets


class Gates:
    """A design as gates; make one with `to_gates`."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        self._ports = {name: _nets(port["bits"]) for name, port in module["ports"].items()}
        cells = [(cell["type"], cell["connections"]) for cell in module["cells"].values()]
        unknown = {kind for kind, _ in cells} - {*_GATES, *_REGISTERS}
        if unknown:
            raise EngineError(
                "the netlist has cells that are no gates", expected="gates and registers", found=str(unknown)
            )
        self._logic = []
        for kind, function in _GATES.items():
            pins = [pin for found, pin in cells if found == kind]
            b = _pin(pins, "B") if kind != "$_NOT_" else np.ones(len(pins), np.intp)
            self._logic.append(_Logic(function, _pin(pins, "A"), b, _pin(pins, "Y")))
        registers = [pin for found, pin in cells if found in _REGISTERS]
        self._d, self._q = _pin(registers, "D"), _pin(registers, "Q")
        self._e = np.array([_net(pin["E"][0]) if "E" in pin else 1 for pin in registers], np.intp)
        everything = [*(logic.y for logic in self._logic), self._q, *self._ports.values()]
        self._count = 1 + max((int(nets.max()) for nets in everything if len(nets)), default=1)
        self.gates, self.registers = sum(len(logic.y) for logic in self._logic), len(registers)

    def run(
        self, inputs: Mapping[str, Bits], observed: Sequence[str] = (), *, warm_up: int = 0
    ) -> tuple[Toggles, dict[str, Bits]]:
        """Run a stimulus and return its toggles, and what observed ports were at the end of each clock.

        Args:
            inputs: bits ``[clocks, streams, width]`` of every port but the clock.
            observed: names of ports.
            warm_up: clocks that are not counted.
        """
        clocks, streams = next(iter(inputs.values())).shape[:2]
        packed = {name: _packed(bits) for name, bits in inputs.items()}
        v = np.zeros((self._count, -(-streams // 64)), np.uint64)
        v[1] = ~np.uint64(0)
        live = _packed(np.ones((1, streams, 1), np.uint8))[0, 0]
        seen: dict[str, list[_Words]] = {name: [] for name in observed}
        settled = total = 0
        for clock in range(clocks):
            before = v.copy()
            v[self._q] = (before[self._d] & before[self._e]) | (before[self._q] & ~before[self._e])
            for name, words in packed.items():
                v[self._ports[name]] = words[clock]
            changes = _differing(before, v, live) + self._settle(v, live)
            if clock >= warm_up:
                total, settled = total + changes, settled + _differing(before, v, live)
            for name in observed:
                seen[name].append(v[self._ports[name]])
        toggles = Toggles(self.gates, self.registers, clocks - warm_up, streams, settled, total)
        return toggles, {name: _unpacked(words, streams) for name, words in seen.items()}

    def _settle(self, v: _Words, live: _Words) -> int:
        """Let gates follow their inputs, all at once, unit by unit, and return how often wires change."""
        total = 0
        for _ in range(_MOST_UNITS):
            outputs = [(logic.y, logic.function(v[logic.a], v[logic.b])) for logic in self._logic]
            changes = 0
            for y, after in outputs:
                changes += _differing(v[y], after, live)
                v[y] = after
            if not changes:
                return total
            total += changes
        raise EngineError("the gates do not settle", found=f"changes after {_MOST_UNITS} units of time")


def to_gates(verilog: str, top: str) -> Gates:
    """Return a design as gates of two inputs."""
    with TemporaryDirectory() as folder:
        Path(folder, "design.v").write_text(verilog)
        run_tool("yosys", ["-q", "-p", _SYNTHESIS.format(top=top)], Path(folder))
        netlist = json.loads(Path(folder, "gates.json").read_text())
    return Gates(netlist["modules"][top])


def to_bits(values: npt.ArrayLike, width: int) -> Bits:
    """Return integers of any shape as bits, the lowest first: uint8 ``[..., width]``."""
    integers = np.asarray(values, dtype=object)
    bits = np.empty((*integers.shape, width), np.uint8)
    for at, value in np.ndenumerate(integers):
        row = (int(value) % (1 << width)).to_bytes(-(-width // 8), "little")
        bits[at] = np.unpackbits(np.frombuffer(row, np.uint8), count=width, bitorder="little")
    return bits


def _net(bit: int | str) -> int:
    """Return the number of a net: 0 and 1 are constants, what is undefined is 0."""
    return bit if isinstance(bit, int) else int(bit == "1")


def _nets(bits: Sequence[int | str]) -> _Nets:
    return np.array([_net(bit) for bit in bits], np.intp)


def _pin(pins: Sequence[Mapping[str, Any]], name: str) -> _Nets:
    return np.array([_net(pin[name][0]) for pin in pins], np.intp)


def _packed(bits: Bits) -> _Words:
    """Return bits ``[clocks, streams, width]`` as words ``[clocks, width, words]``."""
    clocks, streams, width = bits.shape
    filled = np.zeros((clocks, width, -(-streams // 64) * 64), np.uint8)
    filled[..., :streams] = bits.transpose(0, 2, 1)
    return np.packbits(filled, axis=-1, bitorder="little").view("<u8")


def _unpacked(words: Sequence[_Words], streams: int) -> Bits:
    """Return words ``[clocks][width, words]`` as bits ``[clocks, streams, width]``."""
    table = np.ascontiguousarray(np.stack(words), "<u8").view(np.uint8)
    return np.unpackbits(table, axis=-1, count=streams, bitorder="little").transpose(0, 2, 1)


def _differing(before: _Words, after: _Words, live: _Words) -> int:
    """Return how many wires differ, in streams that there are."""
    return int(np.bitwise_count((before ^ after) & live).sum())
