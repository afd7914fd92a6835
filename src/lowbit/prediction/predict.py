"""One sample, of a photograph or of a data set, and its class probabilities."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.data import Dataset, NetworkInput, load, remembered_class_names, remembered_framing
from lowbit.data.dataset import Normalize, Raw, by_channel, checked_normalize, make_dataset
from lowbit.data.digits import CLASSES as DIGITS
from lowbit.data.photograph import (
    Part,
    channels_first,
    picture_shape,
    read_photograph,
    required_picture_shape,
)
from lowbit.data.published import PUBLISHED
from lowbit.errors import DataError
from lowbit.ir import Graph
from lowbit.scores import checked_scores, class_count, probabilities, score
from lowbit.untrusted import read_file

_MOST_NAME_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample.

    Attributes:
        values: float32 ``[1, ...]`` as the network takes it.
        picture: uint8 ``[h, w]`` or ``[h, w, 3]``, as the network sees it; None where it is no picture.
        about: where it comes from.
        label: its class, where that is known.
        classes: names of the data's classes, where they are known.
        notes: what was done to the numbers.
        outside: values beyond the range of the network's input.
    """

    values: npt.NDArray[np.float32]
    picture: npt.NDArray[np.uint8] | None
    about: str
    label: int | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    outside: int = 0


@dataclass(frozen=True, eq=False)
class Prediction:
    """Class probabilities of one sample.

    Attributes:
        sample: what was classified.
        classes: names or numbers.
        probabilities: float64 ``[classes]``, of the network.
        float_probabilities: the same of the float network, or None.
        backend: what ran the network.
    """

    sample: Sample
    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]
    float_probabilities: npt.NDArray[np.float64] | None
    backend: str

    def ranked(self, most: int) -> list[int]:
        """Return the classes of the highest probabilities, highest first; of equal ones the lower number."""
        return [int(index) for index in np.argsort(-self.probabilities, kind="stable")[:most]]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values; classes in the order of their numbers."""
        best, floats = int(self.probabilities.argmax()), self.float_probabilities
        return {
            "sample": self.sample.about,
            "class": self.classes[best],
            "label": None if self.sample.label is None else self.classes[self.sample.label],
            "classes": list(self.classes),
            "probabilities": self.probabilities.tolist(),
            "float_probabilities": None if floats is None else floats.tolist(),
            "backend": self.backend,
            "notes": list(self.sample.notes),
            "outside": self.sample.outside,
        }


def predict(
    graph: Graph, sample: Sample, *, against: Graph | None = None, classes: tuple[str, ...] = ()
) -> Prediction:
    """Return the class probabilities of a sample.

    Args:
        graph: the network.
        sample: see `sample_of_picture` and `sample_of_data`.
        against: the float network to set beside it.
        classes: names; those of the sample's data set, those that the network's file remembers, or numbers,
            when not given.

    Raises:
        DataError: names, label or the float network do not match the network's classes.
    """
    count = class_count(graph)
    known = sample.classes or remembered_class_names(graph)
    names = _names(classes or known, count, required=bool(classes))
    if sample.label is not None and not 0 <= sample.label < count:
        raise DataError(
            "the label is no class of the network",
            where=sample.about,
            expected=f"0 to {count - 1}",
            found=str(sample.label),
        )
    if against is not None and class_count(against) != count:
        raise DataError(
            "the float network has other classes",
            where=against.name,
            expected=f"{count} classes",
            found=str(class_count(against)),
        )
    low, beside = score(graph, sample.values), None
    if against is not None:
        values = Dataset(sample.values, None, sample.about).fit_to(NetworkInput.of(against)).samples
        beside = probabilities(checked_scores(score(against, values).values, sample.about))[0]
    found = probabilities(checked_scores(low.values, sample.about))[0]
    return Prediction(sample, names, found, beside, low.backend)


def sample_of_picture(
    path: Path,
    graph: Graph,
    *,
    normalize: Normalize = None,
    scale: float | None = None,
    crop: Part | None = None,
    invert: bool = False,
) -> Sample:
    """Return a photograph as the network takes it; see `lowbit.data.photograph`.

    Raises:
        FileError: it is no picture, is damaged, or too large.
        DataError: the network takes no pictures, or the part is not inside this one.
        MissingExtra: Pillow is not installed.
    """
    shape = required_picture_shape(graph.value(graph.inputs[0]).shape[1:], graph.name)
    framing = remembered_framing(graph)
    pixels = read_photograph(path, shape, crop=crop, invert=invert, framing=framing)
    raw, network = Raw(pixels[None], pictures=True), NetworkInput.of(graph)
    dataset = make_dataset(raw, str(path), normalize=normalize, scale=scale, network=network)
    return Sample(dataset.samples, _shown(pixels), path.name, notes=dataset.notes, outside=dataset.outside)


def sample_of_data(
    data: str,
    index: int,
    graph: Graph,
    *,
    split: str = "test",
    normalize: Normalize = None,
    scale: float | None = None,
) -> Sample:
    """Return a sample of a data set by its number, from 0.

    Raises:
        DataError: there is no such sample, or it does not fit the network.
    """
    if not isinstance(index, int | np.integer) or index < 0:
        raise DataError("samples are counted from 0", where=data, expected="0, 1, …", found=repr(index))
    network = NetworkInput.of(graph)
    framing = remembered_framing(graph)
    found = load(data, split=split, normalize=normalize, scale=scale, network=network, framing=framing)
    found = found.numbered_as(remembered_class_names(graph))
    if index >= len(found):
        raise DataError(
            "there is no such sample", where=data, expected=f"0 to {len(found) - 1}", found=str(index)
        )
    one = found.samples[index : index + 1]
    picture = None if scale is not None else _picture(one, network, normalize)
    label = None if found.labels is None else int(found.labels[index])
    outside = network.outside(one)
    about = f"{data}, {split}, picture {index}"
    return Sample(one, picture, about, label, found.classes, found.notes, outside)


def class_names(source: str) -> tuple[str, ...]:
    """Return the names of classes: of a data set known by name, or the lines of a text file.

    Raises:
        FileError: there is no such file.
        DataError: the file is no text.
    """
    known = {"digits": DIGITS, **{name: data.classes for name, data in PUBLISHED.items()}}
    if source in known:
        return known[source]
    try:
        lines = read_file(source, limit=_MOST_NAME_BYTES).decode().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            "names of classes are no text",
            where=source,
            expected="UTF-8, a name per line",
            found=str(error),
        ) from error
    return tuple(line.strip() for line in lines if line.strip())


def _names(classes: tuple[str, ...], count: int, *, required: bool) -> tuple[str, ...]:
    if len(classes) == count:
        return classes
    if required:
        raise DataError(
            "names do not match the network's classes", expected=f"{count} names", found=str(len(classes))
        )
    return tuple(map(str, range(count)))


def _picture(
    values: npt.NDArray[np.float32], network: NetworkInput, normalize: Normalize
) -> npt.NDArray[np.uint8] | None:
    """Return a sample as pixels again, where it is a picture."""
    shape = picture_shape(values.shape[1:])
    if shape is None:
        return None
    means, deviations = (
        by_channel(each, values, "the picture") for each in checked_normalize(normalize or (0.0, 1.0), "")
    )
    most = 1 if network.counts else 255
    pixels = np.asarray(np.rint(most * (values * deviations + means)[0]).clip(0, 255), np.uint8)
    return _shown(channels_first(pixels, shape))


def _shown(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return ``[c, h, w]`` as ``[h, w]`` or ``[h, w, 3]``."""
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
