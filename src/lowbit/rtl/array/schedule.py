"""When a unit reads what: a window slides over rows that stand in a ring, in integers.

A unit writes its input into a memory of `ring` rows, word by word. For every output pixel it reads the valid
taps of the window, as often as it has folds (groups of outputs that are computed together). Taps in the
padding are not read: what is skipped costs no clock and adds nothing.

    for y, x, fold, tap row, then in one run: tap column, word of the fold's part of the pixel

A layer reads all words of a pixel for every fold. The words of a grouped layer fall into as many parts as its
folds do; of a depthwise layer and of a pool, a part is one word. A row of outputs starts when the rows that
it reads are there, and gives those back that no later one needs. With as many rows as `ring` says, a row can
be computed while all that the next one needs arrives.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lowbit.errors import PlanError
from lowbit.ir.window import Axis, Window
from lowbit.rtl.address import Address


@dataclass(frozen=True)
class Reach:
    """What one output reads along an axis.

    Attributes:
        position: the first position it reads.
        tap: the tap that does.
        taps: how many there are, side by side.
        category: its border class.
    """

    position: int
    tap: int
    taps: int
    category: int


@dataclass(frozen=True)
class Beat:
    """One clock of a unit: what it reads, and where in its sum it is."""

    row: int
    word: int
    weight: int
    first: bool
    last: bool
    fold: int
    row_category: int
    column_category: int


@dataclass(frozen=True)
class Schedule:
    """The order of a unit's work; make one with `schedule`.

    Attributes:
        rows, columns: by output.
        height, width: of the map that comes in.
        kernel: taps of the window, rows and columns.
        words: of a pixel.
        folds: how often a window is read.
        groups: how many parts words and folds fall into.
        steps: positions from one tap to the next, in rows and in columns.
        weighted: whether each word is multiplied by one of a memory.
        spare: rows that the memory has more than it must, for input that never waits.
    """

    rows: tuple[Reach, ...]
    columns: tuple[Reach, ...]
    height: int
    width: int
    kernel: tuple[int, int]
    words: int
    folds: int
    groups: int = 1
    steps: tuple[int, int] = (1, 1)
    weighted: bool = True
    spare: int = 0

    @property
    def part_words(self) -> int:
        """Words of a pixel that a fold reads."""
        return self.words // self.groups

    @property
    def row_words(self) -> int:
        """Words of a row of the map."""
        return self.width * self.words

    @property
    def window_words(self) -> int:
        """Words of a window without border: the beats of a layer's sum."""
        return self.kernel[0] * self.kernel[1] * self.part_words

    @property
    def starts(self) -> tuple[int, ...]:
        """The first row of the map that is still there when each row of outputs starts."""
        found: list[int] = []
        for reach in reversed(self.rows):
            found.append(min(reach.position, *found[-1:]) if found else reach.position)
        return tuple(reversed(found))

    @property
    def skipped(self) -> tuple[int, ...]:
        """How many rows behind that each row of outputs begins to read."""
        return tuple(reach.position - start for reach, start in zip(self.rows, self.starts, strict=True))

    @property
    def released(self) -> tuple[int, ...]:
        """How many rows of the map each row of outputs gives back."""
        starts = self.starts
        return tuple(after - start for start, after in zip(starts, (*starts[1:], self.height), strict=True))

    @property
    def needed(self) -> tuple[int, ...]:
        """How many rows, from its first on, must be there before each row of outputs starts."""
        spans = ((reach.taps - 1) * self.steps[0] + 1 for reach in self.rows)
        read = (skipped + span for skipped, span in zip(self.skipped, spans, strict=True))
        return tuple(max(rows, gone) for rows, gone in zip(read, self.released, strict=True))

    @cached_property
    def ring(self) -> int:
        """Rows in the memory."""
        ahead = (*self.needed[1:], self.needed[0])
        both = (gone + more for gone, more in zip(self.released, ahead, strict=True))
        return max(*both, *self.needed) + self.spare

    @property
    def stored(self) -> Address:
        """Where a word of the ring is."""
        return Address({"word": self.row_words, "row": self.ring})

    @property
    def place(self) -> Address:
        """Where in the memories of a layer's constants a sum belongs: its fold, its border classes."""
        rows, columns = (max(at.category for at in axis) + 1 for axis in (self.rows, self.columns))
        return Address({"fold": self.folds, "column": columns, "row": rows})

    @property
    def beats(self) -> int:
        """Clocks per picture in which something is read."""
        taps = sum(row.taps for row in self.rows) * sum(column.taps for column in self.columns)
        return taps * self.folds * self.part_words

    @property
    def is_direct(self) -> bool:
        """Whether every word is read once, as it comes: then no row need be kept."""
        whole = len(self.rows) == self.height and len(self.columns) == self.width
        return self.weighted and whole and self.kernel == (1, 1) and self.words == self.folds == 1

    @property
    def cycles(self) -> int:
        """Clocks per picture: a row of outputs takes one to start."""
        return self.beats if self.is_direct else self.beats + len(self.rows)

    def order(self) -> Iterator[Beat]:
        """Yield every beat of a picture; rows count from the picture's first."""
        for row in self.rows:
            for column in self.columns:
                for fold in range(self.folds):
                    yield from self._sum(row, column, fold)

    def _sum(self, row: Reach, column: Reach, fold: int) -> Iterator[Beat]:
        part, run = self.part_words, column.taps * self.part_words
        first = column.position * self.words + fold * self.groups // self.folds * part
        for tap in range(row.taps):
            for at in range(run):
                weight = ((row.tap + tap) * self.kernel[1] + column.tap) * part + at
                yield Beat(
                    row=row.position + tap * self.steps[0],
                    word=first + at // part * self.steps[1] * self.words + at % part,
                    weight=fold * self.window_words + weight,
                    first=tap == at == 0,
                    last=(tap, at) == (row.taps - 1, run - 1),
                    fold=fold,
                    row_category=row.category,
                    column_category=column.category,
                )


def schedule(
    window: Window,
    words: int,
    folds: int,
    where: str,
    *,
    groups: int = 1,
    weighted: bool = True,
    spare: int = 0,
) -> Schedule:
    """Return the schedule of a window over a map.

    Args:
        window: rows, then columns.
        words: of a pixel.
        folds: how often a window is read.
        where: the node, for messages.
        groups: how many parts words and folds fall into.
        weighted: whether each word is multiplied by one of a memory.
        spare: rows more in its memory.

    Raises:
        PlanError: a window that sees padding alone.
    """
    rows, columns = window
    return Schedule(
        _reaches(rows, where),
        _reaches(columns, where),
        rows.extent,
        columns.extent,
        (rows.kernel, columns.kernel),
        words,
        folds,
        groups,
        (rows.dilation, columns.dilation),
        weighted,
        spare,
    )


WINDOWS = "windows none of which sees padding alone"
WINDOW_REMEDY = "Give the window less padding than it has taps."


def is_read(window: Window) -> bool:
    """Return whether there is an order in which a window is read: whether it is one of `WINDOWS`."""
    return all(axis.outputs > 0 and bool(axis.valid().any(axis=1).all()) for axis in window)


def _reaches(axis: Axis, where: str) -> tuple[Reach, ...]:
    if not is_read((axis, axis)):
        what = "the array engine does not read such a window"
        raise PlanError(what, where=where, expected=WINDOWS, found=str(axis), remedy=WINDOW_REMEDY)
    categories, _ = axis.classes()
    found = []
    for valid, positions, category in zip(axis.valid(), axis.positions(), categories, strict=True):
        tap = int(valid.argmax())
        found.append(Reach(int(positions[tap]), tap, int(valid.sum()), int(category)))
    return tuple(found)
