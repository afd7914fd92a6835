"""The array engine as a design."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from lowbit.rtl.array.network import ArrayNetwork
from lowbit.rtl.array.plan import ArrayPlan, LayerPlan
from lowbit.rtl.array.scores import SCORE_BITS
from lowbit.rtl.array.units.unit import UnitPlan
from lowbit.rtl.design import Design, Proof
from lowbit.rtl.elements.element import WIDEST_SUM
from lowbit.rtl.primitives.target import Target
from lowbit.version import __version__

if TYPE_CHECKING:
    from amaranth.lib import wiring


class NetworkDesign(Design):
    """An engine of the integers of a network: what its scores mean is the same for all of them."""

    plan: Any

    @property
    @abstractmethod
    def network(self) -> ArrayNetwork:
        """What it computes."""

    @property
    def target(self) -> Target:  # type: ignore[override]
        """The family."""
        return cast(Target, self.plan.target)

    @property
    def classes(self) -> int:
        """Scores per picture."""
        return self.network.classes

    @property
    def picture(self) -> tuple[int, int, int]:
        """Channels, rows and columns of a picture."""
        return self.network.shape

    @property
    def score_bits(self) -> int:
        """Those of all engines of this kind."""
        return SCORE_BITS

    @property
    def score_scale(self) -> npt.NDArray[np.float64]:
        """Of the last layer, with that of its input."""
        return self.network.scale

    @property
    def score_bias(self) -> npt.NDArray[np.float64]:
        """Of the last layer."""
        return self.network.bias

    def real_class(self, scores: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the first of the largest, as reals."""
        return np.asarray(self.real_scores(scores)[:, : self.network.ranked].argmax(axis=1))

    @property
    def stream_shape(self) -> tuple[int, ...]:
        """Rows, columns and channels."""
        channels, rows, columns = self.network.shape
        return rows, columns, channels


@dataclass(frozen=True, eq=False)
class ArrayDesign(NetworkDesign):
    """A planned array engine."""

    plan: ArrayPlan
    top: ClassVar[str] = "array_engine"

    @property
    def network(self) -> ArrayNetwork:
        """What it computes."""
        return self.plan.network

    @property
    def variant(self) -> str:
        """Always the same."""
        return "array"

    @property
    def number_format(self) -> str:
        """The elements that there are."""
        kinds = (unit.operands.kind for unit in self.plan.units if isinstance(unit, LayerPlan))
        return ", ".join(dict.fromkeys(kinds))

    @property
    def cycles_per_image(self) -> int:
        """Those of the slowest part."""
        return self.plan.cycles_per_image

    @property
    def proof(self) -> Proof:
        """The sums of every layer, and the ranks of the scores."""
        rows: Proof = []
        for unit in self.plan.units:
            for name, (found, bits) in unit.sums.items():
                rows.append((name, str(found), bits, max(bits, WIDEST_SUM)))
        rank = self.plan.scores.rank
        rows.append(("scores: rank", str(rank), rank.bits, WIDEST_SUM))
        return rows

    @property
    def header(self) -> list[str]:
        """What the Verilog says about itself."""
        plan, shape = self.plan, " x ".join(map(str, self.plan.network.shape))
        return [
            f"Array engine of {plan.network.name}, for {plan.target}; made by lowbit {__version__}.",
            "",
            f"Picture {shape} (channels, rows, columns), {self.classes} classes; "
            f"{self.cycles_per_image} clocks per picture.",
            "s_axis_0: one byte per element, pixel by pixel, channels together. "
            "m_axis_0: the sums of the last layer, then the class with TLAST.",
            "",
            "Units: elements x lanes, clocks per picture",
            *(
                f"  {unit['module']:32} {unit['element']:10} {unit['folding']:10} {unit['cycles']:8}"
                for unit in self.units
            ),
            "",
            "What is summed: range, bits taken, bits of the widest adder",
            *(f"  {name:32} {found:24} {taken:4} of {bits}" for name, found, taken, bits in self.proof),
            "",
        ]

    @property
    def units(self) -> Sequence[Mapping[str, Any]]:
        """Name, module, element, folding, clocks per picture, and products per picture, of every unit."""
        return [
            {
                "name": unit.name,
                "module": module,
                "element": unit.kind,
                "folding": unit.layout,
                "cycles": unit.cycles,
                "products": unit.products,
            }
            for module, unit in self._modules.items()
        ]

    @property
    def large_memories(self) -> bool:
        """The weights of all layers."""
        return True

    @property
    def parts(self) -> Mapping[str, str]:
        """Every layer; what differs in the contents of block RAMs alone is synthesized once."""
        seen: dict[object, str] = {}
        return {
            module: seen.setdefault(unit.likeness or module, module)
            for module, unit in self._modules.items()
            if isinstance(unit, LayerPlan)
        }

    @property
    def _modules(self) -> Mapping[str, UnitPlan]:
        """Every unit by the name of its module."""
        names = (f"{self.top}_engine_{label}" for label in self.plan.labels)
        return dict(zip(names, self.plan.units, strict=True))

    def draw(self, *, counters: bool) -> "wiring.Component":
        """Return the engine."""
        from lowbit.rtl.array.hardware.engine import ArrayEngine

        return ArrayEngine(self.plan, counters=counters)
