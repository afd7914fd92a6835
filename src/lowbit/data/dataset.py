"""A data set in memory, and the conventions by which numbers become samples.

integers            x / (largest number of their type)
floats              as they are
normalize (m, s)    (x - m) / s, afterwards
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.errors import DataError, NumericError
from lowbit.ir.graph import Shape

Numbers = npt.NDArray[np.generic]
Normalize = tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class Raw:
    """What a source holds, before the conventions.

    Attributes:
        samples: integers or floats ``[n, ...]``.
        labels: n of them, or None.
        notes, exactness, classes: as in `Dataset`.
    """

    samples: Numbers
    labels: Numbers | None = None
    notes: tuple[str, ...] = ()
    exactness: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples, and labels where there are any.

    Attributes:
        samples: float32 ``[n, ...]``, finite, n >= 1.
        labels: int64 ``[n]``, or None.
        name: how messages call it.
        notes: what was done to the numbers, and which samples these are.
        exactness: ``exact`` where checksums say that these are the published files, what is lossy about
            the pictures (``JPEG q75``), or nothing where it is not known.
        classes: their names by number, or none where they are not known.
    """

    samples: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64] | None
    name: str
    notes: tuple[str, ...] = ()
    exactness: str = ""
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def fit_to(self, shape: Shape) -> "Dataset":
        """Return the data set with samples of another shape and the same number of elements.

        Args:
            shape: of one sample; a name stands for any length where the number of axes agrees.

        Raises:
            DataError: the counts differ, or only the order of the axes does, which no reshape mends.
        """
        found = self.samples.shape[1:]
        if len(shape) == len(found) and all(
            isinstance(want, str) or want == have for want, have in zip(shape, found, strict=True)
        ):
            return self
        wanted = tuple(length for length in shape if isinstance(length, int))
        reordered = len(shape) == len(found) > 2 and sorted(wanted) == sorted(found)
        if len(wanted) != len(shape) or prod(wanted) != prod(found) or reordered:
            raise DataError(
                "samples do not fit the network",
                where=self.name,
                expected=f"samples of shape {shape}",
                found=f"{found}",
                remedy="Transpose the samples."
                if reordered
                else "Use the data that the network was trained on.",
            )
        return replace(self, samples=self.samples.reshape(len(self.samples), *wanted))


def make_dataset(raw: Raw, name: str, *, limit: int | None = None, normalize: Normalize = None) -> Dataset:
    """Return a data set of raw numbers, by the conventions above.

    Args:
        raw: what the source holds.
        name: how messages call it.
        limit: at most so many samples, the first ones.
        normalize: mean and standard deviation.

    Raises:
        DataError: no samples, labels that do not match, or a type that holds no numbers.
        NumericError: NaN or infinity, naming the sample.
    """
    _check_samples(raw.samples, name)
    classes = None if raw.labels is None else _classes(raw.labels, len(raw.samples), name)
    chosen = slice(None) if limit is None else slice(_checked_limit(limit, name))
    numbers, remark = _scaled(raw.samples[chosen])
    if normalize is not None:
        mean, deviation = _checked_normalize(normalize, name)
        numbers = (numbers - np.float32(mean)) / np.float32(deviation)
        remark += f", then normalized with mean {mean!r} and deviation {deviation!r}"
    _check_finite(numbers, name)
    labels = None if classes is None else classes[chosen]
    return Dataset(numbers, labels, name, (*raw.notes, remark), raw.exactness, raw.classes)


def _check_samples(samples: Numbers, name: str) -> None:
    if samples.dtype.kind not in "fiub":
        raise DataError(
            "samples are no numbers", where=name, expected="integers or floats", found=str(samples.dtype)
        )
    if samples.ndim == 0 or 0 in samples.shape:
        raise DataError(
            "there are no samples",
            where=name,
            expected="an array [n, ...]",
            found=f"shape {samples.shape}",
            remedy="Check the source, or what it calls its samples.",
        )


def _classes(labels: Numbers, count: int, name: str) -> npt.NDArray[np.int64]:
    """Return labels as class numbers: whole numbers, one per sample."""
    if labels.dtype.kind not in "fiub" or labels.size != count or labels.shape[:1] != (count,):
        raise DataError(
            "labels do not match the samples",
            where=name,
            expected=f"{count} class numbers",
            found=f"{labels.dtype} {labels.shape}",
        )
    whole = labels.reshape(count).astype(np.int64)
    if not np.array_equal(whole, labels.reshape(count)):
        raise DataError(
            "labels are no class numbers", where=name, expected="whole numbers", found="fractions"
        )
    return whole


def _scaled(samples: Numbers) -> tuple[npt.NDArray[np.float32], str]:
    if samples.dtype.kind in "iu":
        largest = int(np.iinfo(samples.dtype).max)  # type: ignore[type-var]
        return samples.astype(np.float32) / np.float32(largest), f"{samples.dtype} divided by {largest}"
    return np.ascontiguousarray(samples, np.float32), f"{samples.dtype} as they are"


def _checked_limit(limit: int, name: str) -> int:
    if limit < 1:
        raise DataError("a limit without samples", where=name, expected="1 or more", found=str(limit))
    return limit


def _checked_normalize(normalize: tuple[float, float], name: str) -> tuple[float, float]:
    mean, deviation = (float(number) for number in normalize)
    if not (np.isfinite(mean) and np.isfinite(deviation) and deviation > 0):
        raise DataError(
            "a normalization is impossible",
            where=name,
            expected="a finite mean and a deviation above 0",
            found=f"{mean}, {deviation}",
        )
    return mean, deviation


def _check_finite(samples: npt.NDArray[np.float32], name: str) -> None:
    good: npt.NDArray[np.bool_] = np.asarray(np.isfinite(samples).reshape(len(samples), -1).all(axis=1))
    if not good.all():
        raise NumericError(
            f"sample {int(np.argmin(good))} holds NaN or infinity",
            where=name,
            expected="finite numbers",
            found=f"{int((~good).sum())} of {len(good)} samples with others",
            remedy="Remove these samples.",
        )
