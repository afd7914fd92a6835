"""The unrolled engine as a design."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lowbit.rtl.array.design import NetworkDesign
from lowbit.rtl.array.network import ArrayNetwork, Layer
from lowbit.rtl.design import Proof
from lowbit.rtl.integers import Range
from lowbit.rtl.unroll.plan import UnrollPlan
from lowbit.rtl.unroll.text import WORD, Text
from lowbit.version import __version__

if TYPE_CHECKING:
    from amaranth.lib import wiring


@dataclass(frozen=True, eq=False)
class UnrollDesign(NetworkDesign):
    """A planned unrolled engine."""

    plan: UnrollPlan
    top: ClassVar[str] = "unroll_engine"

    @property
    def network(self) -> ArrayNetwork:
        """What it computes."""
        return self.plan.network

    @property
    def variant(self) -> str:
        """Always the same."""
        return "unroll"

    @property
    def number_format(self) -> str:
        """How weights are multiplied."""
        return "adders"

    @property
    def whole_beats(self) -> bool:
        """Whether a beat is a picture, and its results."""
        return self.plan.whole

    @property
    def cycles_per_image(self) -> int:
        """1 where a beat is a picture."""
        return self.plan.cycles_per_image

    @property
    def proof(self) -> Proof:
        """What goes out of every stage."""
        ranges, rows = self.plan.circuit.ranges, []
        for stage, numbers in self.plan.made.numbers.items():
            values = [number.term.value for number in numbers.reshape(-1) if number.term is not None]
            if stage and values:
                found = ranges[values[0]]
                for value in values[1:]:
                    found = found | ranges[value]
                rows.append((stage, str(found), found.bits, found.bits))
        rank: Range = self.plan.scores.rank
        return [*rows, ("scores: rank", str(rank), rank.bits, rank.bits)]

    @property
    def header(self) -> list[str]:
        """What the Verilog says about itself."""
        plan, shape = self.plan, " x ".join(map(str, self.network.shape))
        how = (
            "a picture per beat, the first byte lowest. m_axis_0: the scores, 32 bits each, then the class."
            if plan.whole
            else "one byte per element, pixel by pixel, channels together. "
            "m_axis_0: the sums of the last layer, then the class with TLAST."
        )
        return [
            f"Unrolled engine of {self.network.name}, for {plan.target}; made by lowbit {__version__}.",
            "",
            f"Picture {shape} (channels, rows, columns), {self.classes} classes; "
            f"{self.cycles_per_image} clocks per picture, {plan.pipeline.stages} to its results, "
            f"{plan.pipeline.depth} operations in a row.",
            f"s_axis_0: {how}",
            "",
            "Layers: adders, and their bits",
            *(f"  {unit['name']:32} {unit['products']:8} {unit['folding']:>8}" for unit in self.units),
            "",
        ]

    @property
    def units(self) -> Sequence[Mapping[str, Any]]:
        """Every layer: its adders, the bits that they have, and its clocks."""
        found = []
        for stage in self.network.stages:
            if isinstance(stage, Layer):
                adders, bits = self.plan.adders(stage.name)
                cycles = self.plan.cycles_per_image
                row = {
                    "name": stage.name,
                    "module": stage.name,
                    "element": "adders",
                    "folding": f"{bits} bits",
                }
                found.append({**row, "cycles": cycles, "products": adders})
        return found

    @property
    def text(self) -> str:
        """The circuit in Verilog."""
        from lowbit.rtl.unroll.hardware import CORE

        plan = self.plan
        widths = [plan.input_bits] * plan.picture_bytes
        notes = {values.start: f"{name}" for name, values in plan.made.added.items() if len(values)}
        return "\n".join(Text(CORE, plan.circuit, plan.results, plan.pipeline, widths, notes).lines()) + "\n"

    def draw(self, *, counters: bool) -> "wiring.Component":
        """Return the engine."""
        from lowbit.rtl.unroll.hardware import UnrollEngine

        return UnrollEngine(self.plan, counters=counters)

    @property
    def score_bits(self) -> int:
        """Bits of a word."""
        return WORD
