"""How a program is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from lowbit.budget import RAISE, allowed
from lowbit.errors import EngineError, TooLargeError


def check_threads(threads: int) -> None:
    """Refuse what is no number of threads.

    Raises:
        EngineError: it is not.
    """
    if not isinstance(threads, int | np.integer) or threads < 1:
        raise EngineError(
            "that many threads cannot be used", where="threads", expected="1 or more", found=repr(threads)
        )


@dataclass(frozen=True)
class Options:
    """How a program is loaded; see `Program`."""

    threads: int
    kernels: str
    path: str
    memory: str | int | None
    pin_workers: bool

    def __post_init__(self) -> None:
        check_threads(self.threads)

    @property
    def workers(self) -> tuple[int, bool]:
        """How many threads, and whether they are kept off the caller's processor."""
        return self.threads, self.pin_workers

    @contextmanager
    def applied(self, where: str) -> Iterator[None]:
        """Keep to the memory that it may take."""
        with allowed(self.memory):
            try:
                yield
            except TooLargeError as error:
                if error.where == where:
                    raise
                remedy = f"{RAISE}8G or memory='8G'; or use fewer threads."
                facts = {"where": where, "expected": error.expected, "found": error.found, "remedy": remedy}
                raise TooLargeError(error.message, **facts) from None
            except MemoryError as error:
                what, remedy = "the machine lacks the memory for the program", "Use a smaller network."
                raise TooLargeError(what, where=where, remedy=remedy) from error
