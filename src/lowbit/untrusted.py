"""The only door to a file from outside, and to a file that we write.

Reading: a regular file, its size checked before a byte is read, then read whole. Writing: a temporary
file in the same folder, flushed to the disk, then renamed over the target, so a reader sees the old
file or the whole new one, and a failure leaves nothing.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from weakref import finalize

from lowbit.errors import FileError, ModelFormatError, TooLargeError, UnsafeFileError, WriteError

MAX_BYTES = 2**31 - 1
"""Default limit for a file from outside."""

MAX_BESIDE = 2**40
"""Limit for a file of which parts are read."""


def read_file(path: str | os.PathLike[str], *, limit: int = MAX_BYTES) -> bytes:
    """Return the bytes of a regular file, which may be empty.

    They are read, not mapped: a mapped file that another program overwrites or cuts short would change what
    was read, or end the process.

    Args:
        path: the file; a symbolic link to a regular file is followed.
        limit: the most bytes that are accepted.

    Raises:
        FileError: it cannot be opened.
        UnsafeFileError: it is a folder, a pipe, a device or a socket.
        TooLargeError: it has more bytes than ``limit``.
    """
    with os.fdopen(_open(path, limit), "rb") as file:
        return file.read(os.fstat(file.fileno()).st_size)  # not limit: Python takes that memory at once


class KeptFile:
    """A regular file that stays open, so that it can be read again in place of keeping its bytes.

    Removed or replaced by another one meanwhile it is still itself. Errors are those of `read_file`.
    """

    def __init__(self, path: str | os.PathLike[str], *, limit: int = MAX_BYTES) -> None:
        self._where = str(path)
        self._descriptor = _open(path, limit)
        finalize(self, os.close, self._descriptor)
        self._stamp = self._now()

    def read(self) -> bytes:
        """Return all its bytes.

        Raises:
            FileError: somebody has written into it since it was opened.
        """
        parts, at, size = [], 0, self._stamp[0]
        while at < size and (part := os.pread(self._descriptor, size - at, at)):
            parts.append(part)
            at += len(part)
        if self._now() != self._stamp or at != size:
            raise FileError(
                "the file was changed since it was opened",
                where=self._where,
                expected="the bytes that were read first",
                found="others",
                remedy="Replace files, as lowbit does, in place of writing into them; load it again.",
            )
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns


@contextmanager
def opened(path: str | os.PathLike[str], *, limit: int = MAX_BESIDE) -> Iterator[IO[bytes]]:
    """Give a regular file of which parts are read; errors are those of `read_file`."""
    with os.fdopen(_open(path, limit), "rb") as file:
        yield file


def read_start(path: str | os.PathLike[str], count: int) -> bytes:
    """Return the first bytes of a regular file, to tell its format; errors are those of `read_file`."""
    with os.fdopen(_open(path, MAX_BYTES), "rb", buffering=0) as file:
        return file.read(count)


def read_beside(path: str | os.PathLike[str], name: str, offset: int, count: int, where: str) -> bytes:
    """Return bytes of a file that another file names, from its own folder or a folder below.

    Args:
        path: the file that names it.
        name: relative to the folder of that file; no part of it may be a symbolic link.
        offset, count: which bytes.
        where: how messages call what asks for them.

    Raises:
        UnsafeFileError: the name is absolute, leaves the folder, or is no regular file.
        FileError: it cannot be opened.
        ModelFormatError: it has fewer bytes.
    """
    parts = name.split("/")
    if not name or "\\" in name or ":" in name or "\0" in name or not set(parts).isdisjoint({"", ".", ".."}):
        raise UnsafeFileError(
            "the file names another one outside its folder",
            where=where,
            expected="a file beside it, by its name alone",
            found=repr(name[:200]),
            remedy="Put both in one folder and export again.",
        )
    target = Path(path).parent / name
    descriptor = _open_below(Path(path).parent, parts, f"{where}: {target}")
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        if offset < 0 or count < 0 or offset + count > size:
            raise ModelFormatError(
                "the file beside it is too short",
                where=f"{where}: {target}",
                expected=f"bytes {offset} to {offset + count}",
                found=f"{size} bytes",
                remedy="Copy both files again: they belong together.",
            )
        file.seek(offset)
        return file.read(count)


def list_folder(path: str | os.PathLike[str]) -> list[Path]:
    """Return the entries of a folder in the order of their names.

    Raises:
        FileError: it cannot be read.
    """
    try:
        return sorted(Path(path).iterdir())
    except OSError as error:
        raise FileError(
            "the folder cannot be read",
            where=str(path),
            expected="a folder that may be read",
            found=error.strerror or str(error),
            remedy="Check the path and its permissions.",
        ) from error


def write_atomic(path: str | os.PathLike[str], content: bytes | bytearray | Iterable[bytes]) -> None:
    """Write a file whole or not at all.

    Args:
        path: the target; it is replaced when it exists. A symbolic link stays; what it points to is written.
        content: bytes, or chunks of bytes.

    Raises:
        WriteError: the folder is missing or full or may not be written; nothing is left behind.
    """
    target = _target_of(path)
    chunks = (content,) if isinstance(content, bytes | bytearray) else content
    temporary: Path | None = None
    try:
        _check_target(target)
        descriptor, name = _temporary_beside(target)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_mode_for(target))
        temporary.replace(target)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)


def cache_folder(name: str) -> Path | None:
    """Return the user's folder of what can be made again, or None where the user has no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lowbit" / name
    except RuntimeError:
        return None


def require_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a place where `write_atomic` could not write, before work is done for it; nothing is changed.

    Raises:
        WriteError: the folder is missing or may not be written, or something else has that name.
    """
    target = _target_of(path)
    try:
        _check_target(target)
        descriptor, name = _temporary_beside(target)
        os.close(descriptor)
        Path(name).unlink()
    except OSError as error:
        raise _unwritten(path, error) from error


def _temporary_beside(target: Path) -> tuple[int, str]:
    return tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)


def _open(path: str | os.PathLike[str], limit: int) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise FileError(
            "the file cannot be opened",
            where=str(path),
            expected="a file that may be read",
            found=getattr(error, "strerror", None) or str(error),
            remedy="Check the path and its permissions.",
        ) from error
    try:
        _check_kind_and_size(path, os.fstat(descriptor), limit)
    except Exception:
        os.close(descriptor)
        raise
    return descriptor


def _open_below(folder: Path, parts: list[str], where: str) -> int:
    """Open a regular file below a folder, following no symbolic link on the way."""
    flags, at = os.O_RDONLY | os.O_CLOEXEC, -1
    try:
        at = os.open(folder, flags | os.O_DIRECTORY)
        for part in parts[:-1]:
            inner = os.open(part, flags | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        descriptor = os.open(parts[-1], flags | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=at)
    except OSError as error:
        linked = error.errno in (errno.ELOOP, errno.ENOTDIR)
        raise (UnsafeFileError if linked else FileError)(
            "a symbolic link is not followed" if linked else "the file beside it cannot be opened",
            where=where,
            expected="a regular file in the same folder",
            found=error.strerror or str(error),
            remedy="Copy both files into one folder: they belong together.",
        ) from error
    finally:
        if at >= 0:
            os.close(at)
    try:
        _check_kind_and_size(where, os.fstat(descriptor), MAX_BESIDE)
    except Exception:
        os.close(descriptor)
        raise
    return descriptor


def _check_kind_and_size(path: str | os.PathLike[str], status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFileError(
            "this is not a regular file",
            where=str(path),
            expected="a regular file",
            found=_kind(status.st_mode),
            remedy="Give the path of the file itself.",
        )
    if status.st_size > limit:
        raise TooLargeError(
            "the file is too large",
            where=str(path),
            expected=f"at most {limit} bytes",
            found=f"{status.st_size} bytes",
            remedy="Check that this is the file you meant.",
        )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def _target_of(path: str | os.PathLike[str]) -> Path:
    """Return the file that a path means, behind all symbolic links."""
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a zero byte
        raise _unwritten(path, error) from error


def _unwritten(path: str | os.PathLike[str], error: Exception) -> WriteError:
    return WriteError(
        "the file cannot be written",
        where=str(path),
        expected="a folder that exists, may be written and has room",
        found=getattr(error, "strerror", None) or str(error),
        remedy="Choose another output path, or make the folder.",
    )


def _check_target(target: Path) -> None:
    """Refuse a target that is there and is no regular file: renaming would replace a device or a pipe."""
    if target.is_symlink():
        raise OSError(0, "a symbolic link that points to itself")
    if target.exists() and not target.is_file():
        raise OSError(0, f"{_kind(target.stat().st_mode)} of that name")


def _mode_for(target: Path) -> int:
    """Return the permissions of the file that is replaced, or what a new file would get."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)
