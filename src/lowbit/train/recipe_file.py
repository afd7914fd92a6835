"""A recipe as TOML: what a run was, written beside its result, so that `lowbit train` repeats it.

    lowbit train runs/net-seed0/recipe.toml --out again

Paths of a module's file and of data are relative to the recipe. What is as it would be unsaid is left out.
"""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from lowbit.data import NAMES
from lowbit.plan.toml import as_toml
from lowbit.train.own_network import OwnNetwork, is_own
from lowbit.train.recipe import Recipe, relative
from lowbit.untrusted import write_atomic

RECIPE = "recipe.toml"


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
