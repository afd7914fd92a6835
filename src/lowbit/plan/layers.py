"""Which layers a pattern of a plan means, and in which order what is said of a layer counts."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from lowbit.errors import PlanError
from lowbit.plan.words import EARLIER

ENDS = ("first", "last")
_Settings = TypeVar("_Settings")


def matching(pattern: str, names: Sequence[str]) -> tuple[int, list[str]]:
    """Return how near a pattern is to a layer, and the layers that it fits.

    A name is nearer (2) than the `first` or `last` layer (1), these than a pattern (0). A name up to a slash
    is a pattern: it means all layers below it, as the matrices of a recurrent layer.

    Args:
        pattern: a name, an end, a pattern as of files, or the beginning of names up to a slash.
        names: of all layers, in order.

    Raises:
        PlanError: it fits none; near names are listed.
    """
    ends = dict(zip(ENDS, (list(names[:1]), list(names[-1:])), strict=True))
    fitting = [pattern] if pattern in names else ends.get(pattern) or _fitting(pattern, names)
    if not fitting:
        near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4) or sorted(names)[:5]
        raise PlanError(
            "the plan names a layer that the network does not have",
            where=f"layers.{pattern}",
            expected=" or ".join([*near, *ENDS]),
            found=repr(pattern),
            remedy="Layers are listed by: lowbit inspect MODEL",
        )
    return (2 if pattern in names else int(pattern in ends)), fitting


def _fitting(pattern: str, names: Sequence[str]) -> list[str]:
    found = [name for name in names if fnmatchcase(name, pattern)]
    return found or [name for name in names if name.startswith(f"{pattern}/")]


def by_rank(entries: Sequence[tuple[int, _Settings]]) -> list[_Settings]:
    """Return what is said of a layer, the nearest last: plans in their order, then tables by rank."""
    order = sorted(entries, key=lambda entry: entry[0] if isinstance(entry[1], Mapping) else -1)
    return [settings for _, settings in order]


def require_settings(tables: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse patterns of layers beside settings of a network.

    Raises:
        PlanError: names what is neither.
    """
    if others := [name for name in tables if name not in (*known, *EARLIER)]:
        raise PlanError(
            "a plan is a table of settings, or a table of tables by pattern of layers",
            where="plan",
            expected=f"{others[0]} = {{ weights = …, activations = … }}",
            found=f"{others[0]} = {tables[others[0]]!r}",
        )


def is_by_pattern(tables: Mapping[str, Any]) -> bool:
    """Return whether a table has a plan for each of its patterns, and no settings of a network."""
    layers = tables.get("layers")
    return all(isinstance(table, Mapping) or is_dataclass(table) for table in tables.values()) and not (
        isinstance(layers, Mapping) and all(isinstance(table, Mapping) for table in layers.values())
    )
