"""A recipe as TOML: what a run was, written beside its result, so that `lowbit train` repeats it.

    lowbit train runs/net-seed0/recipe.toml --out again

Paths of a module's file and of data are relative to the recipe. What is as it would be unsaid is left out.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from lowbit.data import NAMES
from lowbit.train.own_network import OwnNetwork, is_own
from lowbit.train.recipe import Recipe, relative
from lowbit.untrusted import write_atomic

RECIPE = "recipe.toml"

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe into a folder that there is.

    Raises:
        WriteError: the file cannot be written.
    """
    table = dict(_said(recipe))
    if is_own(recipe.network):
        own = OwnNetwork.of(recipe.network, recipe.arguments)
        table["network"] = f"{relative(own.path, path.parent)}:{own.name}"
        table["arguments"] = dict(own.arguments)
    if recipe.data not in NAMES and Path(recipe.data).exists():
        table["data"] = relative(recipe.data, path.parent)
    write_atomic(path, as_toml(table).encode())


def as_toml(table: Mapping[str, Any]) -> str:
    """Return a table as TOML: values of its own first, then its tables; empty ones are left out."""
    values = [
        f"{_key(name)} = {_value(value)}" for name, value in table.items() if not isinstance(value, Mapping)
    ]
    lines = values
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            lines += [
                "",
                f"[{_key(name)}]",
                *(f"{_key(key)} = {_value(each)}" for key, each in value.items()),
            ]
    return "\n".join(lines) + "\n"


def _said(table: Any) -> list[tuple[str, Any]]:
    """Return the settings that are not what they would be unsaid."""
    found = []
    for each in fields(table):
        value = getattr(table, each.name)
        if is_dataclass(value):
            value = dict(_said(value))
        unsaid = each.default_factory() if callable(each.default_factory) else each.default
        if value not in ({}, unsaid) or (each.name == "seed" and isinstance(table, Recipe)):
            found.append((each.name, value))
    return found


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
