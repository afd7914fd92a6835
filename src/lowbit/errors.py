"""The error tree. Every error says where, what was expected, what was found and what to do.

    LowbitError
    ├── FileError               a file from outside, or one we were asked to write
    │   ├── ModelFormatError    the bytes are not a valid model of that format
    │   ├── UnsafeFileError     the file tries to leave its folder or to run something
    │   ├── TooLargeError       a declared or real size is over the limit
    │   └── WriteError          the output cannot be written
    ├── DataError               samples or labels do not fit what was asked
    ├── UnsupportedError        an operator, attribute, rank or data type we do not have
    ├── GraphError              the graph breaks a rule of the IR
    ├── SchemeError             a scheme or an encoding with impossible parameters
    ├── PlanError               a plan that does not fit the network
    ├── NumericError            NaN, infinity, overflow, a channel that cannot be represented
    ├── EngineError             the engine cannot run this program here
    ├── MissingExtra            an optional package is needed and not installed
    ├── AgreementError          what was made agrees with its origin on too few samples
    ├── MismatchError           simulated hardware computes other integers than the reference
    ├── MemoryLimitError        there is not as much memory as this takes
    ├── UsageError              the command line or a call says what cannot be meant
    └── InternalError           a fault of lowbit's own

The text reads ``CODE where: message; expected …; found …. Remedy``.
"""

import errno
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """What a command ends with. The text of each is what ``lowbit --help`` says."""

    text: str

    def __new__(cls, number: int, text: str) -> "ExitCode":
        """Return the number, with its text."""
        member = int.__new__(cls, number)
        member._value_, member.text = number, text
        return member

    DONE = 0, "done"
    INTERNAL = 1, "internal"
    USAGE = 2, "usage"
    FILE = 3, "file"
    DATA = 4, "data"
    NETWORK = 5, "unsupported network"
    PLAN = 6, "plan or scheme"
    NUMBERS = 7, "numbers"
    ENGINE = 8, "engine"
    EXTRA = 9, "missing extra"
    AGREEMENT = 10, "too little agreement (--strict)"
    MISMATCH = 11, "a back end differs"
    MEMORY = 12, "memory"
    INTERRUPTED = 130, "interrupted"
    CLOSED_PIPE = 141, "output closed by its reader"


class LowbitError(Exception):
    """Base of every error raised on purpose.

    Args:
        message: what went wrong, one clause.
        where: the file, node or value, as the user knows it.
        expected: what would have been right.
        found: what was there.
        remedy: what to do next.

    Attributes:
        blockers: where it says several things at once, each by itself (`lowbit.blockers.Blocker`).
    """

    code: ClassVar[str] = "LOWBIT"
    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL
    blockers: Sequence[Any] = ()

    def __init__(
        self, message: str, *, where: str = "", expected: str = "", found: str = "", remedy: str = ""
    ) -> None:
        self.message, self.where = message, where
        self.expected, self.found, self.remedy = expected, found, remedy
        super().__init__(message)

    def __str__(self) -> str:
        head = f"{self.code} {self.where}:" if self.where else f"{self.code}:"
        return f"{head} {self.facts}." + (f" {self.remedy}" if self.remedy else "")

    @property
    def facts(self) -> str:
        """What went wrong, what was expected and what was found, in one clause."""
        facts = [self.message]
        facts += [f"expected {self.expected}"] if self.expected else []
        facts += [f"found {self.found}"] if self.found else []
        return "; ".join(facts)

    def to_dict(self) -> dict[str, str]:
        """Return the error as JSON-ready strings, for ``--json``."""
        fields = ("code", "message", "where", "expected", "found", "remedy")
        return {name: str(getattr(self, name)) for name in fields}


class FileError(LowbitError):
    """A file cannot be used."""

    code = "FILE"
    exit_code = ExitCode.FILE


class ModelFormatError(FileError):
    """The bytes are not a valid model of that format."""

    code = "BAD-FILE"


class UnsafeFileError(FileError):
    """The file tries to leave its folder or to run something."""

    code = "UNSAFE-FILE"


class TooLargeError(FileError):
    """A declared or real size is over the limit."""

    code = "TOO-LARGE"


class WriteError(FileError):
    """The output cannot be written; nothing was left behind."""

    code = "WRITE"


class DataError(LowbitError):
    """Samples or labels do not fit what was asked."""

    code = "DATA"
    exit_code = ExitCode.DATA


class UnsupportedError(LowbitError):
    """An operator, attribute, rank or data type that lowbit does not have."""

    code = "UNSUPPORTED"
    exit_code = ExitCode.NETWORK


class GraphError(LowbitError):
    """The graph breaks a rule of the IR."""

    code = "GRAPH"
    exit_code = ExitCode.NETWORK


class SchemeError(LowbitError):
    """A scheme or an encoding with impossible parameters."""

    code = "SCHEME"
    exit_code = ExitCode.PLAN


class PlanError(LowbitError):
    """A plan that does not fit the network."""

    code = "PLAN"
    exit_code = ExitCode.PLAN


class NumericError(LowbitError):
    """NaN, infinity, overflow, or a channel that cannot be represented."""

    code = "NUMERIC"
    exit_code = ExitCode.NUMBERS


class EngineError(LowbitError):
    """The engine cannot run this program here."""

    code = "ENGINE"
    exit_code = ExitCode.ENGINE


class MissingExtra(LowbitError):  # noqa: N818 - what is missing is an extra
    """An optional package is needed and not installed.

    Args:
        package: the package that could not be imported.
        extra: the extra of ``lowbit`` that brings it; "" where none does.
    """

    code = "MISSING-EXTRA"
    exit_code = ExitCode.EXTRA

    def __init__(self, package: str, extra: str) -> None:
        wanted = f"'lowbit[{extra}]'" if extra else package
        super().__init__(
            f"this needs the package {package}, which is not installed",
            remedy=f"Install it with: pip install {wanted}",
        )
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type["MissingExtra"], tuple[str, str]]:
        return MissingExtra, (self.package, self.extra)


class AgreementError(LowbitError):
    """What was made agrees with the network that it was made of on too few samples."""

    code = "AGREEMENT"
    exit_code = ExitCode.AGREEMENT


class MismatchError(LowbitError):
    """A back end, such as simulated hardware, computes other integers than the reference evaluator."""

    code = "MISMATCH"
    exit_code = ExitCode.MISMATCH


class MemoryLimitError(LowbitError):
    """There is not as much memory as this takes, on the machine or under the limit that was set."""

    code = "MEMORY"
    exit_code = ExitCode.MEMORY


class UsageError(LowbitError):
    """The command line, or the arguments of a call, say what cannot be meant."""

    code = "USAGE"
    exit_code = ExitCode.USAGE


class InternalError(LowbitError):
    """A fault of lowbit's own: an exception that nobody expected."""

    code = "INTERNAL"
    exit_code = ExitCode.INTERNAL


def translated(error: BaseException, where: str = "") -> LowbitError:
    """Return what a foreign exception means as an error of ours; one of ours is returned as it is.

    This is for boundaries, where an exception of Python, the system or a library would leave lowbit.

    Args:
        error: what was caught.
        where: the file or node that was at work, where the exception does not know it.
    """
    if isinstance(error, LowbitError):
        return error
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return MemoryLimitError(
            "there is not enough memory",
            where=where,
            found=str(error),
            remedy="Take fewer samples at a time, or a smaller network.",
        )
    if isinstance(error, OSError):
        return _of_system(error, where)
    if isinstance(error, UnicodeError):
        remedy = "Write the file again as UTF-8, or rename it."
        return FileError("these bytes are no text", where=where, found=str(error), remedy=remedy)
    if isinstance(error, RecursionError):
        return UnsupportedError("this is nested too deeply", where=where, remedy="Flatten it.")
    return InternalError(
        "a fault of lowbit's own",
        where=where,
        found=f"{type(error).__name__}: {error}",
        remedy="LOWBIT_DEBUG=1 shows where; please report it.",
    )


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def _of_system(error: OSError, where: str) -> FileError:
    """Return a system error as one of ours."""
    file = where if error.filename is None else str(error.filename)
    found = error.strerror or str(error) or type(error).__name__
    if error.errno in _NO_ROOM:
        remedy = "Make room, or choose another path."
        return WriteError("this cannot be written", where=file, found=found, remedy=remedy)
    remedy = "Check the path and its permissions."
    return FileError("this cannot be used", where=file, found=found, remedy=remedy)
