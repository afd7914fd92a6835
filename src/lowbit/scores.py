"""What a network says of samples: its scores, by the engine where that runs it, and as probabilities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.backends import BACKENDS, Runner, backend_of
from lowbit.data import Dataset, Inputs, inputs_of
from lowbit.engine import check_threads
from lowbit.errors import DataError, LowbitError, NumericError, TooLargeError, UnsupportedError
from lowbit.ir import Graph

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[np.generic]

AUTO = "auto"
"""The backend that is the engine, or the reference where that does not run a network."""

_BLOCK = 1000  # samples at a time
_NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of samples.

    Attributes:
        values: float32 ``[n, classes]``.
        backend: what ran it, a key of `lowbit.backends.BACKENDS`.
        why: why it was not the engine, where it was not asked for.
    """

    values: Floats
    backend: str
    why: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """A line that says so, where the reference ran what the engine does not."""
        return (f"run by the reference evaluator, since {self.why}",) if self.why else ()

    @property
    def classes(self) -> npt.NDArray[np.intp]:
        """The class of the highest score of every sample; of equal ones the first."""
        return np.asarray(self.values.argmax(axis=1))


def score(
    graph: Graph, samples: Floats | Mapping[str, Array], backend: str = "auto", threads: int = 1
) -> Scores:
    """Return the network's scores, or whatever else its first output is.

    Args:
        graph: the network.
        samples: as the network takes them, finite; of several inputs by name.
        backend: a key of `lowbit.backends.BACKENDS`, or ``auto``: the engine, and where that cannot, the
            reference.
        threads: that share a call.

    Raises:
        LowbitError: the backend was asked for and does not run it.
        EngineError: an impossible number of threads.
        TooLargeError: it would take more than the memory budget.
        DataError: samples of another shape.
        NumericError: a sample holds NaN or infinity, of which a network makes numbers like any other.
        PlanError: another backend.
    """
    outputs, name, why = _run(graph, samples, backend, threads)
    return Scores(np.asarray(outputs[0], np.float32), name, why)


def _run(
    graph: Graph, samples: Floats | Mapping[str, Array], backend: str, threads: int
) -> tuple[list[Array], str, str]:
    """Return all outputs, what ran, and why it is not the engine."""
    if backend != AUTO:
        backend_of(backend)  # said before samples are looked at
    check_threads(threads)
    given = samples if isinstance(samples, Mapping) else Dataset(samples, None, graph.name)
    arrays = list(inputs_of(graph, given, graph.name).arrays.values())
    runner, name, why = _loaded(graph, backend, threads)
    return _in_blocks(graph, arrays, runner.run), name, why


def _loaded(graph: Graph, backend: str, threads: int) -> tuple[Runner, str, str]:
    """Return what runs a graph, its name, and why it is not the engine where that was tried."""
    if backend != AUTO:
        return BACKENDS[backend].load(graph, threads=threads), backend, ""
    try:
        return BACKENDS["engine"].load(graph, threads=threads), "engine", ""
    except TooLargeError:
        raise
    except LowbitError as error:
        return BACKENDS["reference"].load(graph), "reference", error.facts


def outputs_of(
    graph: Graph, samples: Floats | Mapping[str, Array], backend: str = "auto", threads: int = 1
) -> dict[str, Array]:
    """Return all outputs of a network by name. The rest is as for `score`."""
    return dict(zip(graph.outputs, _run(graph, samples, backend, threads)[0], strict=True))


def checked_scores(scores: Floats, name: str) -> Floats:
    """Return scores that classes can be made of.

    Raises:
        NumericError: NaN or infinity, naming the sample.
    """
    good = np.asarray(np.isfinite(scores).reshape(len(scores), -1).all(axis=1))
    if not good.all():
        raise NumericError(
            f"the network's scores of sample {int(np.argmin(good))} hold NaN or infinity",
            where=name,
            expected="finite scores",
            found=f"{int((~good).sum())} of {len(good)} samples with others",
            remedy="Check that the samples have the range that the network was trained on.",
        )
    return scores


def probabilities(scores: Floats) -> npt.NDArray[np.float64]:
    """Return scores as probabilities: as they are where they are that already, else softmax.

    Softmax takes logits and their logarithms of probabilities alike.
    """
    values = np.asarray(scores, np.float64)
    if (values >= 0).all() and (np.abs(values.sum(axis=1) - 1) < _NEAR).all():
        return values
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def class_count(graph: Graph) -> int:
    """Return how many classes a network tells apart.

    Raises:
        DataError: its output is not ``[n, classes]``.
    """
    shape = graph.value(graph.outputs[0]).shape
    if len(shape) != 2 or not isinstance(shape[1], int):
        raise DataError(
            "the network gives no scores of classes",
            where=f"{graph.name}/{graph.outputs[0]}",
            expected="an output [n, classes]",
            found=str(list(shape)),
        )
    return shape[1]


def checked_labels(dataset: Dataset | Inputs, graph: Graph) -> npt.NDArray[np.int64]:
    """Return the labels of a data set, which the network must have as classes.

    Raises:
        DataError: it has none, or other ones, or the network has no classes.
    """
    classes = class_count(graph)
    if dataset.labels is None:
        raise DataError(
            "accuracy needs labels", where=dataset.name, expected="samples with labels", found="none"
        )
    labels = np.asarray(dataset.labels)
    if labels.shape != (len(dataset),) or labels.dtype.kind not in "iu":
        raise DataError(
            "labels do not match the samples",
            where=dataset.name,
            expected=f"{len(dataset)} class numbers",
            found=f"{labels.dtype} {labels.shape}",
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            "labels are no classes of the network",
            where=dataset.name,
            expected=f"0 to {classes - 1}",
            found=f"{labels.min()} to {labels.max()}, the first at sample "
            f"{int(np.argmax((labels < 0) | (labels >= classes)))}",
            remedy="Check that these are the network's data, and that classes are counted from 0.",
        )
    return labels


def top(scores: Floats, labels: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.bool_]:
    """Return for each sample whether its class is among the `most` highest scores.

    Equal scores rank by class, so that every backend agrees.
    """
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    return np.asarray((ranked == labels[:, None]).any(axis=1))


def _in_blocks(graph: Graph, arrays: list[Array], run: Callable[..., tuple[Array, ...]]) -> list[Array]:
    """Return what `run` gives in blocks: of the batch that the network fixes, where the last is filled up."""
    batch, count = graph.value(graph.inputs[0]).shape[0], len(arrays[0])
    size = batch if isinstance(batch, int) else _BLOCK
    results: list[tuple[Array, ...]] = []
    for at in range(0, count, size):
        kept = min(size, count - at)
        missing = size - kept if isinstance(batch, int) else 0
        blocks = [_filled(array[at : at + size], missing) for array in arrays]
        found = run(*blocks)
        for name, output in zip(graph.outputs, found, strict=True):
            if output.ndim == 0 or len(output) != kept + missing:
                raise UnsupportedError(
                    "the network does not answer sample by sample",
                    where=f"{graph.name}/{name}",
                    expected=f"{kept + missing} outputs for {kept + missing} samples",
                    found=str(len(output) if output.ndim else 1),
                    remedy="Export the network with an open batch.",
                )
        results.append(tuple(output[:kept] for output in found))
    return [np.concatenate(parts) for parts in zip(*results, strict=True)]


def _filled(block: Array, missing: int) -> Array:
    return np.concatenate([block, np.repeat(block[-1:], missing, axis=0)]) if missing else block
