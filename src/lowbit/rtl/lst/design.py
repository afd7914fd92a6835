"""The LST engine as a design."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from lowbit.rtl.design import Design, Proof
from lowbit.rtl.lst.network import LstNetwork
from lowbit.rtl.lst.plan import LstPlan, Variant, plan_lst, score_bits
from lowbit.rtl.primitives.target import Target
from lowbit.version import __version__

if TYPE_CHECKING:
    from amaranth.lib import wiring


@dataclass(frozen=True, eq=False)
class LstDesign(Design):
    """A planned LST engine for a family."""

    plan: LstPlan
    target: Target
    top: ClassVar[str] = "lst_engine"

    @property
    def variant(self) -> str:
        """See `lowbit.rtl.lst.plan`."""
        return self.plan.variant

    @property
    def number_format(self) -> str:
        """The name of the fixed-point format."""
        return self.plan.network.number_format

    @property
    def classes(self) -> int:
        """Scores per picture."""
        return self.plan.network.classes

    @property
    def cycles_per_image(self) -> int:
        """See `LstPlan`."""
        return self.plan.cycles_per_image

    @property
    def proof(self) -> Proof:
        """See `LstPlan`."""
        return self.plan.proof

    @property
    def header(self) -> list[str]:
        """What the Verilog says about itself."""
        plan, network = self.plan, self.plan.network
        return [
            f"LST engine, variant {plan.variant}, for {self.target}; made by lowbit {__version__}.",
            "",
            f"Picture {network.rows} x {network.columns}, transforms to {network.by_rows.outputs} and "
            f"{network.by_columns.outputs}, {network.classes} classes.",
            f"{network.number_format}, rounding {network.encoding.rounding}; {plan.multipliers} multipliers.",
            f"{plan.period} clocks per row, {plan.cycles_per_image} clocks per picture.",
            "s_axis_0: one byte per pixel, row by row. m_axis_0: the scores, then the class with TLAST.",
            "",
            "What is stored and summed: range, bits taken, bits of the format or of the adder",
            *(f"  {name:48} {found:24} {taken:4} of {bits}" for name, found, taken, bits in plan.proof),
            "",
        ]

    def draw(self, *, counters: bool) -> "wiring.Component":
        """Return the engine."""
        from lowbit.rtl.lst.engine import LstEngine

        return LstEngine(self.plan, self.target, counters=counters)

    @property
    def score_bits(self) -> int:
        """Whole bytes that hold a sum."""
        return score_bits(self.plan)

    @property
    def score_scale(self) -> npt.NDArray[np.float64]:
        """Of sums with 2n fraction bits."""
        return np.full(self.classes, 0.25**self.plan.network.encoding.fraction_bits)

    @property
    def score_bias(self) -> npt.NDArray[np.float64]:
        """None: the sums have it."""
        return np.zeros(self.classes)

    def real_class(self, scores: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the first of the largest at full width."""
        return np.asarray(scores.argmax(axis=1))

    @property
    def stream_shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.plan.network.rows, self.plan.network.columns


def lst_design(network: LstNetwork, variant: Variant = "shared", target: Target = "xc7") -> LstDesign:
    """Return a planned engine.

    Raises:
        PlanError: it cannot be planned.
    """
    return LstDesign(plan_lst(network, variant), target)
