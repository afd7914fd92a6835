"""Where the command line ends: every exception becomes a message and an exit code, never a traceback."""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import typer
from rich.text import Text

from lowbit.cli.envelope import print_json
from lowbit.cli.terminal import in_lines, printing, progress
from lowbit.errors import ExitCode, UsageError, WriteError, translated
from lowbit.visible import visible_lines

_WrongUsage = typer.BadParameter.__mro__[1]
"""Typer's class of all usage errors; newer ones carry a click of their own, and export only this child."""


def guarded(application: typer.Typer) -> int:
    """Run an application on the words of the command line and return its exit code.

    A reader that has gone (``lowbit inspect x | head``) is no error to talk about. With ``LOWBIT_DEBUG=1``
    the traceback comes before the message.
    """
    _prepare_streams()
    try:
        with _shown_messages():
            code = application(standalone_mode=False)
        _flush()
    except SystemExit as done:
        return _left(done)
    except BaseException as error:  # the boundary: nothing may pass
        code = _report(error)
        _drop_output()
    if code == ExitCode.INTERRUPTED:
        _show("interrupted")
    return code if isinstance(code, int) else ExitCode.DONE


@contextmanager
def _shown_messages() -> Iterator[None]:
    """Let warnings, and what is logged where nobody listens, go to the terminal as all else does."""
    before, logging.lastResort = logging.lastResort, _Log()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, category, *_: _show(
                f"{category.__name__}: {message}", "yellow"
            )
            yield
    finally:
        logging.lastResort = before


class _Log(logging.StreamHandler[TextIO]):
    """Shows warnings of the log, and worse."""

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        _show(self.format(record), "yellow")


def _report(error: BaseException) -> int:
    """Say what happened and return the exit code."""
    if isinstance(error, BrokenPipeError):
        return ExitCode.CLOSED_PIPE
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return ExitCode.INTERRUPTED
    found = _usage(error) if isinstance(error, _WrongUsage) else translated(error)
    if os.environ.get("LOWBIT_DEBUG"):
        _show("".join(traceback.format_exception(error)).rstrip())
    if not ("--json" in sys.argv and _printed({"error": found.to_dict()})):
        _show(str(found))
    return found.exit_code


def _printed(result: dict[str, Any]) -> bool:
    """Print for scripts and return whether that went."""
    try:
        print_json(result)
        _flush()
    except (WriteError, BrokenPipeError):
        return False
    return True


def _show(text: str, style: str = "red") -> None:
    """Print to standard error, further lines indented, so that none can pass for another message."""
    lines = in_lines(visible_lines(text), progress.width - 2).replace("\n", "\n  ")
    with suppress(WriteError, BrokenPipeError):  # there is nowhere left to say it
        progress.print(Text(lines, style=style))


def _usage(error: BaseException) -> UsageError:
    """Return a usage error of typer as ours."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "lowbit"
    text = getattr(error, "format_message", lambda: str(error))()
    message, _, guess = text.rstrip(".").partition(". ")
    return UsageError(message, where=command, remedy=f"{guess} See: {command} --help".strip())


def _left(done: SystemExit) -> int:
    """Return the code of who left by himself: help, where its reader has gone, says 1."""
    if isinstance(done.__context__, BrokenPipeError):
        return ExitCode.CLOSED_PIPE
    return done.code if isinstance(done.code, int) else ExitCode.DONE


def _prepare_streams() -> None:
    """Make standard streams that can be written to without a thought.

    Closed ones get a place, so that no file that is opened later takes their number; letters that the
    encoding of a stream does not have are escaped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # what is printed to a closed output is an error, to a closed error output is gone
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    with printing():
        sys.stdout.flush()


def _drop_output() -> None:
    """Let go of what standard output did not take, or Python tries once more when it leaves."""
    try:
        _flush()
    except (WriteError, BrokenPipeError):
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
