"""What a network says of samples: its scores, by the engine where that runs it, and as probabilities."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.data import Dataset, NetworkInput
from lowbit.engine import Program, check_threads
from lowbit.errors import DataError, LowbitError, NumericError, PlanError, TooLargeError, UnsupportedError
from lowbit.ir import Graph, evaluate

Floats = npt.NDArray[np.float32]

_BLOCK = 1000  # samples at a time
_NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of samples.

    Attributes:
        values: float32 ``[n, classes]``.
        backend: ``engine`` or ``reference``.
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


def score(graph: Graph, samples: Floats, backend: str = "auto", threads: int = 1) -> Scores:
    """Return the network's scores, or whatever else its first output is.

    Args:
        graph: with one input.
        samples: as the network takes them, finite.
        backend: ``engine``, ``reference``, or ``auto``: the reference only where the engine cannot.
        threads: of the engine.

    Raises:
        EngineError: the engine was asked for and does not run it, or an impossible number of threads.
        TooLargeError: it would take more than the memory budget.
        DataError: samples of another shape.
        NumericError: a sample holds NaN or infinity, of which a network makes numbers like any other.
        PlanError: another backend.
    """
    if backend not in ("auto", "engine", "reference"):
        raise PlanError("unknown backend", expected="auto, engine or reference", found=repr(backend))
    check_threads(threads)
    samples = Dataset(samples, None, graph.name).fit_to(NetworkInput.of(graph)).samples
    why = ""
    if backend != "reference":
        try:
            program = Program(graph, threads=threads)
        except LowbitError as error:
            if backend == "engine" or isinstance(error, TooLargeError):
                raise
            why = error.facts
        else:
            return Scores(_by_engine(program, graph, samples), "engine")
    return Scores(_by_reference(graph, samples), "reference", why)


def outputs_of(
    graph: Graph, samples: Floats, backend: str = "auto", threads: int = 1
) -> dict[str, npt.NDArray[np.generic]]:
    """Return all outputs of a network by name; the engine alone gives one. The rest is as for `score`."""
    if len(graph.outputs) == 1 or backend == "engine":
        return {graph.outputs[0]: score(graph, samples, backend, threads).values}
    parts = []
    for name in graph.outputs:
        part = graph.copy()
        part.outputs = (name,)
        part.remove_unused()
        parts.append((name, score(part, samples, backend, threads).values))
    return dict(parts)


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


def checked_labels(dataset: Dataset, graph: Graph) -> npt.NDArray[np.int64]:
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


def _by_engine(program: Program, graph: Graph, samples: Floats) -> Floats:
    # Aligned too: what a cluster's worker receives may begin anywhere.
    return _in_blocks(graph, samples, lambda block: program.run(np.require(block, np.float32, ("C", "A"))))


def _by_reference(graph: Graph, samples: Floats) -> Floats:
    name, output = graph.inputs[0], graph.outputs[0]
    return _in_blocks(graph, samples, lambda block: np.asarray(evaluate(graph, {name: block})[output]))


def _in_blocks(graph: Graph, samples: Floats, run: Callable[[Floats], Floats]) -> Floats:
    """Return what `run` gives in blocks: of the batch that the network fixes, where the last is filled up."""
    batch = graph.value(graph.inputs[0]).shape[0]
    size = batch if isinstance(batch, int) else _BLOCK
    results = []
    for at in range(0, len(samples), size):
        block = samples[at : at + size]
        missing = size - len(block) if isinstance(batch, int) else 0
        full = np.concatenate([block, np.repeat(block[-1:], missing, axis=0)]) if missing else block
        found = run(full)
        if len(found) != len(full):
            raise UnsupportedError(
                "the network does not answer sample by sample",
                where=f"{graph.name}/{graph.outputs[0]}",
                expected=f"{len(full)} outputs for {len(full)} samples",
                found=str(len(found)),
                remedy="Export the network with an open batch.",
            )
        results.append(found[: len(block)])
    return np.concatenate(results)
