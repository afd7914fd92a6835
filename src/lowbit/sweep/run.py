"""A sweep: every setting of every network, measured once, wherever there is room, and kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.analysis import layer_bytes
from lowbit.bench.timing import Call, interleaved_medians
from lowbit.data import Dataset, NetworkInput
from lowbit.engine import Program
from lowbit.errors import DataError, EngineError, PlanError, UnsupportedError
from lowbit.ir import Graph
from lowbit.ir.text import from_text, to_text
from lowbit.provenance import provenance
from lowbit.quantization.choice import chosen_indices
from lowbit.scores import checked_labels, score, top
from lowbit.state import digest
from lowbit.sweep.cache import Cache, program_digest
from lowbit.sweep.measure import Task, measure
from lowbit.sweep.parallel import run_parallel
from lowbit.sweep.result import Model, Row, Sweep
from lowbit.sweep.settings import Setting

Progress = Callable[[int, int, str], None]

_ROUNDS = 9


@dataclass(frozen=True)
class Workers:
    """Who measures: a backend of `lowbit.sweep.parallel`, how many at a time, and where."""

    backend: str = "loky"
    jobs: int = 1
    address: str | None = None


def sweep(
    graphs: Mapping[str, Graph],
    settings: tuple[Setting, ...],
    dataset: Dataset,
    calibration: Dataset | None = None,
    *,
    samples: int = 1024,
    workers: Workers | None = None,
    cache: Path | None = None,
    latency: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Sweep:
    """Return what every setting makes of every network. Equal arguments give equal tables, on any backend.

    Args:
        graphs: float networks by name.
        settings: see `lowbit.sweep.grid`.
        dataset: labelled samples to count over.
        calibration: samples that calibrated schemes may look at; needed only by them.
        samples: the most of these that are used.
        workers: this process's machine, one at a time, when None.
        cache: folder of what is known already; nothing is kept when None. Where it cannot be written, the
            sweep goes on, and its notes say so.
        latency: measure latency too, at the end, one network beside the other.
        command: what remakes the result, for its provenance.
        progress: called with what is done, what there is, and what was last.

    Raises:
        DataError: labels or calibration samples are missing, or are not the networks'.
        PlanError: no setting, or none that any network can be made with.
        MissingExtra: the backend is not installed.
    """
    if not settings or not graphs:
        raise PlanError("there is nothing to sweep", expected="at least one network and one setting")
    tasks = [
        (name, task)
        for name, graph in graphs.items()
        for task in _tasks(graph, settings, dataset, calibration, samples, latency)
    ]
    kept = None if cache is None else Cache(cache)
    results = _measured([task for _, task in tasks], workers or Workers(), kept, progress)
    _require_some(results)
    rows = tuple(_row(name, task, found) for (name, task), found in zip(tasks, results, strict=True))
    if latency:
        rows = _timed(rows, results, tasks[0][1].samples[:1])
    models = tuple(_model(name, graph, dataset) for name, graph in graphs.items())
    data = f"{dataset.name} ({dataset.exactness})" if dataset.exactness else dataset.name
    notes = (f"results are not kept: {kept.trouble}",) if kept and kept.trouble else ()
    return Sweep(models, rows, data, provenance(command), notes)


def _tasks(
    graph: Graph,
    settings: tuple[Setting, ...],
    dataset: Dataset,
    calibration: Dataset | None,
    samples: int,
    keep: bool,
) -> list[Task]:
    """Return a network's tasks; those of one seed share their calibration samples."""
    wanted = NetworkInput.of(graph)
    fitted, labels = dataset.fit_to(wanted).samples, checked_labels(dataset, graph)
    chosen: dict[int | None, npt.NDArray[np.float32] | None] = {None: None}
    for setting in settings:
        plan = setting.plan(samples)
        if plan is not None and setting.seed not in chosen:
            if calibration is None:
                raise DataError("this scheme needs calibration samples", where=setting.label, found="none")
            found = calibration.fit_to(wanted).samples
            chosen[setting.seed] = found[chosen_indices(len(found), plan)]
    return [Task(graph, setting, chosen[setting.seed], fitted, labels, keep) for setting in settings]


def _measured(
    tasks: list[Task], workers: Workers, cache: Cache | None, progress: Progress | None
) -> list[dict[str, Any]]:
    """Return every task's result: from the cache, or measured, and then kept at once."""
    keys = _keys(tasks) if cache else [""] * len(tasks)
    results = [_known(cache.get(key), task) if cache else None for key, task in zip(keys, tasks, strict=True)]
    missing = [index for index, found in enumerate(results) if found is None]
    done = len(tasks) - len(missing)
    if progress:
        progress(done, len(tasks), f"{done} known")
    work = [tasks[index] for index in missing]
    for position, found in run_parallel(measure, work, workers.backend, workers.jobs, workers.address):
        index = missing[position]
        results[index] = found
        if cache and "error" not in found:
            cache.put(keys[index], found)
        done += 1
        if progress:
            progress(done, len(tasks), f"{tasks[index].setting.label} {tasks[index].setting.rounding}")
    return [found for found in results if found is not None]


def _known(found: dict[str, Any] | None, task: Task) -> dict[str, Any] | None:
    """Return an entry of the cache where it has what a measurement of the task gives, else None."""
    wanted = {"top1", "divergence", "bytes"} | ({"network"} if task.keep else set())
    return found if found is not None and set(found) == wanted else None


def _keys(tasks: list[Task]) -> list[str]:
    """Return the hash of everything that a task's result depends on."""
    hashes: dict[int, str] = {}

    def of(array: npt.NDArray[Any] | None) -> str:
        if array is None:
            return ""
        if id(array) not in hashes:
            content = np.ascontiguousarray(array).data.cast("B")
            hashes[id(array)] = digest(str(array.dtype), list(array.shape), content)
        return hashes[id(array)]

    graphs = {id(task.graph): digest(to_text(task.graph)) for task in tasks}
    return [
        digest(
            program_digest(),
            graphs[id(task.graph)],
            task.setting.to_dict(),
            of(task.calibration),
            of(task.samples),
            of(task.labels),
            task.keep,
        )
        for task in tasks
    ]


def _require_some(results: list[dict[str, Any]]) -> None:
    if all("error" in found for found in results):
        raise PlanError("no setting can be made", where="sweep", found=results[0]["error"])


def _row(model: str, task: Task, found: dict[str, Any]) -> Row:
    return Row(model, task.setting, **{key: value for key, value in found.items() if key != "network"})


def _timed(
    rows: tuple[Row, ...], results: list[dict[str, Any]], sample: npt.NDArray[np.float32]
) -> tuple[Row, ...]:
    """Return the rows with latencies, measured in turn; what the engine does not run has none."""
    calls: dict[str, Call] = {}
    for index, found in enumerate(results):
        if "network" in found:
            try:
                program = Program(from_text(found["network"]))
            except (EngineError, UnsupportedError):
                continue
            calls[str(index)] = partial(program.run, sample)
    times = interleaved_medians(calls, _ROUNDS) if calls else {}
    return tuple(replace(row, latency_us=times.get(str(index))) for index, row in enumerate(rows))


def _model(name: str, graph: Graph, dataset: Dataset) -> Model:
    fitted, labels = dataset.fit_to(NetworkInput.of(graph)), checked_labels(dataset, graph)
    top1 = float(top(score(graph, fitted.samples).values, labels, 1).mean())
    return Model(name, top1, sum(layer.bytes for layer in layer_bytes(graph)))
