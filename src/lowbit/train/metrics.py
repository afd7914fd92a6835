"""The learning curve: a line of JSON per epoch, and TensorBoard's events where they are asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowbit.errors import MissingExtra
from lowbit.train.result import METRICS
from lowbit.untrusted import read_file, write_atomic


class Metrics:
    """The learning curve of a run.

    Args:
        folder: of the run.
        done: lines behind this epoch are dropped, for they will come again.
        tensorboard: write events into the folder too.

    Raises:
        MissingExtra: ``tensorboard`` is not installed.
    """

    def __init__(self, folder: Path, done: int, tensorboard: bool = False) -> None:
        self._path = folder / METRICS
        lines = read_file(self._path).decode().splitlines() if self._path.exists() else []
        self.rows = [row for row in map(json.loads, lines) if row["epoch"] <= done]
        self._events = _events(folder, done) if tensorboard else None

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a line; the file is whole at any time."""
        self.rows.append(dict(row))
        write_atomic(self._path, "".join(json.dumps(line) + "\n" for line in self.rows).encode())
        if self._events is not None:
            for name, value in row.items():
                self._events.add_scalar(name, value, row["epoch"])
            self._events.flush()

    def close(self) -> None:
        """Close what is open."""
        if self._events is not None:
            self._events.close()


def _events(folder: Path, done: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("tensorboard", "tensorboard") from error
    return SummaryWriter(folder, purge_step=done + 1)
