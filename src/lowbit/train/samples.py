"""A data set as tensors on the device: whole, and as bytes where pictures were bytes."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lowbit.data import Dataset, Framing, empty_classes, load, splits_of
from lowbit.errors import DataError
from lowbit.train.blocked import Blocked


@dataclass(frozen=True, eq=False)
class Splits:
    """Samples to learn from, and samples to be judged by.

    Attributes:
        train: to learn from.
        test: that judge in the end; None where there are none.
        validation: that judge every epoch, where there are any.
    """

    train: Dataset
    test: Dataset | None = None
    validation: Dataset | None = None

    @classmethod
    def load(
        cls,
        source: str,
        folder: str | os.PathLike[str] | None = None,
        framing: Framing | None = None,
        *,
        test: bool = True,
    ) -> "Splits":
        """Return the splits of a source: a path, or a name and the folder where it is.

        A source that is one set of samples is both to learn from and to be tested by.

        Args:
            source, folder: as of `lowbit.data.load`.
            framing: how pictures become what the network takes.
            test: whether the test samples are opened at all.

        Raises:
            LowbitError: as of `lowbit.data.load`; what is wrong with several splits is said at once.
        """
        known, blocked = splits_of(source), Blocked()
        found: dict[str, Dataset] = {}
        for split in known or ("train",):
            if split == "test" and not test:
                continue
            with blocked.trying():
                found[split] = load(source, split, folder=folder, framing=framing)
        if Path(source).is_dir() and (empty := empty_classes(Path(source))):
            blocked.errors.append(no_samples(source, empty, "their folders have no pictures"))
        blocked.refuse("the data cannot be learned")
        validation = found.get("validation")
        return cls(found["train"], found["train"] if not known and test else found.get("test"), validation)

    @property
    def all(self) -> dict[str, Dataset]:
        """All data sets that there are, by what they are for."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: dataset for name, dataset in named.items() if dataset is not None}

    @property
    def name(self) -> str:
        """What a result calls the data, ``cifar10 (JPEG q75)``."""
        exactness = f" ({self.train.exactness})" if self.train.exactness else ""
        return f"{Path(self.train.name).name}{exactness}"

    @property
    def classes(self) -> int:
        """How many classes there are: as many as have names, or as labels count."""
        numbers = [int(each.labels.max()) + 1 for each in self.all.values() if each.labels is not None]
        return max(len(self.train.classes), *numbers)


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled samples.

    Attributes:
        numbers: uint8 or float32; pictures are `[n, c, h, w]`.
        labels: int64 `[n]`.
        normalize: mean and deviation, or means and then deviations of channels, or nothing.
        shape: of one sample, as the network takes it.
        channels_last: how pictures lie in memory; a module of somebody's own may ask for `Tensor.view`.
    """

    numbers: Tensor
    labels: Tensor
    normalize: tuple[float, ...]
    shape: tuple[int, ...]
    channels_last: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def pictures(self, chosen: Tensor | slice) -> Tensor:
        """Return some samples as reals, float32 in [0, 1] where they were bytes."""
        numbers = self.numbers[chosen]
        return numbers.float().div_(255) if numbers.dtype == torch.uint8 else numbers

    def inputs(self, pictures: Tensor) -> Tensor:
        """Return pictures as the network takes them."""
        if self.normalize:
            mean, deviation = self._normalization(pictures)
            pictures = (pictures - mean) / deviation
        if pictures.shape[1:] != self.shape:
            return pictures.reshape(-1, *self.shape)
        last = self.channels_last and pictures.ndim == 4
        return pictures.contiguous(memory_format=torch.channels_last) if last else pictures

    def _normalization(self, pictures: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Return mean and deviation, those of channels in the shape that goes with samples."""
        half = len(self.normalize) // 2
        if half == 1:
            return self.normalize[0], self.normalize[1]
        shape = (half, *[1] * (pictures.ndim - 2))
        means, deviations = pictures.new_tensor(self.normalize).view(2, *shape)
        return means, deviations


def samples_of(
    dataset: Dataset,
    shape: tuple[int, ...],
    normalize: tuple[float, ...],
    device: torch.device,
    *,
    channels_last: bool = True,
) -> Samples:
    """Return a data set on a device.

    Raises:
        DataError: it has no labels, or samples do not fit the network.
    """
    if dataset.labels is None:
        raise DataError("the samples have no labels", where=dataset.name, remedy="Training needs labels.")
    dataset.fit_to(shape)
    numbers = torch.from_numpy(_bytes(dataset.samples))
    if numbers.ndim == 3 and len(shape) != 2:  # grey pictures, and no lines of channels
        numbers = numbers[:, None]
    _check_normalize(dataset, numbers.shape[1:], normalize)
    labels = torch.from_numpy(dataset.labels).to(device)
    return Samples(numbers.to(device), labels, normalize, shape, channels_last)


def _check_normalize(dataset: Dataset, shape: tuple[int, ...], normalize: tuple[float, ...]) -> None:
    """Refuse numbers of channels for samples that have others."""
    half = len(normalize) // 2
    if half > 1 and shape[:1] != (half,):
        raise DataError(
            "the normalization is one of other channels",
            where=dataset.name,
            expected="a mean and a deviation, or as many of both as channels",
            found=f"{half} of each, for samples {list(shape)}",
        )


def no_samples(where: str, empty: list[str], found: str) -> DataError:
    """Return the error of classes without a sample to learn from."""
    more = ", …" if len(empty) > _NAMED else ""
    return DataError(
        f"{len(empty)} classes have no samples" if len(empty) > 1 else "a class has no samples",
        where=where,
        expected="some of every class to learn from",
        found=f"none of {', '.join(empty[:_NAMED])}{more}; {found}",
        remedy="Add some, or take the class away; labels count from 0 without a gap.",
    )


_NAMED = 10


def input_range(samples: npt.NDArray[np.float32], normalize: tuple[float, ...]) -> tuple[float, float]:
    """Return the least and the largest value of a network's input; augmentation adds zeros to pictures."""
    half = len(normalize) // 2
    means, deviations = normalize[:half] or (0.0,), normalize[half:] or (1.0,)
    least, most = min(float(samples.min()), 0.0), max(float(samples.max()), 0.0)
    ends = [((least - m) / d, (most - m) / d) for m, d in zip(means, deviations, strict=True)]
    return min(low for low, _ in ends), max(high for _, high in ends)


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
