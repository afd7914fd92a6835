"""What a sweep found: rows in the order of the grid, and the same as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from lowbit.errors import ModelFormatError, PlanError
from lowbit.state import entry, parsed
from lowbit.sweep.settings import Setting, grid
from lowbit.untrusted import read_file, write_atomic

_LARGEST = 1 << 26
_MOST = 1e15  # of any figure: a picture has to show it


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
        notes: what went on without stopping the sweep; of the run, not of the file.
    """

    models: tuple[Model, ...]
    rows: tuple[Row, ...]
    data: str
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

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
        where = str(path)
        made = parsed(read_file(path, limit=_LARGEST), where, "sweep")
        models = tuple(_model(row, where) for row in _tables(made, "models", where))
        names = {model.name for model in models}
        rows = tuple(_row(row, names, where) for row in _tables(made, "rows", where))
        data = entry(made, "data", str, where)
        rest = {key: value for key, value in made.items() if key not in ("models", "rows", "data")}
        return cls(models, rows, data, rest)


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


def _tables(made: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    """Return the objects of a list that is not empty."""
    found = entry(made, name, list, where)
    if not found or not all(isinstance(row, dict) for row in found):
        raise _no_sweep(where, f"objects under {name}", repr(found)[:80])
    return found


def _model(made: dict[str, Any], where: str) -> Model:
    return Model(entry(made, "name", str, where), _share(made, where), entry(made, "bytes", int, where))


def _row(made: dict[str, Any], models: set[str], where: str) -> Row:
    """Return a row of a file; one that could not be made has an error and no figures."""
    model = entry(made, "model", str, where)
    if model not in models:
        raise _no_sweep(where, "a model of the list", repr(model)[:80])
    error = entry(made, "error", str, where) if "error" in made else ""
    if error:
        return Row(model, _setting(made, where), error=error)
    divergence, size = entry(made, "divergence", float, where), entry(made, "bytes", int, where)
    latency = None if made.get("latency_us") is None else entry(made, "latency_us", float, where)
    if max(divergence, size, latency or 0) > _MOST:
        raise _no_sweep(where, f"figures of at most {_MOST:g}", f"{divergence:g}, {size}, {latency}")
    return Row(model, _setting(made, where), _share(made, where), divergence, size, latency)


def _setting(made: dict[str, Any], where: str) -> Setting:
    """Return the setting of a row, one that a grid can have."""
    scheme, rounding = entry(made, "scheme", str, where), entry(made, "rounding", str, where)
    seed = None if made.get("seed") is None else entry(made, "seed", int, where)
    try:
        (found,) = grid([scheme], [entry(made, "bits", int, where)], [rounding], [seed or 0])
    except PlanError as error:
        raise _no_sweep(where, error.expected, error.found) from error
    return replace(found, seed=seed)


def _share(made: dict[str, Any], where: str) -> float:
    top1 = entry(made, "top1", float, where)
    if top1 > 1:
        raise _no_sweep(where, "top1 of at most 1", str(top1))
    return top1


def _no_sweep(where: str, expected: str, found: str) -> ModelFormatError:
    remedy = "Give the file that `lowbit sweep -o FILE` wrote."
    return ModelFormatError("this is no sweep", where=where, expected=expected, found=found, remedy=remedy)
