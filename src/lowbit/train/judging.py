"""Which samples judge a run: the test samples, training samples kept out, or, by name, those learned.

validation = N      N training samples, a share of every class, drawn with a seed that never changes: by them
settings are chosen, so every run keeps out the same
judge = "training"  the samples that are learned; asked for by name, since the figure says nothing of others
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.data import Dataset
from lowbit.errors import DataError, PlanError
from lowbit.train.recipe import Recipe
from lowbit.train.samples import Splits

SEED = 0

Indices = npt.NDArray[np.intp]


def judged_splits(recipe: Recipe, data: Splits) -> tuple[Splits, str]:
    """Return the samples to learn and those to be judged by, and what a result says of the latter.

    Raises:
        PlanError: as many samples are kept out as there are, or a class would have none left.
        DataError: samples kept out by class have no labels, or the test samples are training samples.
    """
    if recipe.judge == "training":
        return Splits(data.train, data.train), "the training samples"
    if recipe.validation:
        kept = f"{recipe.validation} training samples kept out, by class, seed {SEED}"
        return held_out(data.train, recipe.validation), kept
    seen = _seen(data)
    if seen == len(data.test):
        raise DataError(
            "the test samples are training samples",
            where=data.test.name,
            expected="samples that are not learned",
            found=f"all {seen} among the {len(data.train)} training samples",
            remedy="Keep some out (--validation N), or say so: --judge training.",
        )
    return data, "the test samples" + (f", {seen} of them among the training samples" if seen else "")


def held_out(dataset: Dataset, count: int) -> Splits:
    """Return samples less `count` of them, and those, a share of every class in the order of the data set.

    Raises:
        PlanError: some class would have no sample left to learn from.
        DataError: there are no labels.
    """
    if dataset.labels is None:
        raise DataError("the samples have no labels", where=dataset.name, remedy="Training needs labels.")
    classes, sizes = np.unique(dataset.labels, return_counts=True)
    if count > len(dataset) - len(classes):
        raise PlanError(
            "too many samples are kept out",
            where="validation",
            expected=f"at most {len(dataset) - len(classes)}, so that every class has one left",
            found=str(count),
        )
    random = np.random.default_rng(SEED)
    chosen = [
        random.permutation(np.flatnonzero(dataset.labels == label))[:share]
        for label, share in zip(classes, shares(sizes, count), strict=True)
    ]
    out = np.zeros(len(dataset), bool)
    out[np.concatenate(chosen)] = True
    return Splits(_part(dataset, np.flatnonzero(~out)), _part(dataset, np.flatnonzero(out)))


def shares(sizes: npt.NDArray[np.intp], count: int) -> Indices:
    """Return how many of each size make `count` in all, in proportion, each less than its size.

    The largest remainders are rounded up, as seats of a parliament are.
    """
    exact = sizes * (count / sizes.sum())
    found = np.minimum(np.floor(exact), sizes - 1).astype(np.intp)
    while (missing := count - found.sum()) > 0:
        open_ = np.flatnonzero(found < sizes - 1)
        first = open_[np.argsort(found[open_] - exact[open_], kind="stable")][:missing]
        found[first] += 1
    return np.asarray(found)


def _seen(data: Splits) -> int:
    """Return how many test samples are, number by number, training samples."""
    if data.train.samples[0].size != data.test.samples[0].size:
        return 0
    known = {sample.tobytes() for sample in data.test.samples}
    known &= {sample.tobytes() for sample in data.train.samples}
    return sum(sample.tobytes() in known for sample in data.test.samples)


def _part(dataset: Dataset, chosen: Indices) -> Dataset:
    labels = None if dataset.labels is None else dataset.labels[chosen]
    return replace(dataset, samples=dataset.samples[chosen], labels=labels)
