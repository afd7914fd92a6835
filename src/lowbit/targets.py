"""What a network can be compiled to: a row for every target, read by ``lowbit compile``.

    TARGETS["program"].write(graph, "net.lbp")

A row's module has ``write(graph, path)``, which says all that is in the way before it writes anything, and
writes whole files or nothing.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

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
    """

    name: str
    suffix: str
    module: str
    about: str

    def write(self, graph: Graph, path: str | os.PathLike[str]) -> None:
        """Write a network for this target, whole or not at all.

        Raises:
            LowbitError: what is in the way, all of it; nothing was written.
        """
        verify(graph)
        import_module(self.module).write(graph, path)


_ROWS = (
    Target("program", ".lbp", "lowbit.program.file", "steps and constants for the engine and the C library"),
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
