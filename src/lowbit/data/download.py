"""Get a data set by name from an address that the caller gives, and check it before it is kept.

Of MNIST and Fashion-MNIST these are the four idx files, ``train-images-idx3-ubyte.gz`` and so on; of CIFAR-10
it is ``cifar-10-binary.tar.gz``, of which the six files of pictures are kept.
"""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

from lowbit.data.published import PUBLISHED, algorithm_of, check_file
from lowbit.errors import DataError, FileError, TooLargeError, WriteError
from lowbit.untrusted import write_atomic

MOST_BYTES = 1 << 28
"""The most that one file may have; the largest published one has 171 MB."""

_SECONDS = 60
_HERE = ("localhost", "127.0.0.1", "::1")
_ARCHIVE = "cifar-10-binary.tar.gz"
_ARCHIVE_CHECKSUM = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_MEMBERS = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


def fetch(name: str, address: str, target: Path) -> Path:
    """Write the files of a data set to a folder of their own and return it.

    Args:
        name: one of `PUBLISHED`.
        address: of the folder that has the files: ``https``, or ``http`` of this machine.
        target: where the data set's folder goes; `load` finds it by that.

    Raises:
        DataError: no data set of that name, or no such address.
        FileError: a file has another checksum; nothing of it is kept.
        TooLargeError: more bytes than any of the files has.
        WriteError: the target may not be written.
    """
    if name not in PUBLISHED:
        raise DataError("no data set of that name", expected=" or ".join(PUBLISHED), found=repr(name))
    published = PUBLISHED[name]
    folder = target / published.folders[0]
    with _place(folder):
        if name == "cifar10":
            _keep_members(_get(address, _ARCHIVE), folder)
            return folder
        for checksums in published.checksums.values():
            for file, checksum in checksums.items():
                _keep(_get(address, f"{file}.gz"), folder / f"{file}.gz", checksum, published.title)
    return folder


def _get(address: str, file: str) -> bytes:
    """Return the bytes at an address."""
    from urllib.request import urlopen  # brings half of the network library

    url = f"{address.rstrip('/')}/{file}"
    _check_address(url)
    try:
        with urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - checked above
            _check_address(answer.url)  # where a server may have sent us on to
            content: bytes = answer.read(MOST_BYTES + 1)
            if answer.length and len(content) <= MOST_BYTES:
                raise IncompleteRead(content, answer.length)
    except (OSError, ValueError, HTTPException) as error:
        raise DataError(
            "the file cannot be fetched",
            where=url,
            expected="a server that answers with the file",
            found=str(error)[:160] or type(error).__name__,
            remedy="Check the address, and try again.",
        ) from error
    if len(content) > MOST_BYTES:
        raise TooLargeError("the file is too large", where=url, expected=f"at most {MOST_BYTES} bytes")
    return content


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname or "", parts.scheme
    except ValueError:
        host = scheme = ""
    if not host or not (scheme == "https" or (scheme == "http" and host in _HERE)):
        raise DataError(
            "the address is none that files are fetched from",
            where=url[:160],
            expected="https://…, or http:// of this machine",
            found=f"{scheme or 'no scheme'}, {host or 'no host'}",
        )


@contextmanager
def _place(folder: Path) -> Iterator[None]:
    """Make a folder; where nothing comes into it, it and those above that were made go again."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError("the folder cannot be made", where=str(folder), found=str(error)) from error
    try:
        yield
    finally:
        with suppress(OSError):  # there is something in it
            for path in made:
                path.rmdir()


def _keep(content: bytes, path: Path, checksum: str, title: str) -> None:
    """Write a file if its checksum is right; a wrong one leaves nothing."""
    new = path.with_name(f".new-{path.name}")
    write_atomic(new, content)
    try:
        check_file(new, checksum, title)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _keep_members(content: bytes, folder: Path) -> None:
    algorithm = algorithm_of(_ARCHIVE_CHECKSUM)
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != _ARCHIVE_CHECKSUM:
        raise FileError(
            "the archive is not that of CIFAR-10, or it is damaged",
            where=_ARCHIVE,
            expected=f"{algorithm} {_ARCHIVE_CHECKSUM}",
            found=found,
            remedy="Fetch it again.",
        )
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                stream = archive.extractfile(member) if name in _MEMBERS and member.isfile() else None
                if stream is not None and member.size <= MOST_BYTES:
                    write_atomic(folder / name, stream.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise FileError("the archive cannot be unpacked", where=_ARCHIVE, found=str(error)[:160]) from error
