"""Float networks become low-bit ones: in memory, or from file to file."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from lowbit.calls.files import Model, Source, read, write
from lowbit.calls.samples import load_inputs
from lowbit.data import (
    Dataset,
    Framing,
    Inputs,
    Normalize,
    remember_framing,
    remember_normalize,
)
from lowbit.data.gathered import gathered, is_stream
from lowbit.errors import DataError, PlanError
from lowbit.fidelity import ENOUGH, Announce, Parts, Samples, fidelity, quantize_and_measure, require_measure
from lowbit.formats import check_target, is_foreign, own_operators
from lowbit.ir import Graph
from lowbit.ir.layers import layers_of
from lowbit.ir.passes import has_affine_layers
from lowbit.quantization import Plan, Report, Unfinished, to_fixed_point
from lowbit.schemes import FixedPoint
from lowbit.untrusted import require_writable

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
