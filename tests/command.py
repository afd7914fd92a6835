"""What the fixture `command` is."""

from collections.abc import Callable

Command = Callable[..., tuple[int, str, str]]
"""Words of a command line to exit code, standard output and standard error."""
