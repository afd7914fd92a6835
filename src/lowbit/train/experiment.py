"""From what somebody asks for to a recipe and its data: what is not said follows from the data.

    samples for validation      the data's own; else a fifth of the training samples
    judge                       both, where there are test samples, too; else validation
    keep                        the best epoch by validation

A recipe that is read says these things itself, and keeps what it always meant.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.data import Dataset, splits_of
from lowbit.errors import LowbitError, PlanError
from lowbit.plan import Plan
from lowbit.train.blocked import Blocked
from lowbit.train.own_network import OwnNetwork, is_own
from lowbit.train.recipe import Recipe
from lowbit.train.samples import Splits

SHARE = 0.2
"""Of the training samples, kept out for validation where nothing is said."""

EPOCHS, BATCH = 10, 32


def recipe_of(network: str, data: str, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a network and its data, where no recipe is read.

    Args:
        network: of the zoo, or ``mynet.py:Net``.
        data: a name or a path.
        settings: of the recipe, as far as they are said.

    Raises:
        PlanError: a setting is impossible.
    """
    table: dict[str, Any] = {"epochs": EPOCHS, "batch": BATCH, **settings}
    known: tuple[str, ...] = ()
    with suppress(LowbitError):  # who loads the data says it
        known = splits_of(data)
    if not {"validation", "judge"} & set(table) and "validation" not in known:
        table["validation"] = SHARE
    if "judge" not in table:
        table["judge"] = "both" if "test" in known else "test"
    if table["judge"] != "training" and (table.get("validation") or "validation" in known):
        table.setdefault("keep", "best")
    own = OwnNetwork.of(network).name if is_own(network) else network
    name = re.sub(r"[^\w.+=-]+", "-", f"{own}-{Path(data).stem}".lower()).strip("-.")[:100]
    return Recipe.of({"name": name, "network": network, "data": data, **table}, "the command")


def load_data(recipe: Recipe, folder: str | None = None, *, test: bool = True) -> Splits:
    """Return the data of a recipe; where it cannot be read, say what else stands in the way.

    Args:
        recipe: says which.
        folder: of a named data set.
        test: whether the test samples are opened at all.

    Raises:
        LowbitError: everything that is wrong with the data, and with module and plan as far as it shows
            without.
    """
    blocked = Blocked()
    try:
        return Splits.load(recipe.data, folder, recipe.framing, test=test)
    except LowbitError as error:
        blocked.errors.append(error)
    if is_own(recipe.network):
        with blocked.trying():
            module = OwnNetwork.of(recipe.network, recipe.arguments).build()
            names = [name for name, each in module.named_modules() if not [*each.children()]]
            Plan.of(recipe.plan).settled("float").by_layer(names)
    blocked.refuse("training cannot begin")
    raise AssertionError("a blocker is raised")


def measured(recipe: Recipe, data: Splits) -> Recipe:
    """Return the recipe with mean and deviation of the training samples, by channel where there are some.

    Channels are the first of two or three axes of a sample; six digits are kept, as the recipe says them.
    """
    means, deviations = _moments(data.train)
    return replace(recipe, normalize=tuple(float(f"{number:.6g}") for number in (*means, *deviations)))


def _moments(dataset: Dataset) -> tuple[list[float], list[float]]:
    samples = dataset.samples.astype(np.float64)
    grey = dataset.layout == "nchw" and samples.ndim == 3
    axes = tuple(axis for axis in range(samples.ndim) if axis != 1 or samples.ndim < 3 or grey)
    means, deviations = np.atleast_1d(samples.mean(axes)), np.atleast_1d(samples.std(axes))
    if not deviations.all():
        raise PlanError(
            "a channel of the training samples never changes",
            where=dataset.name,
            expected="a deviation above 0",
            found=f"channel {int(np.argmin(deviations))} is {means[np.argmin(deviations)]:g} everywhere",
            remedy="Say mean and deviation yourself: --normalize.",
        )
    return means.tolist(), deviations.tolist()


def default_folder(recipe: Recipe, seeds: int = 0) -> Path:
    """Return where a run is kept when nobody says where; that of several seeds holds one folder for each."""
    return Path("runs") / (recipe.name if seeds else f"{recipe.name}-seed{recipe.seed}")
