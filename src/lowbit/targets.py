"""What a network can be compiled to: a row for every target, read by ``lowbit compile``.

    TARGETS["program"].write(graph, "net.lbp")

A row's module has ``write(graph, path, **options)``, which says all that is in the way before it writes
anything, and writes whole files or nothing.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from lowbit.errors import UsageError
from lowbit.ir import Graph, verify


@dataclass(frozen=True)
class Target:
    """A row of the table.

    Attributes:
        name: as commands call it.
        suffix: of its file.
        module: what writes it.
        about: what it is, one clause.
        options: that its module's ``write`` takes.
    """

    name: str
    suffix: str
    module: str
    about: str
    options: tuple[str, ...] = ()

    def write(
        self,
        graph: Graph,
        path: str | os.PathLike[str],
        say: Callable[[str], None] | None = None,
        **options: Any,
    ) -> dict[str, int]:
        """Write a network for this target, whole or not at all.

        Args:
            graph: the network.
            path: of the file, or of the first of several.
            say: is told what it will take, before anything is written.
            options: of the target; those that are empty or zero say nothing.

        Returns:
            Sizes in bytes by what takes them, as far as the target knows them.

        Raises:
            UsageError: it has no such option.
            LowbitError: what is in the way, all of it; nothing was written.
        """
        given = {name: value for name, value in options.items() if value}
        own = [name for name in self.options if name != "say"]
        unknown = [name for name in given if name not in self.options]
        if unknown:
            having = [row.name for row in _ROWS if unknown[0] in row.options]
            raise UsageError(
                f"the target {self.name} has no option {_flag(unknown[0])}",
                where=os.fspath(path),
                expected=" or ".join(map(_flag, own)) or "no further options",
                found=" ".join(map(_flag, unknown)),
                remedy=f"It is of the target {' and '.join(having)}." if having else "Leave it out.",
            )
        verify(graph)
        if "say" in self.options:
            given["say"] = say
        return import_module(self.module).write(graph, path, **given) or {}


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


_ROWS = (
    Target("program", ".lbp", "lowbit.program.file", "steps and constants for the engine and the C library"),
    Target(
        "c99",
        ".c",
        "lowbit.c99",
        "strict C99 without a library, for microcontrollers",
        ("input", "integer_output", "flash", "ram", "say"),
    ),
)

TARGETS: Mapping[str, Target] = {target.name: target for target in _ROWS}


def target_of(name: str, path: str | os.PathLike[str]) -> Target:
    """Return the target of a name, or, where that is empty, of a path's suffix.

    Raises:
        UsageError: there is none, or the suffix is another one's.
    """
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - also of text
    row = TARGETS.get(name) or next((row for row in _ROWS if not name and row.suffix == suffix), None)
    if row is None or row.suffix != suffix:
        raise UsageError(
            "this is no target",
            where=os.fspath(path),
            expected=", ".join(f"{row.name} ({row.suffix})" for row in _ROWS),
            found=name or suffix or "a file without a suffix",
            remedy="Name the file so: lowbit compile net.circle -o net.lbp.",
        )
    return row
