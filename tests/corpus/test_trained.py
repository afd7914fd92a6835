"""The data of the kept small networks: the same for the same seed, and of every class."""

import numpy as np

from tests.corpus.trained import scenes, words
from tests.corpus.trained.tasks import mean_overlap, top1


def test_words_are_seeded_and_balanced() -> None:
    maps, labels = words.words(60, 7)
    again, same = words.words(60, 7)
    assert maps.shape == (60, 1, words.FRAMES, words.COEFFICIENTS) and np.isfinite(maps).all()
    np.testing.assert_array_equal(maps, again)
    np.testing.assert_array_equal(labels, same)
    assert np.bincount(labels).tolist() == [5] * len(words.CLASSES)
    assert not np.array_equal(maps, words.words(60, 8)[0])


def test_scenes_show_what_their_classes_say() -> None:
    random = np.random.default_rng(0)
    digits, garments = (random.uniform(0.5, 1, (4, 28, 28)).astype(np.float32) for _ in range(2))
    pictures, classes = scenes.scenes(12, 3, digits, garments)
    assert pictures.shape == (12, 3, scenes.SIDE, scenes.SIDE) and 0 <= pictures.min() <= pictures.max() <= 1
    assert set(np.unique(classes)) == {0, 1, 2}
    np.testing.assert_array_equal(classes, scenes.scenes(12, 3, digits, garments)[1])


def test_figures() -> None:
    classes = np.array([0, 1, 1, 2])
    scores = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
    assert top1(scores, classes) == 0.75
    assert mean_overlap(scores, classes) == np.mean([1, 1 / 2, 1 / 2])
