"""What becomes of one file: read, run beside its own runtime, quantized, and what is in the way.

usage: python -m tests.corpus.trial FILE [NAME=LENGTH …]        one line of JSON
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import lowbit
from lowbit.backends import BACKENDS
from lowbit.errors import LowbitError
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from tests.corpus.runtimes import Run, Sizes, own_run

SEED = 20261129
SAMPLES = 16
BITS = (8, 4)


@dataclass
class Quantized:
    """One quantized copy.

    Attributes:
        signal_db: signal to noise against the float network, on samples that did not calibrate.
        size: bytes of the ``.circle`` file.
        cpu_s: of quantizing.
        problem: why there is none.
    """

    signal_db: float | None = None
    size: int | None = None
    cpu_s: float | None = None
    problem: str = ""


@dataclass
class Trial:
    """What became of a file.

    Attributes:
        sha256: of the file.
        own: why its own runtime does not run it; such a file counts for nothing.
        reads: whether it was read.
        reference, engine: largest difference from its own runtime, relative to the largest output.
        quantized: by bits.
        problems: what is in the way, by what was tried.
    """

    sha256: str
    own: str = ""
    reads: bool = False
    reference: float | None = None
    engine: float | None = None
    quantized: dict[int, Quantized] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def tried(path: Path, sizes: Sizes) -> Trial:
    """Return what becomes of a file."""
    trial = Trial(sha256(path.read_bytes()).hexdigest())
    try:
        run = own_run(path, SEED, sizes)
    except Exception as error:  # whatever a foreign runtime raises
        trial.own = _said(error)
        return trial
    try:
        graph = lowbit.read(path, input_shapes={name: array.shape for name, array in run.inputs.items()})
    except LowbitError as error:
        trial.problems["read"] = _said(error)
        return trial
    trial.reads = True
    for name in ("reference", "engine"):
        _compare(trial, name, graph, run)
    for bits in BITS:
        trial.quantized[bits] = _quantized(graph, bits)
    return trial


def _compare(trial: Trial, name: str, graph: Graph, run: Run) -> None:
    blocked = BACKENDS[name].blockers(graph)
    if blocked:
        trial.problems[name] = "; ".join(str(each) for each in blocked)
        return
    try:
        ours = BACKENDS[name].load(graph).run(*fed(graph, run))
        setattr(trial, name, difference(graph, ours, run))
    except Exception as error:  # a fault of ours is a row, and the others are still tried
        trial.problems[name] = _said(error)


def fed(graph: Graph, run: Run) -> list[Array]:
    """Return the inputs that a graph takes of a run, as it takes them."""
    inputs = dict(run.inputs)
    names = graph.inputs if set(graph.inputs) <= set(inputs) else [*inputs]
    return [_as(graph, ours, inputs[theirs]) for ours, theirs in zip(graph.inputs, names, strict=False)]


def _as(graph: Graph, name: str, array: Array) -> Array:
    value = graph.value(name)
    shape = tuple(int(length) for length in value.shape if isinstance(length, int))
    if array.ndim == 4 and shape[-3:] != array.shape[-3:] and shape[-3:] == _channels_first(array):
        array = array.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(array, np.float32 if value.dtype == "float32" else array.dtype)


def _channels_first(array: Array) -> tuple[int, ...]:
    return (array.shape[3], *array.shape[1:3])


def difference(graph: Graph, ours: Sequence[Array], run: Run) -> float:
    """Return the largest difference of outputs, relative to the largest number of each."""
    named = set(graph.outputs) <= set(run.outputs)
    theirs = [run.outputs[name] for name in graph.outputs] if named else [*run.outputs.values()]
    worst = 0.0
    for found, wanted in zip(ours, theirs, strict=True):
        exact = np.asarray(wanted, np.float64)
        apart = np.abs(np.asarray(found, np.float64).reshape(exact.shape) - exact)
        worst = max(worst, float(apart.max(initial=0) / max(np.abs(exact).max(initial=0), 1e-12)))
    return worst


def _quantized(graph: Graph, bits: int) -> Quantized:
    random, result, started = np.random.default_rng(SEED), Quantized(), time.process_time()
    if len(graph.inputs) != 1 or graph.value(graph.inputs[0]).dtype != "float32":
        return Quantized(problem="calibrated by samples of one float input alone, here")
    shape = tuple(length if isinstance(length, int) else 1 for length in graph.value(graph.inputs[0]).shape)
    samples = random.standard_normal((SAMPLES, *shape[1:])).astype(np.float32)
    try:
        low, _ = lowbit.quantize(graph, samples[: SAMPLES // 2], bits=bits)
        result.cpu_s = time.process_time() - started
        exact, found = (lowbit.evaluate(each, samples[SAMPLES // 2 :]) for each in (graph, low))
        noise = float(np.square(np.asarray(found, np.float64) - exact).mean())
        power = float(np.square(np.asarray(exact, np.float64)).mean())
        result.signal_db = 10 * float(np.log10(power / noise)) if noise else float("inf")
        with TemporaryDirectory() as folder:
            lowbit.write(low, Path(folder) / "low.circle")
            result.size = (Path(folder) / "low.circle").stat().st_size
    except Exception as error:
        result.problem = _said(error)
    return result


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:600]


def main() -> None:
    """Print what becomes of a file."""
    path, *given = sys.argv[1:]
    sizes = {name: int(length) for name, length in (each.rsplit("=", 1) for each in given)}
    sys.stdout.write(json.dumps(asdict(tried(Path(path), sizes))) + "\n")


if __name__ == "__main__":
    main()
