"""A pool as a unit: the largest rank of each window, or their sum."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowbit.rtl.array.memory import blocks
from lowbit.rtl.array.network import Pool, output_shape
from lowbit.rtl.array.schedule import Schedule, schedule
from lowbit.rtl.array.units.unit import UNIT_LUT, Budget, RingPlan, Words, lanes_for

if TYPE_CHECKING:
    from amaranth.lib import wiring


@dataclass(frozen=True, eq=False)
class PoolPlan(RingPlan):
    """A pool as a unit.

    Attributes:
        pool: what it computes.
        lanes: channels at a time.
        schedule: when it reads what.
    """

    pool: Pool
    lanes: int
    schedule: Schedule

    @property
    def stage(self) -> Pool:  # type: ignore[override]
        """The pool."""
        return self.pool

    @property
    def kind(self) -> str:
        """What it takes of a window."""
        return "sum" if self.pool.sums else "largest"

    @property
    def inputs(self) -> tuple[Words]:
        """Ranks."""
        return (Words(self.lanes, self.pool.bits),)

    @property
    def output(self) -> Words:
        """Ranks, or sums of them."""
        return Words(self.lanes, self.pool.output_bits)

    @property
    def in_lanes(self) -> int:
        """Ranks in a word that comes in."""
        return self.lanes

    @property
    def cycles(self) -> int:
        """Those of its schedule."""
        return self.schedule.cycles

    @property
    def cost(self) -> Budget:
        """A ring, and a comparison or sum per lane."""
        memory = blocks(self.schedule.stored.depth, self.inputs[0].width)
        return Budget(UNIT_LUT + self.output.width, 0, memory)

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.array.hardware.units import Unit

        return Unit(self)


def plan_pool(pool: Pool, before: Words, cycles: int) -> PoolPlan:
    """Return a pool with as many lanes as the words that come, or as few as are quick enough."""
    lanes = before.lanes
    if pool.channels % lanes or not _quick(pool, lanes, cycles):
        _, rows, columns = output_shape(pool)
        lanes = lanes_for(
            pool.channels, rows * columns * pool.window[0].kernel * pool.window[1].kernel, cycles
        )
    words = pool.channels // lanes
    return PoolPlan(pool, lanes, schedule(pool.window, words, words, pool.name, groups=words, weighted=False))


def _quick(pool: Pool, lanes: int, cycles: int) -> bool:
    words = pool.channels // lanes
    order = schedule(pool.window, words, words, pool.name, groups=words, weighted=False)
    return order.cycles <= cycles or not pool.sums
