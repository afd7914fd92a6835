"""What networks say: run, evaluated, of one picture, and what a file holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from lowbit.budget import allowed
from lowbit.calls.files import Model, Source, read
from lowbit.calls.samples import load_inputs
from lowbit.data import (
    Dataset,
    Framing,
    Normalize,
    remembered_normalize,
)
from lowbit.engine import Program, give_back, kept_file
from lowbit.errors import DataError
from lowbit.formats import is_program
from lowbit.ir import Graph
from lowbit.scores import checked_labels, checked_scores, outputs_of, score, top

if TYPE_CHECKING:
    from lowbit.prediction import Prediction


def load(
    model: Graph | Model,
    *,
    example: object = None,
    threads: int = 1,
    path: str = "",
    memory: str | int | None = None,
    pin_workers: bool = False,
) -> Program:
    """Return a network ready to run in the engine.

    ``load(path).run(x)`` takes float32 ``[n, ...]`` as the network does and returns its output.

    Args:
        model: a network, or what `read` takes; or a ``.lbp``, which ``lowbit compile`` wrote.
        example: of a torch module's input; see `read`.
        threads: that share a call.
        path: how layers of low bits multiply where they can, such as ``popcount`` or ``dot``; the cheapest
            of each when empty. The integers are the same.
        memory: the most that it may take: bytes, or ``"8G"``; else what `LOWBIT_MEMORY` says.
        pin_workers: keep worker threads off the caller's processor; see `lowbit.engine.Program`.

    Raises:
        EngineError: the engine does not run it, or this machine lacks the path.
        TooLargeError: it would take more memory than it may.
    """
    options: dict[str, Any] = {"threads": threads, "path": path, "memory": memory, "pin_workers": pin_workers}
    with allowed(memory):
        if isinstance(model, Graph):
            return Program(model, **options)
        program = _opened(model, example, options)
    give_back(program)
    return program


def _opened(model: Model, example: object, options: dict[str, Any]) -> Program:
    """Return the program of a file or of another package's network; what it was read into is free then."""
    if is_program(model):
        return Program.open(model, **options)
    kept = kept_file(model)  # before it is read
    program = Program(read(model, example=example), **options)
    if kept is not None:
        program.keep(kept)
    return program


def evaluate(
    model: Graph | Source,
    data: str | npt.ArrayLike | Dataset | Mapping[str, npt.ArrayLike],
    *,
    split: str = "test",
    backend: str = "auto",
    threads: int = 1,
    normalize: Normalize = None,
    scale: float | None = None,
    framing: Framing | None = None,
) -> dict[str, Any]:
    """Return how often a network is right.

    Returns:
        ``samples``, ``top1`` and ``top5`` (fractions; top5 is None below six classes), ``backend`` (what ran
        it), ``notes`` (what was left out of the network and done to the samples, and why it was not the
        engine) and ``outside`` (values beyond its input's range).

    Raises:
        DataError: samples do not fit, have no labels, or labels that are no classes of the network.
        NumericError: NaN or infinity in a sample or in the scores.
        PlanError: an unknown backend.
    """
    graph = model if isinstance(model, Graph) else read(model)
    dataset = load_inputs(graph, data, split, normalize, scale, framing)
    labels = checked_labels(dataset, graph)
    found = score(graph, dataset.arrays, backend, threads)
    scores = checked_scores(found.values, dataset.name)
    top5 = float(top(scores, labels, 5).mean()) if scores.shape[1] > 5 else None
    right = {"samples": len(labels), "top1": float(top(scores, labels, 1).mean()), "top5": top5}
    others = ", ".join(graph.outputs[1:])
    said = (f"scores are the output {graph.outputs[0]}; not judged: {others}",) if others else ()
    notes = [*graph.notes, *said, *dataset.notes, *found.notes]
    return {**right, "backend": found.backend, "notes": notes, "outside": dataset.outside}


def predict(
    model: Source,
    *,
    picture: Source | None = None,
    data: str | None = None,
    index: int = 0,
    against: Source | None = None,
    classes: tuple[str, ...] = (),
    crop: tuple[int, int, int, int] | None = None,
    invert: bool = False,
    split: str = "test",
    normalize: Normalize = None,
    scale: float | None = None,
) -> "Prediction":
    """Return the class probabilities of a photograph, or of a sample of a data set.

    Args:
        model: the network's file.
        picture: a photograph, cropped to its middle and made as small as the network takes it; or
        data, index, split: a sample of a data set.
        against: the float network, to set beside it.
        classes: names; those of the data set, or numbers, when not given.
        crop: the part of the photograph that is meant: left and top edge, width and height, in pixels.
        invert: make black of a photograph white.
        normalize: else what the file remembers.
        scale: what the numbers are multiplied by, instead of the conventions of `lowbit.data.dataset`.

    Raises:
        FileError: a file is no picture or no network, damaged or too large.
        DataError: a picture and data, or neither; samples or classes that do not match.
        NumericError: NaN or infinity in the sample or in the scores.
    """
    from lowbit.prediction import predict as predict_sample
    from lowbit.prediction import sample_of_data, sample_of_picture

    graph = read(model)
    chosen = remembered_normalize(graph, normalize)
    if picture is not None and data is None:
        sample = sample_of_picture(
            Path(picture), graph, normalize=chosen, scale=scale, crop=crop, invert=invert
        )
    elif data is not None and picture is None:
        sample = sample_of_data(data, index, graph, split=split, normalize=chosen, scale=scale)
    else:
        raise DataError("say either a picture or data", expected="predict(model, picture=…)")
    beside = None if against is None else read(against)
    return predict_sample(graph, sample, against=beside, classes=classes)


def run_file(
    model: Source,
    data: str,
    target: Source,
    *,
    split: str = "test",
    backend: str = "auto",
    threads: int = 1,
    normalize: Normalize = None,
    scale: float | None = None,
) -> dict[str, Any]:
    """Write the network's outputs for samples as ``.npz``.

    Returns:
        ``arrays`` (the shape of each), ``notes`` and ``outside`` as of `evaluate`.

    Raises:
        DataError: samples do not fit.
        NumericError: NaN or infinity in a sample.
        PlanError: an unknown backend.
    """
    from lowbit.data import write_npz

    graph = read(model)
    dataset = load_inputs(graph, data, split, normalize, scale)
    arrays = outputs_of(graph, dataset.arrays, backend, threads)
    write_npz(arrays, Path(target))
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    return {"arrays": shapes, "notes": [*graph.notes, *dataset.notes], "outside": dataset.outside}


def inspect(model: Source, *, verify: bool = False) -> dict[str, Any]:
    """Return whether a file's network works, its layers and encodings, and the table of bytes.

    Returns:
        ``format``, ``inputs`` and ``outputs`` (``name, dtype, shape``), ``operators`` (counts, in the file's
        own words), ``targets`` (``name, about, works, blockers`` of every back end and file format, each
        blocker with ``operator, what, nodes, count, expected, found, remedy``), ``quantization``
        (``possible``, ``why`` not, ``layers`` with ``name, operator, weights, why`` it stays as it is),
        ``bytes``, ``hashed`` (whether files of its format have a hash), ``layers`` (``name, scheme,
        weight_bits, activation_bits, bytes``), ``table`` (``name, what, bytes``), whose bytes add up to the
        file's, ``memory`` (bytes of ``constants`` and ``arena`` that the engine takes, those ``allowed``, or
        ``why`` it does not run it), and ``notes`` (what was left out).

    Raises:
        ModelFormatError: with ``verify``, a hash does not match.
        LowbitError: it is not read; what is in the way is in ``blockers``, if there are several things.
    """
    from lowbit.inspection import inspect_file

    return inspect_file(Path(model), verify=verify)
