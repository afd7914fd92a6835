"""A data set in memory, and the conventions by which numbers become samples.

pictures            of a picture source: bytes / 255, so in [0, 1]
scale s             any numbers: x · s, where the caller says so
floats, bool        as they are
uint8               x / 255
other integers      refused: they do not say what they stand for
normalize (m, s)    (x - m) / s, afterwards; by channel where there are several

A network whose own input is integers gets integers (`lowbit.ir.input_type`): pictures as bytes, arrays as
they are. Where those are codes of 8 bits, int8 and uint8 arrays are codes, of one another moved by 128, and
reals are what they stand for. Whatever was done to the numbers is a line in `Dataset.notes`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.data.network_input import NetworkInput, misfit, shaped, whole
from lowbit.errors import DataError, NumericError
from lowbit.ir.graph import Shape
from lowbit.ir.input_type import InputType

Numbers = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
ByChannel = float | tuple[float, ...]
Choose = Callable[[int], npt.NDArray[np.intp]]
"""Told how many samples there are, it returns the numbers of those that are wanted, ascending."""

Normalize = tuple[ByChannel, ByChannel] | None
"""Mean and deviation: one of each for all numbers, or one for each channel."""

_TINIEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
RESCALED = "uint8 divided by 255"
"""The note of samples that were bytes."""

_CODES = {"int8": -128, "uint8": 0}  # the smallest code of a type


@dataclass(frozen=True, eq=False)
class Raw:
    """What a source holds, before the conventions.

    Attributes:
        samples: integers or floats ``[n, ...]``.
        labels: n of them, or None.
        notes, exactness, classes: as in `Dataset`.
        pictures: whether bytes are pixels, and three axes are channels, rows and columns.
        numbers: of the samples in their source, where these are not all of it.
    """

    samples: Numbers
    labels: Numbers | None = None
    notes: tuple[str, ...] = ()
    exactness: str = ""
    classes: tuple[str, ...] = ()
    pictures: bool = False
    numbers: npt.NDArray[np.intp] | None = None

    def chosen(self, choose: Choose | None) -> "Raw":
        """Return the samples that are wanted; those of a source that was asked already are.

        What is no set of samples stays as it is, and `make_dataset` says so.
        """
        shape = self.samples.shape
        whole = len(shape) > 0 and 0 not in shape and self.labels is None
        whole = whole or (self.labels is not None and self.labels.shape[:1] == shape[:1] != ())
        if choose is None or self.numbers is not None or not whole:
            return self
        wanted = choose(shape[0])
        labels = None if self.labels is None else self.labels[wanted]
        return replace(self, samples=self.samples[wanted], labels=labels, numbers=wanted)


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
        pixels: whether the samples are bytes divided by 255 and nothing else.
        layout: ``nchw`` where the source says that, else nothing.
        outside: values beyond the range of the network that the samples were fitted to.
    """

    samples: Floats
    labels: npt.NDArray[np.int64] | None
    name: str
    notes: tuple[str, ...] = ()
    exactness: str = ""
    classes: tuple[str, ...] = ()
    pixels: bool = False
    layout: str = ""
    outside: int = 0

    def __len__(self) -> int:
        return len(self.samples)

    def fit_to(self, network: NetworkInput | Shape) -> "Dataset":
        """Return the data set as a network takes it; one that fits is returned as it is.

        Args:
            network: what it takes, or the shape of one sample alone.

        Raises:
            DataError: shape, layout or type differ.
            NumericError: NaN or infinity, naming the sample.
        """
        wanted = network if isinstance(network, NetworkInput) else NetworkInput(network)
        samples, turned = shaped(self._reals(), wanted.shape, self.name, self.layout)
        _check_finite(samples, self.name)
        notes, pixels = self.notes, self.pixels
        if turned:
            notes = (*notes, "channels moved to the last axis")
        if wanted.integers is not None and wanted.counts:
            if pixels:
                samples, pixels = samples * np.float32(255), False
                notes = (*notes, "pixels as bytes, which the network takes")
            samples = whole(samples, wanted.integers, self.name)
        outside = wanted.outside(samples)
        if outside and outside != self.outside:
            low, high = wanted.range
            notes = (*notes, f"{outside} of {samples.size} values are outside {low:g} to {high:g}")
        if samples is self.samples and outside == self.outside:
            return self
        layout = "" if turned else self.layout
        return replace(self, samples=samples, notes=notes, layout=layout, pixels=pixels, outside=outside)

    def numbered_as(self, names: tuple[str, ...]) -> "Dataset":
        """Return the data set with labels by the numbers that a network's classes have.

        Args:
            names: of the network's classes, by number; where they, or those of the data, are not known, or
                are the same, the labels stay.

        Raises:
            DataError: the data has a class that the network does not.
        """
        if not names or not self.classes or self.labels is None or names == self.classes:
            return self
        if foreign := [name for name in self.classes if name not in names]:
            raise DataError(
                "the data has other classes than the network",
                where=self.name,
                expected="of " + ", ".join(names[:20]) + (", …" if len(names) > 20 else ""),
                found=", ".join(foreign[:20]) + (", …" if len(foreign) > 20 else ""),
                remedy="Call the folders of classes as they were called in training.",
            )
        numbers = np.array([names.index(name) for name in self.classes], np.int64)
        return replace(self, labels=numbers[self.labels], classes=names)

    def _reals(self) -> Floats:
        """Return the samples of a data set that anybody may have made, as the float32 that they should be."""
        if self.samples.dtype.kind != "f":
            raise misfit(
                self.name,
                "a data set of float32",
                str(self.samples.dtype),
                "Make it with lowbit.data.load, which knows what integers stand for.",
            )
        return self.samples if self.samples.dtype == np.float32 else _float32(self.samples)


def make_dataset(
    raw: Raw,
    name: str,
    *,
    limit: int | None = None,
    normalize: Normalize = None,
    scale: float | None = None,
    network: NetworkInput | None = None,
) -> Dataset:
    """Return a data set of raw numbers, by the conventions above.

    Args:
        raw: what the source holds.
        name: how messages call it.
        limit: at most so many samples, the first ones.
        normalize: mean and standard deviation.
        scale: what every number is multiplied by, instead of any other rule.
        network: what the samples are for, where that is known.

    Raises:
        DataError: no samples, labels that do not match, or a type that the network does not take.
        NumericError: NaN or infinity, naming the sample.
    """
    _check_samples(raw.samples, name)
    classes = None if raw.labels is None else _classes(raw.labels, len(raw.samples), name)
    chosen = slice(None) if limit is None else slice(_checked_limit(limit, name))
    with np.errstate(over="ignore"):  # what is too large for float32 is refused as infinity
        numbers, remark = _reals(raw, raw.samples[chosen], name, scale, network)
    pixels = remark == RESCALED
    if normalize is not None:
        mean, deviation = checked_normalize(normalize, name)
        with np.errstate(over="ignore"):
            numbers = (numbers - by_channel(mean, numbers, name)) / by_channel(deviation, numbers, name)
            pixels = False
        remark += f", then normalized with mean {mean!r} and deviation {deviation!r}"
    _check_finite(numbers, name, raw.numbers)
    labels = None if classes is None else classes[chosen]
    notes, layout = (*raw.notes, remark), "nchw" if raw.pictures else ""
    made = Dataset(numbers, labels, name, notes, raw.exactness, raw.classes, pixels, layout)
    return made if network is None else made.fit_to(network)


def _reals(
    raw: Raw, samples: Numbers, name: str, scale: float | None, network: NetworkInput | None
) -> tuple[Floats, str]:
    """Return numbers as reals, and what was done to them."""
    integers, kind = None if network is None else network.integers, samples.dtype.kind
    if scale is not None:
        return _float32(samples) * np.float32(_checked_scale(scale, name)), f"multiplied by {scale!r}"
    if kind not in "iu":
        return _float32(samples), f"{samples.dtype} as they are"
    if integers is not None and integers.scale is None:
        return _float32(samples), f"{samples.dtype} as they are"
    if integers is not None and not raw.pictures:
        return _levels(samples, integers, name)
    if samples.dtype != np.uint8:
        raise misfit(
            name,
            "reals as it takes them, or bytes (uint8) of pictures",
            f"{samples.dtype}, from {samples.min()} to {samples.max()}",
            "Integers do not say what they stand for: give a scale, such as --scale 1/255 (scale=1/255 in "
            "Python), or convert them to float32.",
        )
    reals = samples.astype(np.float32)
    reals /= np.float32(255)
    return reals, RESCALED


def _levels(codes: Numbers, integers: InputType, name: str) -> tuple[Floats, str]:
    """Return the reals that codes of 8 bits stand for, float32 of scale · (q - zero_point)."""
    if codes.dtype.name not in _CODES:
        raise misfit(
            name,
            f"codes of 8 bits ({integers.dtype}), or reals",
            f"{codes.dtype}, from {codes.min()} to {codes.max()}",
            "Convert them to the type of the codes, or give a scale (--scale).",
        )
    assert integers.scale is not None
    moved = _CODES[integers.dtype] - _CODES[codes.dtype.name]
    steps = codes.astype(np.int32) + (moved - integers.zero_point)
    said = f"{codes.dtype} as codes of the network's input" + (f", moved by {moved}" if moved else "")
    return (integers.scale * steps).astype(np.float32), said


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
    with np.errstate(invalid="ignore"):  # what does not fit is found by comparing
        whole = labels.reshape(count).astype(np.int64)
    if not np.array_equal(whole.astype(labels.dtype), labels.reshape(count)) or (whole < 0).any():
        raise DataError(
            "labels are no class numbers",
            where=name,
            expected="whole numbers from 0",
            found=f"{labels.dtype}, from {labels.min()} to {labels.max()}",
        )
    return whole


def _float32(samples: Numbers) -> Floats:
    with np.errstate(over="ignore"):  # what is too large for float32 is refused as infinity
        return np.ascontiguousarray(samples, np.float32)


def _checked_limit(limit: int, name: str) -> int:
    if limit < 1:
        raise DataError("a limit without samples", where=name, expected="1 or more", found=str(limit))
    return limit


def _checked_scale(scale: float, name: str) -> float:
    if not isinstance(scale, int | float | np.number) or not _TINIEST <= scale <= _LARGEST:
        raise DataError("a scale is impossible", where=name, expected="a number above 0", found=str(scale))
    return scale


def checked_normalize(normalize: tuple[Any, Any], name: str) -> tuple[ByChannel, ByChannel]:
    """Return mean and deviation, or as many of both.

    Raises:
        DataError: they are no numbers, not finite, not as many, or a deviation is not above 0.
    """
    try:
        means, deviations = (_numbers(entry) for entry in normalize)
    except (TypeError, ValueError):
        means, deviations = (), ()
    finite = all(abs(mean) <= _LARGEST for mean in means)
    if not (means and len(means) == len(deviations) and finite) or not all(
        _TINIEST <= deviation <= _LARGEST for deviation in deviations
    ):
        raise DataError(
            "a normalization is impossible",
            where=name,
            expected="a finite mean and a deviation above 0, or one of both for each channel",
            found=f"{normalize}",
        )
    return (means[0], deviations[0]) if len(means) == 1 else (means, deviations)


def _numbers(entry: Any) -> tuple[float, ...]:
    return tuple(float(number) for number in np.atleast_1d(np.asarray(entry, np.float64)))


def by_channel(value: ByChannel, numbers: Floats, name: str) -> Floats:
    """Return a number, or numbers of channels, in the shape that goes with samples.

    Channels are the first axis of a sample, or the last where the first has another length.
    """
    if not isinstance(value, tuple):
        return np.asarray(value, np.float32)
    shape = numbers.shape
    axis = next((axis for axis in (1, len(shape) - 1) if axis > 0 and shape[axis] == len(value)), None)
    if axis is None:
        raise misfit(
            name,
            f"samples of {len(value)} channels, for as many means",
            f"samples {list(shape[1:])}",
            "Give one mean and one deviation for each channel, or one of both for all.",
        )
    return np.asarray(value, np.float32).reshape(-1, *[1] * (len(shape) - 1 - axis))


def _check_finite(samples: Floats, name: str, numbers: npt.NDArray[np.intp] | None = None) -> None:
    good: npt.NDArray[np.bool_] = np.asarray(np.isfinite(samples).reshape(len(samples), -1).all(axis=1))
    if not good.all():
        first = int(np.argmin(good))
        raise NumericError(
            f"sample {first if numbers is None else numbers[first]} holds NaN or infinity",
            where=name,
            expected="finite numbers",
            found=f"{int((~good).sum())} of {len(good)} samples with others",
            remedy="Remove these samples.",
        )
