"""Results kept by content: the same network, data, setting and program are measured once.

An entry is a JSON file named after the hash of everything that went into it. It carries a hash of itself, so
an entry that was cut short, or changed, is no entry: it is measured again and replaced.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.errors import FileError, WriteError, translated
from lowbit.state import digest, parsed
from lowbit.untrusted import read_file, write_atomic

_LARGEST_ENTRY = 1 << 26


class Cache:
    """A folder of entries: a help, never a condition. What cannot be kept is measured again next time.

    Args:
        folder: it is made where it is missing.

    Attributes:
        trouble: why something could not be kept, the first time; "" where all was.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.trouble = folder, ""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.trouble = str(translated(error, str(folder)))

    def get(self, key: str) -> dict[str, Any] | None:
        """Return what was kept, or None where there is nothing whole."""
        try:
            path = self._path(key)
            entry = parsed(read_file(path, limit=_LARGEST_ENTRY), str(path), "entry of the cache")
            result = entry["result"]
            return dict(result) if entry["sha256"] == digest(key, result) else None
        except (FileError, ValueError, TypeError, KeyError):
            return None

    def put(self, key: str, result: dict[str, Any]) -> None:
        """Keep a JSON-ready result, whole or not at all; where that cannot be, `trouble` says why."""
        entry = {"sha256": digest(key, result), "result": result}
        try:
            write_atomic(self._path(key), json.dumps(entry).encode())
        except WriteError as error:
            self.trouble = self.trouble or str(error)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


@cache
def program_digest() -> str:
    """Return a hash of lowbit itself: every source file, the compiled engine, and NumPy's version."""
    from lowbit.engine import _core

    root = Path(__file__).parents[1]
    sources = [part for file in sorted(root.rglob("*.py")) for part in (str(file.relative_to(root)), file)]
    files = [*sources, Path(_core.__file__)]
    contents = (part.read_bytes() if isinstance(part, Path) else part for part in files)
    return digest(np.__version__, *contents)
