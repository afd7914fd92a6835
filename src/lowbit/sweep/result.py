"""What a sweep found: rows in the order of the grid, and the same as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from lowbit.errors import FileError
from lowbit.state import parsed
from lowbit.sweep.settings import Setting
from lowbit.untrusted import read_file, write_atomic

_LARGEST = 1 << 26


@dataclass(frozen=True)
class Row:
    """One network made.

    Attributes:
        model: its float network, see `Sweep.models`.
        setting: what was made of it.
        top1: accuracy, a fraction; None where it could not be made.
        divergence: KL of all weights before and after, see `lowbit.analysis.weight_divergence`.
        bytes: what its layers hold.
        latency_us: of a call with one sample in the engine, on this machine; None where not measured.
        error: why it could not be made.
    """

    model: str
    setting: Setting
    top1: float | None = None
    divergence: float | None = None
    bytes: int | None = None
    latency_us: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Model:
    """A float network: its name, accuracy and what its layers hold."""

    name: str
    top1: float
    bytes: int


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        models: the float networks.
        rows: in the order of models and grid.
        data: what was counted over, and how exact it is.
        provenance: command, commit, machine.
    """

    models: tuple[Model, ...]
    rows: tuple[Row, ...]
    data: str
    provenance: dict[str, Any]

    def table(self) -> list[dict[str, Any]]:
        """Return the rows as flat JSON-ready values, without what depends on the machine's mood."""
        return [_flat(row) for row in self.rows]

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        made = {**self.provenance, "data": self.data, "models": [asdict(model) for model in self.models]}
        rows = [{**_flat(row), "latency_us": row.latency_us} for row in self.rows]
        write_atomic(path, (json.dumps({**made, "rows": rows}, indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> "Sweep":
        """Return the sweep of a file.

        Raises:
            FileError: it cannot be read, or is no sweep.
        """
        try:
            made = parsed(read_file(path, limit=_LARGEST), str(path), "sweep")
            models = tuple(Model(**model) for model in made.pop("models"))
            rows = tuple(_row(row) for row in made.pop("rows"))
            return cls(models, rows, str(made.pop("data")), made)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileError(
                "this is no sweep",
                where=str(path),
                expected="what `lowbit sweep -o FILE` wrote",
                found=f"{type(error).__name__}: {error}",
            ) from error


@dataclass(frozen=True)
class Point:
    """One setting over models and seeds: medians, and the extremes of accuracy."""

    label: str
    scheme: str
    bits: int
    rounding: str
    top1: float
    least: float
    most: float
    divergence: float
    bytes: float
    latency_us: float | None


def points(rows: Iterable[Row]) -> tuple[Point, ...]:
    """Return one point for every scheme, bits and rounding that could be made, in order."""
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        if row.top1 is not None:
            setting = row.setting
            groups.setdefault((setting.scheme, setting.bits, setting.rounding), []).append(row)
    return tuple(_point(group) for group in groups.values())


def front(candidates: Iterable[Point], cost: str) -> tuple[Point, ...]:
    """Return the points than which none is both as accurate and cheaper, or as cheap and better.

    Args:
        candidates: points.
        cost: ``bytes`` or ``latency_us``; points without it are left out.
    """
    known = [point for point in candidates if getattr(point, cost) is not None]
    best: list[Point] = []
    for point in sorted(known, key=lambda point: (getattr(point, cost), -point.top1)):
        if not best or point.top1 > best[-1].top1:
            best.append(point)
    return tuple(best)


def _point(group: list[Row]) -> Point:
    setting = group[0].setting
    accuracies = [float(row.top1 or 0) for row in group]
    times = [row.latency_us for row in group if row.latency_us is not None]
    return Point(
        setting.label,
        setting.scheme,
        setting.bits,
        setting.rounding,
        median(accuracies),
        min(accuracies),
        max(accuracies),
        median(row.divergence or 0.0 for row in group),
        median(row.bytes or 0 for row in group),
        median(times) if times else None,
    )


def _flat(row: Row) -> dict[str, Any]:
    found = {"top1": row.top1, "divergence": row.divergence, "bytes": row.bytes}
    failed = {"error": row.error} if row.error else {}
    return {"model": row.model, **row.setting.to_dict(), **found, **failed}


def _row(flat: dict[str, Any]) -> Row:
    own = {field.name for field in fields(Setting)}
    setting = Setting(**{key: value for key, value in flat.items() if key in own})
    return Row(setting=setting, **{key: value for key, value in flat.items() if key not in own})
