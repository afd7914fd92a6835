"""Which samples judge a run: the test samples, training samples kept out, or, by name, those learned.

validation = N      N training samples, a share of every class (below 1, their share), drawn with a seed that
stays (split_seed): by them settings are chosen, so every run keeps out the same
judge = "both"      samples for validation, kept out or the data's own, judge every epoch; the test samples
judge what is kept, once, at the end
judge = "training"  the samples that are learned; asked for by name, since the figure says nothing of others
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.data import Dataset
from lowbit.errors import DataError, PlanError
from lowbit.train.recipe import Recipe
from lowbit.train.samples import Splits

Indices = npt.NDArray[np.intp]


def judged_splits(recipe: Recipe, data: Splits) -> tuple[Splits, str]:
    """Return the samples to learn, those that judge, and what a result says of the latter.

    Those for validation judge every epoch, where there are any, and test samples the network in the end;
    where there is one of them alone, it judges both.

    Raises:
        PlanError: as many samples are kept out as there are, a class would have none left, or there are none
            to be judged by.
        DataError: samples kept out by class have no labels, or the samples that judge are learned.
    """
    _check_keep(recipe, data)
    if recipe.judge == "training":
        return Splits(data.train, data.train), "the training samples"
    chosen, says = _validated(recipe, data)
    if recipe.judge == "test" and chosen.validation is not None:
        return replace(chosen, test=None), says
    if recipe.judge == "both" and (chosen.validation is None or chosen.test is None):
        raise PlanError(
            "the data has not both",
            where="judge",
            expected="test samples, and samples for validation",
            found="no test samples" if chosen.test is None else "nothing for validation",
            remedy="Keep some out (--validation 0.2), or say: --judge test.",
        )
    if chosen.test is None:
        raise PlanError(
            "there are no test samples", where=data.name, remedy="Keep some out: --validation 0.2."
        )
    learned = _learned(chosen.train, chosen.test)
    return chosen, "the test samples" + (f", {learned} of them among the training samples" if learned else "")


def _check_keep(recipe: Recipe, data: Splits) -> None:
    """Refuse to choose an epoch by what judges it in the end, or by what is learned."""
    if recipe.keep == "best" and (
        recipe.judge == "training" or _validated(recipe, data)[0].validation is None
    ):
        raise PlanError(
            "the best epoch is chosen by samples for validation alone",
            where="keep",
            expected="some kept out (--validation 0.2), or data that has them (val)",
            found=f"judge = {recipe.judge!r}, validation = {recipe.validation}",
            remedy="Else keep the last epoch: --keep-epoch last (keep = 'last').",
        )


def _validated(recipe: Recipe, data: Splits) -> tuple[Splits, str]:
    """Return the splits with samples for validation, where there are to be any, and what is said of them."""
    if recipe.validation:
        size = recipe.validation
        count = size if isinstance(size, int) else max(1, round(size * len(data.train)))
        kept = held_out(data.train, count, recipe.split_seed)
        says = f"{count} training samples kept out, by class, seed {recipe.split_seed}"
        return Splits(kept.train, data.test or data.validation, kept.test), says
    if data.validation is None or (recipe.judge == "test" and data.test is not None):
        return replace(data, validation=None), ""
    _learned(data.train, data.validation)
    return data, "the samples for validation"


def held_out(dataset: Dataset, count: int, seed: int = 0) -> Splits:
    """Return samples less `count` of them, and those, a share of every class in the order of the data set.

    Args:
        dataset: with labels.
        count: how many.
        seed: draws them.

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
    random = np.random.default_rng(seed)
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


def _learned(train: Dataset, judging: Dataset) -> int:
    """Return how many samples that judge are, number by number, training samples; refuse that all are."""
    if train.samples[0].size != judging.samples[0].size:
        return 0
    known = {sample.tobytes() for sample in judging.samples}
    known &= {sample.tobytes() for sample in train.samples}
    seen = sum(sample.tobytes() in known for sample in judging.samples)
    if seen == len(judging):
        raise DataError(
            "the test samples are training samples",
            where=judging.name,
            expected="samples that are not learned",
            found=f"all {seen} among the {len(train)} training samples",
            remedy="Keep some out (--validation N), or say so: --judge training.",
        )
    return seen


def _part(dataset: Dataset, chosen: Indices) -> Dataset:
    labels = None if dataset.labels is None else dataset.labels[chosen]
    return replace(dataset, samples=dataset.samples[chosen], labels=labels)
