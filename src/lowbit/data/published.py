"""Data sets known by name: where they are looked for, and what says that they are the published ones.

Places, in this order: the folder that the caller names, those of ``LOWBIT_DATA`` (several with ``:``), and
Debian's folder of data sets. In each, a data set is a folder of one of its usual names.

Checksums are of the unpacked files: SHA-256 of MNIST and Fashion-MNIST, taken from files of the MD5 that
their authors and torchvision give; of CIFAR-10's batches MD5 alone, which finds damage and no attack.
Pictures that were stored again as JPEG have none, and their data set says so.
"""

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lowbit.budget import budget
from lowbit.data.dataset import Raw
from lowbit.errors import DataError, FileError
from lowbit.untrusted import list_folder, read_file

VARIABLE = "LOWBIT_DATA"
DEBIAN = Path("/usr/share/datasets")

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Published:
    """A data set of the literature.

    Attributes:
        title: its usual name.
        folders: what its folder is called; the first when lowbit makes it.
        counts: samples by split.
        checksums: SHA-256, or MD5, by split and file name, unpacked.
        classes: their names by number.
    """

    title: str
    folders: tuple[str, ...]
    counts: Mapping[str, int]
    checksums: Mapping[str, Mapping[str, str]]
    classes: tuple[str, ...] = ()


def _idx(
    train_images: str, train_labels: str, test_images: str, test_labels: str
) -> dict[str, dict[str, str]]:
    """Return the checksums of four idx files."""
    return {
        "train": {"train-images-idx3-ubyte": train_images, "train-labels-idx1-ubyte": train_labels},
        "test": {"t10k-images-idx3-ubyte": test_images, "t10k-labels-idx1-ubyte": test_labels},
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


PUBLISHED = {
    "mnist": Published(
        "MNIST",
        ("mnist", "MNIST", "MNIST/raw"),
        {"train": 60_000, "test": 10_000},
        _idx(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        tuple("0123456789"),
    ),
    "fashion": Published(
        "Fashion-MNIST",
        ("fashion-mnist", "fashion", "FashionMNIST/raw"),
        {"train": 60_000, "test": 10_000},
        _idx(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        _names("T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot"),
    ),
    "cifar10": Published(
        "CIFAR-10",
        ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar10", "cifar-10", "cifar10-jpeg"),
        {"train": 50_000, "test": 10_000},
        {
            "train": {
                "data_batch_1": "c99cafc152244af753f735de768cd75f",
                "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            },
            "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
        },
        _names("airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"),
    ),
}
"""By the names that `load` takes."""


def find_published(name: str, folder: Path | None = None) -> Path:
    """Return the folder of a data set.

    Args:
        name: one of `PUBLISHED`.
        folder: that of the data set, or one that holds it; else, and where it holds only others, the usual
            places are searched.

    Raises:
        DataError: it is in none of them; they are listed.
    """
    published = PUBLISHED[name]
    several = folder is not None and _holds_data_sets(folder)
    places = ([] if folder is None else [folder]) + (_places() if folder is None or several else [])
    found = [place / usual for place in places for usual in published.folders if (place / usual).is_dir()]
    if found:
        return found[0]
    if folder is not None and folder.is_dir() and not several:
        return folder
    raise DataError(
        f"{published.title} is not here",
        where=name,
        expected=f"a folder {' or '.join(published.folders)} in {', '.join(map(str, places))}",
        found="none",
        remedy=f"Set {VARIABLE} to the folder that holds it, or get it with lowbit data fetch.",
    )


def _holds_data_sets(folder: Path) -> bool:
    """Return whether a folder is one of data sets, not a data set itself."""
    return any((folder / usual).is_dir() for each in PUBLISHED.values() for usual in each.folders)


def checked(name: str, folder: Path, split: str, raw: Raw) -> Raw:
    """Return what was read, and whether it is exactly what was published.

    Raises:
        FileError: a file has another checksum, or samples are missing.
    """
    published = PUBLISHED[name]
    if len(raw.samples) != published.counts[split]:
        raise FileError(
            f"this is not {published.title}, or a part is missing",
            where=str(folder),
            expected=f"{published.counts[split]} samples in the split {split}",
            found=f"{len(raw.samples)}",
            remedy="Fetch it again, or load the folder by its path.",
        )
    files = {unpacked_name(path): path for path in reversed(list_folder(folder))}
    known = published.checksums[split]
    present = [file for file in known if file in files]
    for file in present:
        check_file(files[file], known[file], published.title)
    exactness = "exact" if len(present) == len(known) else raw.exactness
    return replace(raw, exactness=exactness, classes=published.classes)


def check_file(path: Path, checksum: str, title: str) -> None:
    """Compare an unpacked file's checksum: SHA-256 where it has 64 digits, else MD5.

    Raises:
        FileError: it is another one, or the file cannot be unpacked.
    """
    algorithm = algorithm_of(checksum)
    found = _checksum(path, algorithm)
    if found != checksum:
        raise FileError(
            f"the file is not that of {title}, or it is damaged",
            where=str(path),
            expected=f"{algorithm} {checksum} when unpacked",
            found=found,
            remedy="Fetch it again, or load the folder by its path.",
        )


def algorithm_of(checksum: str) -> str:
    """Return the algorithm of a checksum, by its length."""
    return "sha256" if len(checksum) == 64 else "md5"


def unpacked_name(path: Path) -> str:
    """Return a file's name as its authors write it, without ``.gz``."""
    return path.name.removesuffix(".gz").replace(".idx", "-idx")


def _places() -> list[Path]:
    named = [Path(place) for place in os.environ.get(VARIABLE, "").split(os.pathsep) if place]
    return [*named, DEBIAN]


def _checksum(path: Path, algorithm: str) -> str:
    raw = io.BytesIO(read_file(path, limit=budget()))
    stream = gzip.GzipFile(fileobj=raw) if path.name.endswith(".gz") else raw
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    except (EOFError, OSError, zlib.error) as error:
        return f"gzip data that cannot be unpacked: {error}"
    return digest.hexdigest()
