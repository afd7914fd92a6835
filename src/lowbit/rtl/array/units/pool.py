"""A pool as a unit: the largest rank of each window, or their sum.

Where windows do not overlap, every word is taken as it comes, into what its window has so far: no row of the
map is kept, and neither rows nor borders cost a clock. Other windows are read from a ring of rows.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowbit.ir.window import Window
from lowbit.rtl.address import Address
from lowbit.rtl.array.memory import LUT_DEPTH, blocks, is_shallow
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
    def words(self) -> int:
        """Words of a pixel."""
        return self.pool.channels // self.lanes

    @property
    def runs(self) -> bool:
        """Whether windows do not overlap."""
        return is_apart(self.pool.window)

    @property
    def cycles(self) -> int:
        """A word of the map per clock, or those of its schedule."""
        rows, columns = self.pool.window
        return rows.extent * columns.extent * self.words if self.runs else self.schedule.cycles

    @property
    def partial(self) -> Address:
        """Where what a window has so far is kept, while others of its row are read."""
        return Address({"word": self.words, "column": self.pool.window[1].outputs})

    def rows_needed(self, row: int) -> int:
        """Return the last row that a row of outputs reads."""
        if not self.runs:
            return super().rows_needed(row)
        return int(min(self.pool.window[0].positions()[row, -1] + 1, self.pool.window[0].extent))

    @property
    def rows_inside(self) -> int:
        """Those of its ring, if it has one."""
        return 1 if self.runs else super().rows_inside

    @property
    def cost(self) -> Budget:
        """A ring or what windows have so far, and a comparison or sum per lane."""
        if self.runs:
            depth, width = self.partial.depth, self.output.width
            shallow = is_shallow(depth, width)
            kept = width * -(-depth // LUT_DEPTH) if shallow else 0
            return Budget(UNIT_LUT // 2 + 2 * width + kept, 0, 0 if shallow else blocks(depth, width))
        memory = blocks(self.schedule.stored.depth, self.inputs[0].width)
        return Budget(UNIT_LUT + self.output.width, 0, memory)

    def draw(self) -> "wiring.Component":
        """Return the hardware."""
        from lowbit.rtl.array.hardware.running_pool import RunningPool
        from lowbit.rtl.array.hardware.units import Unit

        return RunningPool(self) if self.runs else Unit(self)


def is_apart(window: Window) -> bool:
    """Return whether windows do not overlap, and have no gaps between their taps."""
    return all(axis.kernel <= axis.stride and axis.dilation == 1 for axis in window)


def plan_pool(pool: Pool, before: Words, cycles: int) -> PoolPlan:
    """Return a pool with as many lanes as the words that come, or as few as are quick enough."""
    lanes = before.lanes
    if pool.channels % lanes or not _quick(pool, lanes, cycles):
        _, rows, columns = output_shape(pool)
        taps = rows * columns * pool.window[0].kernel * pool.window[1].kernel
        pixels = pool.window[0].extent * pool.window[1].extent if is_apart(pool.window) else taps
        lanes = lanes_for(pool.channels, pixels, cycles)
    words = pool.channels // lanes
    return PoolPlan(pool, lanes, schedule(pool.window, words, words, pool.name, groups=words, weighted=False))


def _quick(pool: Pool, lanes: int, cycles: int) -> bool:
    words = pool.channels // lanes
    order = schedule(pool.window, words, words, pool.name, groups=words, weighted=False)
    return PoolPlan(pool, lanes, order).cycles <= cycles or not pool.sums
