"""A data set as tensors on the device: whole, and as bytes where pictures were bytes."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lowbit.data import Dataset, load
from lowbit.errors import DataError


@dataclass(frozen=True, eq=False)
class Splits:
    """Samples to learn from, and samples to be judged by."""

    train: Dataset
    test: Dataset

    @classmethod
    def load(cls, source: str, folder: str | os.PathLike[str] | None = None) -> "Splits":
        """Return both splits of a source: a path, or a name and the folder where it is.

        Errors are those of `lowbit.data.load`.
        """
        return cls(load(source, "train", folder=folder), load(source, "test", folder=folder))

    @property
    def name(self) -> str:
        """What a result calls the data, ``cifar10 (JPEG q75)``."""
        exactness = f" ({self.train.exactness})" if self.train.exactness else ""
        return f"{Path(self.train.name).name}{exactness}"


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled samples.

    Attributes:
        numbers: uint8 or float32; pictures are `[n, c, h, w]`.
        labels: int64 `[n]`.
        normalize: mean and deviation, or nothing.
        shape: of one sample, as the network takes it.
    """

    numbers: Tensor
    labels: Tensor
    normalize: tuple[float, ...]
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def pictures(self, chosen: Tensor | slice) -> Tensor:
        """Return some samples as reals, float32 in [0, 1] where they were bytes."""
        numbers = self.numbers[chosen]
        return numbers.float().div_(255) if numbers.dtype == torch.uint8 else numbers

    def inputs(self, pictures: Tensor) -> Tensor:
        """Return pictures as the network takes them."""
        if self.normalize:
            mean, deviation = self.normalize
            pictures = (pictures - mean) / deviation
        if pictures.shape[1:] != self.shape:
            return pictures.reshape(-1, *self.shape)
        return pictures.contiguous(memory_format=torch.channels_last) if pictures.ndim == 4 else pictures


def samples_of(
    dataset: Dataset, shape: tuple[int, ...], normalize: tuple[float, ...], device: torch.device
) -> Samples:
    """Return a data set on a device.

    Raises:
        DataError: it has no labels, or samples do not fit the network.
    """
    if dataset.labels is None:
        raise DataError("the samples have no labels", where=dataset.name, remedy="Training needs labels.")
    dataset.fit_to(shape)
    numbers = torch.from_numpy(_bytes(dataset.samples))
    if numbers.ndim == 3:
        numbers = numbers[:, None]
    return Samples(numbers.to(device), torch.from_numpy(dataset.labels).to(device), normalize, shape)


def check_classes(dataset: Dataset, classes: int) -> None:
    """Refuse labels that a network does not have as classes.

    Raises:
        DataError: a label is beyond them.
    """
    labels = np.asarray(dataset.labels)
    if labels.max() >= classes:
        first = int(np.argmax(labels >= classes))
        raise DataError(
            "labels are no classes of the network",
            where=dataset.name,
            expected=f"0 to {classes - 1}",
            found=f"{labels.min()} to {labels.max()}, the first at sample {first}",
            remedy="Train a network with as many classes, and count them from 0.",
        )


def input_range(samples: npt.NDArray[np.float32], normalize: tuple[float, ...]) -> tuple[float, float]:
    """Return the least and the largest value of a network's input; augmentation adds zeros to pictures."""
    mean, deviation = normalize or (0.0, 1.0)
    least, most = min(float(samples.min()), 0.0), max(float(samples.max()), 0.0)
    return (least - mean) / deviation, (most - mean) / deviation


def _bytes(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Return what were bytes as bytes again: a quarter of the memory."""
    if samples.min() < 0 or samples.max() > 1:
        return samples
    whole = np.rint(samples * np.float32(255)).astype(np.uint8)
    same = all(
        np.array_equal(some.astype(np.float32) / np.float32(255), reals)
        for some, reals in zip(np.array_split(whole, 16), np.array_split(samples, 16), strict=True)
    )
    return whole if same else samples
