"""What the command line does, as functions: read, quantize, write, load, evaluate, predict, inspect."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from lowbit.budget import allowed
from lowbit.data import (
    Dataset,
    Framing,
    Inputs,
    NetworkInput,
    Normalize,
    inputs_of,
    read_inputs,
    remember_framing,
    remember_normalize,
    remembered_class_names,
    remembered_framing,
    remembered_normalize,
)
from lowbit.data import load as load_data
from lowbit.data.dataset import RESCALED, Choose
from lowbit.data.gathered import gathered, is_stream
from lowbit.engine import Program, give_back, kept_file
from lowbit.errors import DataError, PlanError, UsageError
from lowbit.fidelity import ENOUGH, Announce, Parts, Samples, fidelity, quantize_and_measure, require_measure
from lowbit.formats import check_target, is_foreign, is_program, own_operators, read_model, write_model
from lowbit.formats.input_shapes import Shapes, fixed_inputs
from lowbit.ir import Graph, verify
from lowbit.ir.layers import layers_of
from lowbit.ir.passes import has_affine_layers
from lowbit.quantization import Plan, Report, Unfinished, to_fixed_point
from lowbit.schemes import FixedPoint
from lowbit.scores import checked_labels, checked_scores, outputs_of, score, top
from lowbit.untrusted import require_writable

if TYPE_CHECKING:
    from lowbit.prediction import Prediction

Source = str | Path
Model = Any
"""A path, or an object that `lowbit.read` takes."""

Progress = Callable[[int, int, str], None]
Check = str | npt.ArrayLike | Dataset | bool | None
"""Samples that measure; None for those that can be spared, False for none."""

_log = logging.getLogger("lowbit")


_DECODED = "the network had 8 bits already; what was quantized are the numbers that its codes stand for"


@dataclass(frozen=True)
class QuantizedFile:
    """What `quantize_file` did.

    Attributes:
        report: of `quantize`.
        seconds: it took.
        bytes_before, bytes_after: of the files.
        notes: what the network's reader left out, and what was done to the samples.
        outside: values of the samples beyond the range of the network's input.
    """

    report: Report
    seconds: float
    bytes_before: int
    bytes_after: int
    notes: tuple[str, ...] = ()
    outside: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        sizes = {"bytes_before": self.bytes_before, "bytes_after": self.bytes_after, "seconds": self.seconds}
        samples = {"notes": list(self.notes), "outside": self.outside}
        return {**self.report.to_dict(), **sizes, **samples}


def read(source: Model, *, example: object = None, input_shapes: Shapes | None = None) -> Graph:
    """Return a network: of a file, or of an object that another package made.

    Args:
        source: the path of a file: ``.onnx``, ``.circle``, ``.tflite`` or the text form; or its bytes, an
            ``onnx.ModelProto``, a ``torch.nn.Module``, or a ``keras.Model``, by their own exporters.
        example: of a torch module: its input ``[1, …]`` as a tensor or array, or several in a tuple.
        input_shapes: lengths of inputs that an ONNX file leaves open: ``{"x": (1, 3, 224, 224)}``.

    Raises:
        FileError: the file is missing, damaged or unsafe.
        UnsupportedError: it uses what lowbit does not have, or what its exporter does not export.
        UsageError: it is no network, or a torch module without an example.
    """
    with fixed_inputs(input_shapes):
        if isinstance(source, str | os.PathLike):
            return read_model(Path(source))
        from lowbit.objects import graph_of

        return graph_of(source, example)


def _check_path(path: object, where: str, remedy: str) -> None:
    if not isinstance(path, str | os.PathLike):
        raise UsageError(
            "this is no path of a file",
            where=where,
            expected="str or os.PathLike",
            found=f"{type(path).__module__}.{type(path).__qualname__}",
            remedy=remedy,
        )


def write(graph: Graph, path: Source, *, form: str = "") -> None:
    """Write a network as ``.circle``, ``.onnx`` or text, whole or not at all.

    Args:
        graph: the network.
        path: its suffix names the format; ``.qdq.onnx`` and ``.qonnx.onnx`` are ONNX as other tools have it.
        form: the format, whatever the path is called: ``qdq``, ``qonnx``, ``onnx``, ``circle``, ``text``.

    Raises:
        UnsupportedError: the suffix is unknown, or the format cannot hold the network.
        UsageError: it is no network of lowbit, or no path.
        WriteError: the path cannot be written.
    """
    if not isinstance(graph, Graph):
        raise UsageError(
            "this is no network",
            where="write",
            expected="lowbit.Graph",
            found=type(graph).__qualname__,
            remedy="quantize returns a network and a report: small, report = lowbit.quantize(…).",
        )
    _check_path(path, "write", "Give the path of the file to write: write(graph, 'net.circle').")
    verify(graph)
    write_model(graph, Path(path), form)
    lacking = "" if form else own_operators(graph, path)
    if lacking:
        _log.warning("%s: %s", path, lacking)


def quantize(
    graph: Graph | Model,
    samples: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    *,
    bits: int | None = None,
    plan: Plan | None = None,
    scale: float | None = None,
    check: Check = None,
) -> tuple[Graph, Report]:
    """Return a low-bit network and a report, from a float network and unlabelled samples.

    Args:
        graph: the float network, or what `read` takes; a torch module is exported with the first sample.
        samples: not needed for fixed point throughout, such as ``Plan("fixed:6.7", "fixed:6.7")``;
            ``[n, ...]``, by the conventions of `lowbit.data.dataset`: floats as they are, bytes divided
            by 255, integers as they are where the network's own input takes them; then normalized as the
            network remembers. What was done is a line of the log ``lowbit``, and a warning for divided bytes.
            Or an iterator or data loader of such batches: no more of them are taken than calibrate and check.
        bits: for weights and activations, when there is no plan: 1 to 4 mean a learned basis, 5 to 8 affine.
        plan: everything else; see `lowbit.Plan`.
        scale: what the samples are multiplied by, instead of these conventions.
        check: samples, as above, that measure how near the low-bit network is to the float one. When None,
            samples that the plan does not use do; where it would use all of more than 256, one in eight does
            not calibrate but measures. False measures nothing.

    Raises:
        DataError: samples of another shape, layout or type than the network takes.
        NumericError: NaN or infinity in a sample, for calibration or check.
        PlanError: bits and a plan, or neither; or a plan that the network cannot have.
        TooLargeError: it would take more memory than `lowbit.budget` allows.
    """
    if (bits is None) == (plan is None):
        raise PlanError("say either bits or a plan", expected="quantize(graph, samples, bits=2)")
    if plan is not None and not isinstance(plan, Plan):
        raise PlanError(
            "this is no plan",
            where="plan",
            expected="lowbit.Plan",
            found=type(plan).__qualname__,
            remedy="Of a dictionary: Plan(**settings); of a file: Plan.read(path).",
        )
    chosen = Plan().adjusted(bits=bits) if plan is None and bits is not None else plan
    assert chosen is not None
    if is_stream(samples):
        names = graph.inputs if isinstance(graph, Graph) else ()
        samples = gathered(
            cast("Iterable[Any]", samples), chosen.samples + max(chosen.samples, ENOUGH), names
        )
    network = graph if isinstance(graph, Graph) else read(graph, example=_first(graph, samples))
    kept = _check_samples(network, check, None, scale)
    parts = Parts(chosen, kept)
    given = None if samples is None else _plain(load_inputs(network, samples, scale=scale, choose=parts))
    return quantize_and_measure(network, given, chosen, kept, parts=parts)


def quantize_file(
    source: Source,
    target: Source,
    data: str | npt.ArrayLike | Mapping[str, npt.ArrayLike] | None,
    plan: Plan,
    *,
    split: str = "train",
    normalize: Normalize = None,
    scale: float | None = None,
    framing: Framing | None = None,
    check: Check = None,
    strict: bool = False,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> QuantizedFile:
    """Quantize a file into a file; see `quantize`.

    Interrupted, it leaves `target` with ``.partial`` behind, and goes on with that when it is called again;
    that file is taken away in the end.

    Args:
        source, target: the files.
        data, split, normalize, scale: the samples, see `load_samples`; no data for fixed point throughout.
        framing: how pictures become the size that the network takes; the target remembers it.
        plan: what to do.
        check: as of `quantize`, or the name or path of data, whose test samples are taken.
        strict: whether it is an error that nothing can be measured.
        progress: called with layers done, layers in all, and the next layer's name.
        announce: called with what it will take (`lowbit.quantization.Estimate`), before it starts.

    Raises:
        DataError: with `strict`, there are no samples to measure with; or an interrupted run is kept of
            another network, plan or samples. Nothing has been done.
        UnsupportedError: the target cannot hold the network; nothing has been done.
        WriteError: the target cannot be written; nothing has been done.
    """
    start = time.perf_counter()
    graph = read(source)
    check_target(graph, target)
    require_writable(target)
    if plan.sums == "auto" and is_foreign(target):
        plan = plan.adjusted(sums="real")
    checked = _check_samples(graph, check, normalize, scale, framing)
    parts = Parts(plan, checked)
    dataset = None if data is None else load_inputs(graph, data, split, normalize, scale, framing, parts)
    if strict and dataset is not None:
        require_measure(dataset.name, parts.count or len(dataset), plan, checked)
    samples = None if dataset is None else _plain(dataset)
    state = Unfinished(Path(target))
    try:
        result, report = quantize_and_measure(graph, samples, plan, checked, progress, state, parts, announce)
    except KeyboardInterrupt:
        if state.write():
            _log.warning("%s keeps what is done; the same command goes on with it", state.path)
        raise
    remember_normalize(result, normalize)
    remember_framing(result, framing)
    write(result, target)
    state.remove()
    seconds = time.perf_counter() - start
    sizes = Path(source).stat().st_size, Path(target).stat().st_size
    said, outside = ((), 0) if dataset is None else (dataset.notes, dataset.outside)
    own = own_operators(result, target)
    decoded = _DECODED if has_affine_layers(graph) else ""
    resumed = f"{state.resumed} layers were kept of an interrupted run" if state.resumed else ""
    notes = (*graph.notes, *said, *filter(None, (decoded, own, resumed)))
    return QuantizedFile(report, seconds, *sizes, notes, outside)


def fixed_point_file(
    source: Source,
    target: Source,
    encoding: FixedPoint,
    *,
    check: Check = None,
    normalize: Normalize = None,
    scale: float | None = None,
) -> dict[str, Any]:
    """Write a float network of a file in fixed point, by rounding alone; no samples are needed.

    Args:
        source, target: the files.
        encoding: of all numbers.
        check, normalize, scale: samples that measure it, as of `quantize_file`; None measures nothing.

    Returns:
        ``layers`` (``name``, ``scheme``, ``weight_bits``, ``activation_bits``), ``bytes_before``,
        ``bytes_after``, ``seconds``, and ``agreement``, ``output_snr_db`` and ``checked``, as of
        `lowbit.quantization.Report`.

    Raises:
        NumericError: a constant is beyond the format.
        WriteError: the target cannot be written; nothing has been done.
    """
    start = time.perf_counter()
    graph = read(source)
    kept = _check_samples(graph, check, normalize, scale)
    require_writable(target)
    result = to_fixed_point(graph, encoding.integer_bits, encoding.fraction_bits, encoding.rounding)
    write(result, target)
    report = Report((), 0, 0.0)
    if isinstance(kept, np.ndarray | Mapping):
        report = fidelity(graph, result, kept).added_to(report)
    layers = [
        {
            "name": layer.name,
            "scheme": str(encoding),
            "weight_bits": layer.weight_bits,
            "activation_bits": layer.activation_bits,
        }
        for layer in layers_of(result)
    ]
    sizes = {"bytes_before": Path(source).stat().st_size, "bytes_after": Path(target).stat().st_size}
    measured = {name: getattr(report, name) for name in ("agreement", "output_snr_db", "checked")}
    return {"layers": layers, **sizes, "seconds": time.perf_counter() - start, **measured}


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


def load_samples(
    graph: Graph,
    data: str | npt.ArrayLike | Dataset,
    split: str = "test",
    normalize: Normalize = None,
    scale: float | None = None,
    framing: Framing | None = None,
    choose: Choose | None = None,
) -> Dataset:
    """Return data as a network takes it: its shape and type, normalized as its file remembers.

    Args:
        graph: the network.
        data: a name, a path, an array, or a data set, which is neither scaled nor normalized again.
        split: train or test.
        normalize: instead of what the file remembers.
        scale: what every number is multiplied by, instead of the conventions of `lowbit.data.dataset`.
        framing: how pictures become the size that it takes, instead of what the file remembers.
        choose: which samples are wanted, where not all are; see `lowbit.data.load`.

    Raises:
        DataError: samples do not fit the network.
        NumericError: NaN or infinity in a sample.
        ModelFormatError: what the network's file remembers is not understood.
    """
    network = NetworkInput.of(graph)
    if isinstance(data, Dataset):
        dataset = data.fit_to(network)
    else:
        chosen = remembered_normalize(graph, normalize)
        frame = remembered_framing(graph, framing) if isinstance(data, str | os.PathLike) else framing
        dataset = load_data(
            data, split, normalize=chosen, scale=scale, network=network, framing=frame, choose=choose
        ).numbered_as(remembered_class_names(graph))
    callers = not isinstance(data, str | Dataset)
    for note in dataset.notes:
        level = logging.WARNING if callers and note.startswith(RESCALED) else logging.INFO
        _log.log(level, "%s: %s", dataset.name, note)
    if dataset.outside:
        _log.warning("%s: %d values are beyond the network's range", dataset.name, dataset.outside)
    return dataset


def load_inputs(
    graph: Graph,
    data: str | npt.ArrayLike | Dataset | Mapping[str, npt.ArrayLike],
    split: str = "test",
    normalize: Normalize = None,
    scale: float | None = None,
    framing: Framing | None = None,
    choose: Choose | None = None,
) -> Inputs:
    """Return data as a network takes it: an array for each input, in its shape and type.

    Args:
        graph: the network.
        data: of one input as for `load_samples`; of several a dictionary of arrays by their names, with
            ``labels`` where there are any, a tuple of arrays in the order of the graph, or an ``.npz``.
        split, normalize, scale, framing, choose: of one input; arrays of several are taken as they are.

    Raises:
        DataError: samples do not fit the network, naming the input.
        NumericError: NaN or infinity in a sample.
        ModelFormatError: what the network's file remembers is not understood.
    """
    if len(graph.inputs) < 2 and not isinstance(data, Mapping):
        return inputs_of(graph, load_samples(graph, data, split, normalize, scale, framing, choose))
    if normalize is not None or scale is not None:
        raise DataError(
            "arrays of several inputs are taken as they are",
            where=graph.name,
            expected="neither normalize nor scale",
            found="normalize" if normalize is not None else "scale",
            remedy="Give the numbers that the network takes.",
        )
    if isinstance(data, str | os.PathLike):
        return read_inputs(graph, data)
    return inputs_of(graph, data)


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


def _first(model: object, samples: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None) -> object:
    """Return the first sample, which shows an exporter what a network takes; a file needs none."""
    if samples is None or isinstance(model, str | os.PathLike):
        return None
    if isinstance(samples, Mapping):
        return tuple(np.asarray(array)[:1] for array in samples.values())
    return np.asarray(samples)[:1].astype(np.float32)


def _check_samples(
    graph: Graph, check: Check, normalize: Normalize, scale: float | None, framing: Framing | None = None
) -> Samples | bool | None:
    """Return the samples that somebody gave to measure with; None or False as it was said."""
    if check is None or check is False:
        return check
    if check is True:
        raise DataError("say which samples measure", where="check", expected="samples, None or False")
    return _plain(load_inputs(graph, check, "test", normalize, scale, framing))


def _plain(inputs: Inputs) -> Samples:
    """Return the array of one input of reals, or the arrays of several by name."""
    (first, *others) = inputs.arrays.values()
    return np.asarray(first, np.float32) if not others and first.dtype == np.float32 else inputs.arrays
