"""What stands in the way of a run, collected: all of it is said at once, before any work is done."""

from collections.abc import Iterator
from contextlib import contextmanager

from lowbit.errors import LowbitError, MissingExtra


class Blocked:
    """Collects errors of steps that are tried one after another."""

    def __init__(self) -> None:
        self.errors: list[LowbitError] = []

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Keep an error of ours that is raised inside, instead of ending."""
        try:
            yield
        except LowbitError as error:
            self.errors.append(error)

    def refuse(self, message: str) -> None:
        """Raise the error, or one of the first one's kind that says what all of them do.

        Args:
            message: what all of them mean together.
        """
        if not self.errors:
            return
        first = next((error for error in self.errors if isinstance(error, MissingExtra)), self.errors[0])
        if len(self.errors) == 1 or isinstance(first, MissingExtra):
            raise first
        texts = [f"\n({number}) {_text(error)}" for number, error in enumerate(self.errors, 1)]
        raise type(first)(f"{message}, for {len(self.errors)} reasons", found="".join(texts))


def _text(error: LowbitError) -> str:
    where = f"{error.where}: " if error.where else ""
    return f"{where}{error.facts}" + (f". {error.remedy.removesuffix('.')}" if error.remedy else "")
