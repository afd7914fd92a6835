"""Who judges: a share of every class, never what was learned unless it is asked for by name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lowbit.data import load
from lowbit.errors import DataError, PlanError

pytest.importorskip("lightning_fabric")

from lowbit.train import Recipe, Splits, train
from lowbit.train.judging import held_out, judged_splits, shares

RECIPE = {"network": "mlp", "data": "made", "epochs": 1, "batch": 4, "name": "judged"}


def sorted_by_class(seed: int) -> Splits:
    """Return samples class by class, as a folder of pictures has them, of classes of very different size."""
    random = np.random.default_rng(seed)
    sizes = np.maximum(1, random.geometric(0.03, random.integers(2, 12)))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    samples = random.random((len(labels) + 9, 784), np.float32)
    return Splits(load((samples[:-9], labels)), load((samples[-9:], labels[:1].repeat(9))))


@pytest.mark.parametrize("seed", range(25))
def test_every_class_is_learned_and_judged_by_its_share(seed: int) -> None:
    data = sorted_by_class(seed).train
    count = int(np.random.default_rng(seed).integers(1, len(data) - len(np.unique(data.labels)) + 1))
    found = held_out(data, count)
    assert len(found.test) == count and len(found.train) + count == len(data)
    both = np.concatenate([found.train.samples, found.test.samples])
    assert len(np.unique(both, axis=0)) == len(data)
    sizes, left = np.bincount(data.labels), np.bincount(found.train.labels)
    assert left.min() >= 1
    exact = sizes * count / len(data)
    loose = exact < sizes - 1  # others must leave one
    assert (sizes - left >= np.floor(exact))[loose].all()
    again = held_out(data, count)
    assert (again.test.samples == found.test.samples).all()


def test_what_is_kept_out_of_a_class_is_drawn() -> None:
    samples = np.arange(200, dtype=np.float32)[:, None].repeat(3, 1)
    kept = held_out(load((samples, np.arange(200) // 100)), 40).test.samples[:, 0]
    assert (np.diff(kept) > 1).any() and kept[0] != 80 and kept[-1] != 199


def test_shares_are_proportional() -> None:
    assert shares(np.array([5000] * 10), 10000).tolist() == [1000] * 10
    assert shares(np.array([7, 2, 1]), 5).tolist() == [4, 1, 0]
    assert shares(np.array([98, 1, 1]), 50).tolist() == [50, 0, 0]


def test_training_samples_do_not_judge_unless_asked_for(tmp_path: Path) -> None:
    data = sorted_by_class(3).train
    shuffled = np.random.default_rng(0).permutation(len(data))[: len(data) // 2]
    part = replace(data, samples=data.samples[shuffled], labels=data.labels[shuffled])
    for test in (data, part):
        with pytest.raises(DataError, match=r"all \d+ among the \d+ training samples.*--judge training"):
            train(Recipe.of(RECIPE, "test"), Splits(data, test), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    asked = Recipe.of({**RECIPE, "judge": "training"}, "test")
    result = train(asked, Splits(data, data), out=tmp_path / "asked")
    assert result.facts["judged_by"] == "the training samples"
    kept = Recipe.of({**RECIPE, "validation": 5}, "test")
    assert train(kept, Splits(data, data), out=tmp_path / "kept").facts["test_samples"] == 5


def test_test_samples_that_are_learned_are_counted() -> None:
    splits = sorted_by_class(5)
    mixed = np.concatenate([splits.test.samples, splits.train.samples[:2]])
    judged = replace(splits.test, samples=mixed, labels=np.zeros(11, np.int64))
    _, says = judged_splits(Recipe.of(RECIPE, "test"), Splits(splits.train, judged))
    assert says == "the test samples, 2 of them among the training samples"


def test_samples_without_labels_cannot_be_kept_out() -> None:
    with pytest.raises(DataError, match="no labels"):
        held_out(load(np.zeros((9, 3), np.float32)), 2)
    with pytest.raises(PlanError, match="at most 1, so that every class has one left"):
        held_out(load((np.zeros((3, 3), np.float32), np.array([0, 1, 1]))), 2)
