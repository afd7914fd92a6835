"""What a run depends on besides its recipe: samples, teacher, the code of a step, and torch.

A checkpoint keeps it, so that a run that goes on with anything else is refused, or, by force, says so.
"""

import hashlib
from pathlib import Path

import torch

from lowbit.state import digest
from lowbit.train.samples import Samples
from lowbit.untrusted import read_file

_PACKAGE = Path(__file__).parent.parent
_OF_A_STEP = ("data", "nn", "plan", "schemes", "train", "zoo")  # readers and back ends change no step
_LARGEST = 1 << 36


def identity(train: Samples, judging: Samples, teacher: Path | None, network: str = "") -> dict[str, str]:
    """Return what a run's numbers come from: hashes of data, code and the teacher's weights, torch's version.

    Args:
        train, judging: after samples were kept out; those that judge every epoch.
        teacher: the file of its weights, or None.
        network: the hash of the file of a module of somebody's own.
    """
    found = {"data": _samples(train), "judging data": _samples(judging), "code": _code()}
    if network:
        found["network's file"] = network
    if teacher is not None:
        found["teacher"] = file_hash(teacher)
    return found | {"torch": torch.__version__}


def changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Return what differs, a line each; what only one of them names is not compared."""
    shared = [name for name in old if name in new]
    return [
        f"{name} was {_short(old[name])}, is {_short(new[name])}" for name in shared if old[name] != new[name]
    ]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises:
        FileError: it cannot be read.
    """
    return hashlib.sha256(read_file(path, limit=_LARGEST)).hexdigest()


def _samples(samples: Samples) -> str:
    numbers = samples.numbers.cpu().contiguous().numpy()
    return digest(list(numbers.shape), str(numbers.dtype), numbers.data.cast("B"), samples.labels.tolist())


def _code() -> str:
    files = sorted(path for name in _OF_A_STEP for path in (_PACKAGE / name).rglob("*.py"))
    return digest(*(part for path in files for part in (str(path.relative_to(_PACKAGE)), path.read_bytes())))


def _short(text: str) -> str:
    return text[:12]
