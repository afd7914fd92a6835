"""What `lowbit tune` tries: settings of a recipe by name, each with choices or a range.

    [search]
    "optimizer.rate" = { low = 1e-4, high = 1e-2, log = true }
    "plan.weights" = ["lq:1", "lq:2"]
    "batch" = { low = 16, high = 64 }

A range of whole numbers gives whole ones. On the command line: ``--search optimizer.rate=1e-4..1e-2,log``,
``--search plan.weights=lq:1,lq:2``.
"""

import ast
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from lowbit.errors import LowbitError, PlanError
from lowbit.train.blocked import Blocked
from lowbit.train.recipe import Recipe

_FREE = ("arguments", "plan")
"""Tables whose names are not known before a module is made."""

_NOT_TRIED = ("search", "seed", "name", "validation", "split_seed", "judge", "keep", "data", "network")
"""What decides who judges; trials that differ in it could not be compared."""


@dataclass(frozen=True)
class Choices:
    """Some values.

    Attributes:
        values: numbers, texts or truth values.
    """

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """What is checked before anything is tried."""
        return self.values


@dataclass(frozen=True)
class Range:
    """All numbers from one to another, both included.

    Attributes:
        low, high: two whole numbers give whole ones.
        log: whether orders of magnitude are as likely as each other.
    """

    low: int | float
    high: int | float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        """What is checked before anything is tried."""
        return self.low, self.high


Space = dict[str, Choices | Range]


def space_of(recipe: Recipe) -> Space:
    """Return what a recipe's table `search` says, every end of it tried in the recipe.

    Raises:
        PlanError: nothing is said, a name or a range is impossible, or an end makes no recipe; all at once.
    """
    if not recipe.search:
        raise PlanError(
            "nothing is said of what to try",
            where="search",
            expected="a table search in the recipe, or --search optimizer.rate=1e-4..1e-2,log",
            found="none",
        )
    space: Space = {}
    blocked = Blocked()
    for name, said in recipe.search.items():
        with blocked.trying():
            space[name] = _part(name, said)
            for value in space[name].ends:
                with_settings(recipe, {name: value})
    blocked.refuse("these settings cannot be tried")
    return space


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other settings, by names such as ``optimizer.rate``.

    Raises:
        PlanError: a name is unknown, or a value impossible.
    """
    table = recipe.to_dict()
    for name, value in settings.items():
        first, *below = name.split(".")
        _check_name(name, table)
        place, last = table, first
        for word in below:
            inner = place.get(last)
            place[last] = dict(inner) if isinstance(inner, Mapping) else {}
            place, last = place[last], word
        place[last] = value
    try:
        return Recipe.of(table, "search")
    except LowbitError as error:
        error.where = f"search, {', '.join(f'{name} = {value!r}' for name, value in settings.items())}"
        raise


def said_of(text: str) -> tuple[str, Any]:
    """Return name and value of ``optimizer.rate=1e-4..1e-2,log`` or ``plan.weights=lq:1,lq:2``.

    Raises:
        PlanError: it is neither.
    """
    name, mark, value = text.partition("=")
    words = [word.strip() for word in value.split(",")]
    if not mark or not all(words):
        expected = "NAME=LOW..HIGH, NAME=LOW..HIGH,log or NAME=VALUE,VALUE"
        raise PlanError("this says no search", where="--search", expected=expected, found=repr(text))
    low, dots, high = words[0].partition("..")
    if dots:
        return name, {"low": _literal(low), "high": _literal(high), **dict.fromkeys(words[1:], True)}
    return name, [_literal(word) for word in words]


def _literal(text: str) -> Any:
    """Return the number or truth value of a text, or the text."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return found if isinstance(found, bool | int | float) else text


def _check_name(name: str, table: Mapping[str, Any]) -> None:
    """Refuse a setting that there is not; near names are offered."""
    first, _, rest = name.partition(".")
    flat = [
        f"{key}.{each}" if each else key
        for key, value in table.items()
        if key not in _NOT_TRIED
        for each in (value if isinstance(value, Mapping) and key not in _FREE else [""])
    ]
    if name in flat or (first in _FREE and rest):
        return
    near = difflib.get_close_matches(name, flat, n=3, cutoff=0.4) or ["optimizer.rate", "plan.weights"]
    raise PlanError(
        "there is no such setting to try", where="search", expected=" or ".join(near), found=repr(name)
    )


def _part(name: str, said: Any) -> Choices | Range:
    where = f"search, {name}"
    if isinstance(said, list | tuple):
        plain = all(isinstance(value, bool | int | float | str) for value in said)
        if len(dict.fromkeys(map(repr, said))) < 2 or not plain:
            raise PlanError("choices are two or more", where=where, expected="values", found=repr(said))
        return Choices(tuple(said))
    known = isinstance(said, Mapping) and {"low", "high"} <= set(said) <= {"low", "high", "log"}
    low, high, log = (said["low"], said["high"], said.get("log", False)) if known else (0, 0, False)
    numbers = all(
        isinstance(end, int | float) and not isinstance(end, bool) and isfinite(end) for end in (low, high)
    )
    if not (known and numbers and low < high and isinstance(log, bool) and (low > 0 or not log)):
        raise PlanError(
            "a range has two ends",
            where=where,
            expected="{ low = …, high = … }, low below high; above 0 with log = true",
            found=repr(said),
        )
    return Range(low, high, log)
