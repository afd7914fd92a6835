"""Low-bit networks that are trained already, by name: some in the package, others in files beside it.

    lowbit.pretrained("mnist-mlp-1bit")      # a graph, ready for `lowbit.load`

``networks.json`` lists them all, with the hash of each file, and is made by ``recipes/pretrained.py``. Files
that the package does not carry are looked for in the folder that ``LOWBIT_NETWORKS`` names, else in
``results/networks`` below where one is: a clone has them. Nothing is fetched.
"""

import difflib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lowbit.errors import FileError, ModelFormatError, UsageError
from lowbit.formats import read_model
from lowbit.ir import Graph
from lowbit.untrusted import read_file

VARIABLE = "LOWBIT_NETWORKS"
"""The environment variable that names the folder of files which the package does not carry."""

_BESIDE = Path("results/networks")
_LARGEST = 64 << 20


@dataclass(frozen=True)
class Pretrained:
    """A trained network.

    Attributes:
        file: its name.
        carried: whether it is in the package.
        about: what it is.
        sha256: of the file.
        bytes: of the file.
        data: what it was measured on.
        top1: what it gets right of that, a fraction.
        made: what made it.
    """

    file: str
    carried: bool
    about: str
    sha256: str
    bytes: int
    data: str
    top1: float
    made: str

    @property
    def path(self) -> Path:
        """Where its file is, or should be."""
        if self.carried:
            return Path(__file__).with_name(self.file)
        return Path(os.environ.get(VARIABLE) or _BESIDE) / self.file

    @property
    def here(self) -> bool:
        """Whether there is a file of its name."""
        return self.path.is_file()


@cache
def pretrained_networks() -> Mapping[str, Pretrained]:
    """Return what is known of all of them, by name."""
    rows = json.loads(Path(__file__).with_name("networks.json").read_text())
    return {name: Pretrained(**row) for name, row in rows.items()}


def pretrained(name: str) -> Graph:
    """Return a trained low-bit network; `lowbit.load` runs it.

    Args:
        name: as `lowbit zoo` lists it.

    Raises:
        UsageError: there is none of that name; near ones are listed.
        FileError: its file is not here; says where it is looked for.
        ModelFormatError: the file is another than it was.
    """
    known = pretrained_networks()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)
        raise UsageError(
            "no such pretrained network",
            where="pretrained",
            expected=" or ".join(near),
            found=repr(name),
            remedy="They are listed by: lowbit zoo",
        )
    return _checked(name, known[name])


def _checked(name: str, row: Pretrained) -> Graph:
    """Return the network of a file whose hash is the listed one."""
    if not row.here:
        carried = " and ".join(other for other, each in pretrained_networks().items() if each.carried)
        raise FileError(
            f"the package does not carry {name}",
            where=str(row.path),
            expected=f"{row.file}, {row.bytes:,} bytes",
            found="no such file",
            remedy=f"It is in results/networks of a clone: name that folder, {VARIABLE}=FOLDER. "
            f"Without it there are {carried}.",
        )
    found = hashlib.sha256(read_file(row.path, limit=_LARGEST)).hexdigest()
    if found != row.sha256:
        raise ModelFormatError(
            f"this file is not {name} as it was measured",
            where=str(row.path),
            expected=f"SHA-256 {row.sha256[:16]}…",
            found=f"{found[:16]}…",
            remedy="Take the file again from where the others came from.",
        )
    return read_model(row.path)
