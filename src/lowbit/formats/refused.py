"""What a reader refuses of a file: collected while it goes on, so that everything is said at once."""

from collections.abc import Callable
from dataclasses import replace

from lowbit.blockers import Blocker, blocker_of, grouped, listed, remedies
from lowbit.errors import GraphError, LowbitError, UnsupportedError

_REMEDY = "Export the network without it, or report which network needs it."

_UNFIT = "Its parts do not fit together: export the network again, or report it."


class Refused:
    """Collects refusals of one file.

    A file that is damaged is left at once; what is collected are valid parts that lowbit does not have.
    """

    def __init__(self) -> None:
        self._errors: list[LowbitError] = []
        self._found: list[Blocker] = []

    def add(self, error: LowbitError, node: str, operator: str) -> None:
        """Note what is refused of a node."""
        self._errors.append(error)
        found = blocker_of(error, node, operator)
        usual = _UNFIT if isinstance(error, GraphError) else _REMEDY
        self._found.append(replace(found, remedy=found.remedy or usual))

    def tried(self, read: Callable[[], object], node: str, operator: str) -> bool:
        """Read something, and return whether it was not refused.

        Args:
            read: reads it.
            node: the name of what is read.
            operator: in the file's own words.
        """
        try:
            read()
        except (UnsupportedError, GraphError) as error:
            self.add(error, node, operator)
            return False
        return True

    def raise_all(self) -> None:
        """Raise what was refused, if anything was: one error, with all parts as its ``blockers``."""
        if not self._errors:
            return
        first, blockers = self._errors[0], grouped(self._found)
        if len(self._errors) > 1:
            first = _joined(first, blockers)
        first.blockers = blockers
        raise first


def _joined(first: LowbitError, blockers: list[Blocker]) -> LowbitError:
    """Return one error of several parts; of one reason, it has that and how often it is for each operator."""
    if len({each.what for each in blockers}) == 1:
        message, expected = first.message, first.expected
        found = ", ".join(
            f"{each.operator} ({each.count})" for each in sorted(blockers, key=lambda b: b.operator)
        )
    else:
        parts = sum(each.count for each in blockers)
        message, expected, found = f"{parts} parts of this network are not read", "", listed(blockers)
    return type(first)(message, where=first.where, expected=expected, found=found, remedy=remedies(blockers))
