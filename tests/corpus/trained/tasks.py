"""The four networks, each with its data and the figure that judges it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbit.data import load
from tests.corpus.trained.scenes import scenes
from tests.corpus.trained.words import words

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Set = tuple[Floats, Integers]
"""Samples and classes, of samples or of pixels."""

VALIDATION = 5000  # training pictures that choose settings and never train
FOLDERS = {"cifar10": "/usr/share/datasets/cifar10", "mnist": "/usr/share/datasets/mnist"}
FASHION = "/usr/share/datasets/fashion-mnist"


@dataclass(frozen=True)
class Sets:
    """What trains, what chooses, and what is scored once."""

    train: Set
    validation: Set
    test: Set


@dataclass(frozen=True)
class Task:
    """A network's job.

    Attributes:
        network: name in `tests.corpus.trained.train.NETWORKS`.
        data: in words, with what is not exact about it.
        sets: makes the data.
        score: name of the figure.
        scored: the figure of scores [n, classes, …] and classes.
    """

    network: str
    data: str
    sets: Callable[[], Sets]
    score: str
    scored: Callable[[Floats, Integers], float]


def _folder(name: str) -> str:
    """Return where a data set lies: below ``LOWBIT_DATA``, or where a system keeps it."""
    below = [
        Path(os.environ.get("LOWBIT_DATA", "."), each) for each in (name, f"{name}-jpeg", f"{name}-mnist")
    ]
    return next((str(path) for path in below if path.exists()), FOLDERS.get(name, FASHION))


def _pictures(name: str) -> Sets:
    train, test = (load(_folder(name), split=split) for split in ("train", "test"))
    pairs = [
        (np.asarray(each.samples, np.float32), np.asarray(each.labels, np.int64)) for each in (train, test)
    ]
    (samples, labels), tested = pairs
    order = np.random.default_rng(0).permutation(len(samples))
    kept, held = order[VALIDATION:], order[:VALIDATION]
    return Sets((samples[kept], labels[kept]), (samples[held], labels[held]), tested)


def _words() -> Sets:
    return Sets(words(24_000, 0), words(3_000, 1), words(6_000, 2))


def _scenes() -> Sets:
    digits, garments = _pictures("mnist"), _pictures("fashion")

    def made(count: int, seed: int, part: str) -> Set:
        things = [getattr(each, part)[0].reshape(-1, 28, 28) for each in (digits, garments)]
        return scenes(count, seed, *things)

    return Sets(made(8_000, 0, "train"), made(500, 1, "validation"), made(1_000, 2, "test"))


def top1(scores: Floats, classes: Integers) -> float:
    """Return the share of samples whose class has the largest score."""
    return float((scores.argmax(1) == classes).mean())


def mean_overlap(scores: Floats, classes: Integers) -> float:
    """Return the mean over classes of intersection by union, of all pixels together."""
    found = scores.argmax(1)
    overlaps = [
        ((found == each) & (classes == each)).sum() / ((found == each) | (classes == each)).sum()
        for each in range(scores.shape[1])
    ]
    return float(np.mean(overlaps))


_CIFAR = "CIFAR-10 (JPEG q75: every picture was compressed again by its source), 45,000 / 5,000 / 10,000"
TASKS = {
    "resnet8": Task("resnet8", _CIFAR, lambda: _pictures("cifar10"), "top1", top1),
    "mobilenet_v1_025": Task("mobilenet_v1_025", _CIFAR, lambda: _pictures("cifar10"), "top1", top1),
    "ds_cnn": Task(
        "ds_cnn",
        "synthetic key words (tests/corpus/trained/words.py; no speech), 24,000 / 3,000 / 6,000",
        _words,
        "top1",
        top1,
    ),
    "unet": Task(
        "unet",
        "digits of MNIST and garments of Fashion-MNIST composed on coloured backgrounds"
        " (tests/corpus/trained/scenes.py), 8,000 / 500 / 1,000",
        _scenes,
        "mean_overlap",
        mean_overlap,
    ),
}
