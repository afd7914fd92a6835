"""What a report says, as data: everything is measured here, nothing is drawn."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit import api
from lowbit.analysis import (
    Confusion,
    LayerBytes,
    LayerError,
    WeightDivergence,
    confusion,
    layer_bytes,
    layer_errors,
    weight_divergence,
)
from lowbit.bench import per_layer, random_inputs
from lowbit.bench.layers import PerLayer
from lowbit.data import Dataset, NetworkInput, Normalize
from lowbit.engine import Program
from lowbit.errors import DataError, EngineError, UnsupportedError
from lowbit.ir import Graph
from lowbit.ir.layers import Layer, layers_of
from lowbit.provenance import provenance
from lowbit.report.hardware import read_hardware
from lowbit.report.histograms import LevelPicture, level_pictures
from lowbit.scores import Scores, checked_labels, class_count, score, top
from lowbit.untrusted import read_file

COMPARED, DRAWN = 64, 16
"""Samples over which layers are compared, and whose values are drawn: the reference evaluator runs them."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network and its file.

    Attributes:
        path: of the file.
        graph: what it holds.
        bytes: of the file.
        sha256: of the file.
        table: rows ``name, what, bytes``, which add up to the file.
    """

    path: Path
    graph: Graph
    bytes: int
    sha256: str
    table: tuple[dict[str, Any], ...]

    @cached_property
    def layers(self) -> list[Layer]:
        """Layers with weights, in order."""
        return layers_of(self.graph)

    @cached_property
    def layer_bytes(self) -> tuple[LayerBytes, ...]:
        """What every layer holds and moves for one sample."""
        return layer_bytes(self.graph)


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How many samples a network gets right.

    Attributes:
        top1, top5: fractions; top5 is None below six classes.
        right: for each sample.
        confusion: true against found classes.
        scores: all of them.
    """

    top1: float
    top5: float | None
    right: npt.NDArray[np.bool_]
    confusion: Confusion
    scores: Scores


@dataclass(frozen=True, eq=False)
class Speed:
    """One sample, step by step in the engine; or why that does not run it."""

    steps: PerLayer | None
    why_not: str = ""


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that a report says.

    Attributes:
        network: the low-bit one.
        origin: the float network beside it, or None.
        data: samples, all of which are classified.
        data_name: as it was asked for, with the split.
        accuracy: of the network; None where there are no labels and none were wanted.
        origin_accuracy: likewise of the float network.
        agreement: share of samples that both give the same class; None without a float network.
        errors: of layers against the float network, over the first `COMPARED` samples; or
        errors_why_not: why there are none.
        divergence: of weights from the float network's.
        pictures: of levels, weights first.
        speed, origin_speed: of one sample.
        hardware: rows of hardware reports; none where none was given.
        made: command, version, machine, date.
    """

    network: Network
    origin: Network | None
    data: Dataset
    data_name: str
    accuracy: Accuracy | None
    origin_accuracy: Accuracy | None
    agreement: float | None
    errors: tuple[LayerError, ...]
    errors_why_not: str
    divergence: tuple[WeightDivergence, ...]
    pictures: tuple[LevelPicture, ...]
    speed: Speed
    origin_speed: Speed | None
    hardware: tuple[dict[str, Any], ...]
    made: dict[str, Any]

    def to_html(self) -> str:
        """Return a whole page that needs nothing but itself."""
        from lowbit.report.page import page

        return page(self)

    def write(self, path: str | Path) -> None:
        """Write the page, whole or not at all."""
        from lowbit.untrusted import write_atomic

        write_atomic(path, self.to_html().encode())

    def _repr_html_(self) -> str:
        from lowbit.report.page import cell

        return cell(self)


def examine(
    model: str | Path,
    data: str | npt.ArrayLike | Dataset,
    *,
    against: str | Path | None = None,
    hardware: str | Path | None = None,
    split: str = "test",
    normalize: Normalize = None,
    labels: bool = True,
    command: str = "",
) -> Findings:
    """Return what there is to say about a low-bit network.

    Args:
        model: its file.
        data: labelled samples.
        against: the float network's file.
        hardware: a project of ``lowbit hdl``, or its JSON.
        split: of the data.
        normalize: else what the file remembers.
        labels: False for data without labels: accuracy is left out.
        command: what makes the report again.

    Raises:
        DataError: samples or labels do not fit the network, or there are no labels.
        FileError: a file cannot be read.
    """
    network = _network(Path(model))
    origin = None if against is None else _network(Path(against))
    samples = api.load_samples(network.graph, data, split, normalize)
    if origin is not None and class_count(origin.graph) != class_count(network.graph):
        raise DataError(
            "the float network has other classes",
            where=str(against),
            expected=f"{class_count(network.graph)} classes",
            found=str(class_count(origin.graph)),
        )
    reports = () if hardware is None else read_hardware(Path(hardware))
    scores, accuracy = _accuracy(network, samples, labels, "low-bit")
    beside = (None, None) if origin is None else _accuracy(origin, samples, labels, "float")
    speed = _speed(network.graph)
    backend = "reference" if speed.steps is None else "engine"
    errors, why_not = _errors(network, origin, samples, backend)
    drawn = samples.samples[:DRAWN]
    return Findings(
        network,
        origin,
        samples,
        f"{samples.name}, {split}" if isinstance(data, str) else samples.name,
        accuracy,
        beside[1],
        None if beside[0] is None else float((beside[0].classes == scores.classes).mean()),
        errors,
        why_not,
        _divergence(network, origin),
        level_pictures(network.graph, None if origin is None else origin.graph, drawn, backend),
        speed,
        None if origin is None else _speed(origin.graph),
        reports,
        provenance(command),
    )


def _network(path: Path) -> Network:
    found = api.inspect(path)
    digest = hashlib.sha256(read_file(path)).hexdigest()
    return Network(path, api.read(path), found["bytes"], digest, tuple(found["table"]))


def _accuracy(network: Network, samples: Dataset, labels: bool, name: str) -> tuple[Scores, Accuracy | None]:
    graph = network.graph
    wanted = checked_labels(samples, graph) if labels else None
    fitted = samples.fit_to(NetworkInput.of(graph))
    scores = score(graph, fitted.samples)
    if wanted is None:
        return scores, None
    count = class_count(graph)
    names = samples.classes if len(samples.classes) == count else tuple(map(str, range(count)))
    top5 = float(top(scores.values, wanted, 5).mean()) if count > 5 else None
    right = top(scores.values, wanted, 1)
    matrix = confusion(wanted, scores.classes, name=name, classes=names)
    return scores, Accuracy(float(right.mean()), top5, right, matrix, scores)


def _errors(
    network: Network, origin: Network | None, samples: Dataset, backend: str
) -> tuple[tuple[LayerError, ...], str]:
    if origin is None:
        return (), "there is no float network to compare with; give one with --against"
    try:
        few, backends = samples.samples[:COMPARED], ("reference", backend)
        return layer_errors(origin.graph, network.graph, few, backends=backends), ""
    except DataError as error:  # networks that have nothing in common
        return (), error.facts


def _divergence(network: Network, origin: Network | None) -> tuple[WeightDivergence, ...]:
    if origin is None:
        return ()
    try:
        return weight_divergence(origin.graph, network.graph)
    except DataError:
        return ()


def _speed(graph: Graph) -> Speed:
    try:
        program = Program(graph)
    except (EngineError, UnsupportedError) as error:
        return Speed(None, error.facts)
    return Speed(per_layer(program, *random_inputs(program, 1)))
