"""The learning curve: a line of JSON per epoch, and TensorBoard's events where they are asked for.

The curve of a run that goes on is that of its checkpoint, so the file of lines is written, and read only
beside a checkpoint of an earlier lowbit, which had none.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lowbit.errors import MissingExtra, ModelFormatError
from lowbit.state import entry, parsed
from lowbit.train.checkpoint import FRESH
from lowbit.train.result import METRICS
from lowbit.untrusted import read_file, write_atomic

Row = Mapping[str, Any]
"""Figures of an epoch, `epoch` among them."""


def curve_of(rows: object, where: str) -> tuple[Row, ...]:
    """Return the rows of a learning curve that was kept.

    Raises:
        ModelFormatError: they are none.
    """
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ModelFormatError("this is no learning curve", where=where, found=repr(rows)[:80], remedy=FRESH)
    for row in rows:
        for name in row:
            entry(row, name, int if name == "epoch" else float, where, FRESH)
        entry(row, "epoch", int, where, FRESH)
    return tuple(rows)


def read_curve(folder: Path, done: int) -> tuple[Row, ...]:
    """Return the lines of a run's curve up to an epoch; errors are those of `curve_of`."""
    path = folder / METRICS
    lines = read_file(path).splitlines() if path.exists() else []
    rows = [parsed(line, str(path), "line of a learning curve", FRESH) for line in lines]
    return tuple(row for row in curve_of(rows, str(path)) if row["epoch"] <= done)


class Metrics:
    """The learning curve of a run.

    Args:
        folder: of the run.
        rows: of the epochs that are done.
        tensorboard: write events into the folder too.

    Raises:
        MissingExtra: ``tensorboard`` is not installed.
    """

    def __init__(self, folder: Path, rows: Sequence[Row], tensorboard: bool = False) -> None:
        self._path = folder / METRICS
        self.rows = list(rows)
        self._events = _events(folder, len(rows)) if tensorboard else None

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a line; the file is whole at any time."""
        self.rows.append(row)
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
