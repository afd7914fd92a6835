"""What becomes of one file: read, run beside its own runtime, quantized, and what is in the way."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import lowbit
from lowbit.backends import BACKENDS
from lowbit.blockers import Blocker, listed
from lowbit.data import NetworkInput, load
from lowbit.errors import LowbitError
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.plan import Plan
from tests.corpus.page import CLOSE
from tests.corpus.runtimes import Run, Sizes, own_run, values

SEED = 20261129
SAMPLES, FEW = 32, 8
LEAST = 0.01  # what smaller outputs are compared with: of shares near nothing all digits are rounding
LARGE = 8 << 20  # bytes of constants: networks with more are calibrated by few samples
PLANS = {8: "affine:8", 4: "lq:4"}


@dataclass
class Quantized:
    """One quantized copy.

    Attributes:
        agreement: share of samples that did not calibrate whose largest output is that of the float network.
        signal_db: signal to noise against the float network, on the same.
        size: bytes of the ``.circle`` file.
        cpu_s: of quantizing.
        how: samples that calibrated, and the method.
        problem: why there is none.
    """

    agreement: float | None = None
    signal_db: float | None = None
    size: int | None = None
    cpu_s: float | None = None
    how: str = ""
    problem: str = ""


@dataclass
class Trial:
    """What became of a file.

    Attributes:
        own: why its own runtime does not run it; such a file counts for nothing.
        reads: whether it was read.
        coded: whether it has codes: runtimes differ in their last rounding, and LiteRT rounds real
            activations as well where weights alone are codes.
        engine: largest difference from its own runtime, relative to the largest output.
        spread: the same between kernels that its runtime chooses and its plain ones, where `engine` is far.
        reference: the same of the reference, where the engine does not run it.
        problems: what is in the way, by what was tried.
    """

    own: str = ""
    reads: bool = False
    coded: bool = False
    engine: float | None = None
    spread: float | None = None
    reference: float | None = None
    problems: dict[str, str] = field(default_factory=dict)


def tried(path: Path, sizes: Sizes) -> dict[str, Any]:
    """Return what becomes of a file in float, JSON-ready."""
    trial = Trial()
    try:
        run = own_run(path, SEED, sizes)
    except Exception as error:  # whatever a foreign runtime raises
        trial.own = _said(error)
        return asdict(trial)
    try:
        graph = _read(path, run)
    except Exception as error:
        trial.problems["read"] = _said(error)
        return asdict(trial)
    trial.reads, trial.coded = True, run.coded or any(value.encoding for value in graph.values.values())
    for name in ("engine", "reference"):
        _compare(trial, name, graph, run)
        if trial.engine is not None:
            break
    if trial.engine is not None and trial.engine > CLOSE:
        plain = own_run(path, SEED, sizes, plain=True)
        trial.spread = difference(graph, [plain.outputs[name] for name in run.outputs], run)
    return asdict(trial)


def quantized(path: Path, sizes: Sizes, bits: int) -> dict[str, Any]:
    """Return what becomes of a file at these bits, JSON-ready."""
    result = Quantized()
    try:
        run = own_run(path, SEED, sizes)
        _quantize(result, _read(path, run), run, bits)
    except Exception as error:  # a fault of ours is a row, and others are still tried
        result.problem = _said(error)
    return asdict(result)


def _read(path: Path, run: Run) -> Graph:
    return lowbit.read(path, input_shapes={name: array.shape for name, array in run.inputs.items()})


def _compare(trial: Trial, name: str, graph: Graph, run: Run) -> None:
    blocked = BACKENDS[name].blockers(graph)
    if blocked:
        trial.problems[name] = listed(blocked)
        return
    try:
        ours = BACKENDS[name].load(graph).run(*fed(graph, run.inputs))
        setattr(trial, name, difference(graph, ours, run))
    except Exception as error:
        trial.problems[name] = _said(error)


def fed(graph: Graph, given: Mapping[str, Array]) -> list[Array]:
    """Return the inputs that a graph takes, as it takes them."""
    names = graph.inputs if set(graph.inputs) <= set(given) else [*given]
    return [_as(graph, ours, given[theirs]) for ours, theirs in zip(graph.inputs, names, strict=False)]


def _as(graph: Graph, name: str, array: Array) -> Array:
    value = graph.value(name)
    shape = tuple(int(length) for length in value.shape if isinstance(length, int))
    if array.ndim == 4 and shape[-3:] != array.shape[-3:] and shape[-3:] == _channels_first(array):
        array = array.transpose(0, 3, 1, 2)
    if (
        array.dtype.kind in "iu" and value.dtype == "float32"
    ):  # what integers stand for is lowbit's own to say
        return load(array, network=NetworkInput.of(graph)).samples
    return np.asarray(array, np.float32 if value.dtype == "float32" else array.dtype, order="C")


def _channels_first(array: Array) -> tuple[int, ...]:
    return (array.shape[3], *array.shape[1:3])


def difference(graph: Graph, ours: Sequence[Array], run: Run) -> float:
    """Return the largest difference of outputs, relative to the largest number of each, or `LEAST`."""
    named = set(graph.outputs) <= set(run.outputs)
    theirs = [run.outputs[name] for name in graph.outputs] if named else [*run.outputs.values()]
    worst = 0.0
    for found, wanted in zip(ours, theirs, strict=True):
        exact = np.asarray(wanted, np.float64)
        apart = np.abs(np.asarray(found, np.float64).reshape(exact.shape) - exact)
        worst = max(worst, float(apart.max(initial=0) / max(np.abs(exact).max(initial=0), LEAST)))
    return worst


def _quantize(result: Quantized, graph: Graph, run: Run, bits: int) -> None:
    size = sum(value.data.nbytes for value in graph.values.values() if value.data is not None)
    count = FEW if size > LARGE else SAMPLES
    random = np.random.default_rng(SEED)
    drawn = [
        fed(
            graph,
            {name: values(name, each.shape, each.dtype.name, random) for name, each in run.inputs.items()},
        )
        for _ in range(2 * count)
    ]
    rows = [np.concatenate(parts) for parts in zip(*drawn, strict=True)]
    samples = {name: row[:count] for name, row in zip(graph.inputs, rows, strict=True)}
    plan = Plan(PLANS[bits], PLANS[bits], **({"method": "rtn"} if size > LARGE else {}))
    result.how = f"{count} samples" + (", to nearest" if size > LARGE else "")
    started = time.process_time()
    low, _ = lowbit.quantize(graph, samples, plan=plan, check=False)
    result.cpu_s = round(time.process_time() - started, 2)
    exact, found = (_outputs(each, rows, count) for each in (graph, low))
    noise = float(np.square(found - exact).mean())
    result.signal_db = round(10 * float(np.log10(np.square(exact).mean() / noise)), 2) if noise else None
    axis = 1 if exact.ndim == 4 else -1
    result.agreement = round(float((found.argmax(axis) == exact.argmax(axis)).mean()), 4)
    with TemporaryDirectory() as folder:
        lowbit.write(low, Path(folder) / "low.circle")
        result.size = (Path(folder) / "low.circle").stat().st_size


def _outputs(graph: Graph, rows: Sequence[Array], first: int) -> Array:
    """Return the first output of the samples from the first on, one after another."""
    run: Callable[..., tuple[Array, ...]] = BACKENDS["engine"].load(graph).run
    made = [run(*(row[at : at + 1] for row in rows))[0] for at in range(first, len(rows[0]))]
    return np.asarray(np.concatenate(made), np.float64)


def _said(error: Exception) -> str:
    blockers: Sequence[Blocker] = error.blockers if isinstance(error, LowbitError) else ()
    return listed(blockers) if blockers else f"{type(error).__name__}: {error}"[:600]
