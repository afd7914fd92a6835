"""What commands say of a network, as one call each, in what one has at hand: files or graphs, data by name.

    lowbit analyze      lowbit.analyze(net, against="float.onnx", data="digits")
    lowbit bench        lowbit.compare_speed(net, "float.onnx")
    lowbit inspect      lowbit.inspect(net)
    lowbit plan         lowbit.plan_ahead("float.onnx", "digits", targets=["cpu", "c99:flash=64K"])
    lowbit predict      lowbit.predict(net, data="digits", index=3)
    lowbit report       lowbit.write_report(net, "digits", "report.html", against="float.onnx")
    lowbit sweep        lowbit.try_settings("float.onnx", "mnist", weights=["lq:1", "lq:2"])
    lowbit verify       lowbit.verify(net, "digits")

Where a package has a command's name (`lowbit.bench`, `lowbit.plan`, `lowbit.report`, `lowbit.sweep`), the
call has another: one name is one thing, whatever was imported before.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from lowbit import api
from lowbit.analysis import LayerSummary, summarize
from lowbit.bench import compare as compare_speed
from lowbit.data import Normalize, load, remembered_normalize
from lowbit.errors import UsageError
from lowbit.forecast import forecast as plan_ahead
from lowbit.ir import Graph
from lowbit.report import examine
from lowbit.report.findings import Findings
from lowbit.sweep import Sweep, grid, pairs, sweep
from lowbit.verification import verify

__all__ = ["analyze", "compare_speed", "plan_ahead", "try_settings", "verify", "write_report"]

Network = Graph | str | PathLike[str]


def analyze(
    network: Network,
    against: Network | None = None,
    data: Any = None,
    *,
    samples: int = 200,
    split: str = "test",
    normalize: Normalize = None,
    batch: int = 1,
) -> tuple[LayerSummary, ...]:
    """Return layer by layer what a network holds and moves, and what it lost of the float one.

    Args:
        network: a file, or a graph.
        against: the float network that it was made of.
        data, split, normalize: samples to compare outputs over, as of `lowbit.api.load_inputs`.
        samples: at most so many of them.
        batch: samples per call, for the bytes moved.

    Raises:
        DataError: samples do not fit, or the networks have nothing in common.
        FileError: a file cannot be read.
    """
    graph, x = _graph(network), None
    if data is not None:
        inputs = api.load_inputs(graph, data, split, normalize)
        x = [array[:samples] for array in inputs.arrays.values()]
    return summarize(graph, None if against is None else _graph(against), x, batch=batch)


def write_report(
    network: str | PathLike[str],
    data: Any,
    output: str | PathLike[str] = "report.html",
    *,
    against: str | PathLike[str] | None = None,
    split: str = "test",
    normalize: Normalize = None,
    labels: bool = True,
) -> Findings:
    """Write one page of what there is to say of a low-bit network, and return what was found.

    Args:
        network, against: files of the low-bit network and of the float one that it came from.
        data, split, normalize: labelled samples.
        output: the ``.html`` to write.
        labels: False for data without labels: accuracy is left out.

    Raises:
        DataError: samples or labels do not fit the network, or there are no labels.
        WriteError: the page cannot be written.
    """
    beside = None if against is None else Path(against)
    found = examine(Path(network), data, against=beside, split=split, normalize=normalize, labels=labels)
    found.write(Path(output))
    return found


def try_settings(
    network: Network,
    data: str,
    *,
    weights: Sequence[str],
    activations: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    samples: int = 1024,
    limit: int | None = None,
    split: str = "test",
    normalize: Normalize = None,
) -> Sweep:
    """Return what every pair of encodings makes of a float network: accuracy, bytes, divergence of weights.

    Args:
        network: a file, or a graph.
        data: a data set with labels by name or path; its training samples calibrate.
        weights, activations: specifications, each of one beside each of the other; the same when not said.
        seeds: of calibration.
        samples: that calibrate.
        limit: count over at most so many of the split.
        normalize: else what the network remembers.

    Raises:
        DataError: labels or samples are missing or do not fit.
        UsageError: no weights.
    """
    if not weights:
        raise UsageError("there is nothing to try", where="weights", expected="such as ['lq:1', 'lq:2']")
    graph = _graph(network)
    chosen = remembered_normalize(graph, normalize)
    settings = tuple(
        dict.fromkeys(
            setting
            for scheme, bits, rounding in pairs(list(weights), list(activations))
            for setting in grid([scheme], [bits], [rounding] if rounding else None, list(seeds))
        )
    )
    dataset = load(data, split=split, limit=limit, normalize=chosen)
    calibrated = any(setting.seed is not None for setting in settings)
    calibration = load(data, split="train", normalize=chosen) if calibrated else None
    return sweep({graph.name: graph}, settings, dataset, calibration, samples=samples)


def _graph(network: Network) -> Graph:
    return network if isinstance(network, Graph) else api.read(network)
