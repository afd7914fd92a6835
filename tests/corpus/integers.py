"""Whether a quantized network gives one set of integers in the engine, `.circle` and `.onnx`.

usage: python -m tests.corpus.integers FILE PLAN        one line of JSON

Each node with codes is judged by the inputs that it had: none may differ. End to end, floats of another
order of sums may come upon another side of a threshold; those codes are counted, and how many levels apart
they are.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import lowbit
from lowbit.analysis.traces import by_level
from lowbit.backends import BACKENDS
from lowbit.errors import LowbitError
from lowbit.ir import Graph, evaluate, infer
from lowbit.ir.graph import Array
from lowbit.ir.reference import evaluate_node
from tests.corpus.runtimes import values

SEED = 20261130
LARGE = 2 << 20  # bytes of constants: networks with more see fewer samples, and the nearest codes are taken
LONG, SHORT = 128, 64  # pixels: larger maps are made smaller, where the network takes them

PLANS = {
    "float": {},
    "affine:8": {"weights": "affine:8", "activations": "affine:8"},
    "lq:4": {"weights": "lq:4", "activations": "lq:4"},
    "lq:2": {"weights": "lq:2", "activations": "lq:2"},
    "pow2:4 affine:8": {"weights": "pow2:4", "activations": "affine:8"},
}
"""What networks become, by name; the float ones are written, too."""

Values = dict[str, Array]


@dataclass
class Stage:
    """What became of a network in one place.

    Attributes:
        codes: integers that were compared.
        wrong: of them, those that their node does not give for the inputs that it had.
        differ: of them, those that differ from the reference end to end.
        levels: by how many levels at most.
        far: how far outputs are from the reference's, relative to the largest number.
        problem: why there is nothing to compare.
    """

    codes: int = 0
    wrong: int = 0
    differ: int = 0
    levels: int = 0
    far: float = 0.0
    problem: str = ""


def tried(path: Path, plan: str) -> dict[str, Stage]:
    """Return what becomes of a file's network by a plan, by stage."""
    random, stages = np.random.default_rng(SEED), dict[str, Stage]()
    graph = _of_small_maps(lowbit.read(path))
    large = sum(value.data.nbytes for value in graph.values.values() if value.data is not None) > LARGE
    calibrate, compare = (2, 1) if large else (8, 4)
    samples = {name: _samples(graph, name, calibrate + compare, random) for name in graph.inputs}
    low = graph
    if PLANS[plan]:
        method = "bias" if "8" in plan else "rtn" if large else "auto"
        chosen = lowbit.Plan(**PLANS[plan], restarts=0, rounds=1, patches=256, method=method)
        few = {name: rows[:calibrate] for name, rows in samples.items()}
        given = few if len(few) > 1 else next(iter(few.values()))
        low, _ = lowbit.quantize(graph, given, plan=chosen, check=False)
    feeds = [_batch(low, name, rows[calibrate:]) for name, rows in samples.items()]
    expected: Values = {}
    evaluate(low, dict(zip(low.inputs, feeds, strict=True)), expected.__setitem__)

    def stage(name: str, run: Callable[[Stage], None]) -> None:
        stages[name] = Stage()
        try:
            run(stages[name])
        except Exception as error:  # a fault of ours is a row, and the others are still tried
            stages[name].problem = f"{type(error).__name__}: {error}"[:900]

    def on(backend: str, network: Graph) -> Callable[[Stage], None]:
        return lambda stage: _judge(stage, low, network, backend, feeds, expected)

    stage("engine", on("engine", low))
    stage("onnxruntime", on("onnxruntime", low))
    with TemporaryDirectory() as folder:
        for suffix in (".circle", ".onnx"):
            file = Path(folder) / f"low{suffix}"

            def carried(stage: Stage, file: Path = file) -> None:
                lowbit.write(low, file)
                on("engine", lowbit.read(file))(stage)

            stage(suffix, carried)
    if not BACKENDS["litert"].blockers(low):
        stage("litert", on("litert", low))
    return stages


def _of_small_maps(graph: Graph) -> Graph:
    """Return the network for smaller pictures, where no constant of it says how large they are."""
    made, ends = graph.copy(), [graph.value(name).shape for name in graph.outputs]
    for name in graph.inputs:
        shape = graph.value(name).shape
        small = [SHORT if isinstance(length, int) and length > LONG else length for length in shape[2:]]
        made.update(name, shape=(*shape[:2], *small))
    try:
        infer(made)
    except LowbitError:
        return graph
    return made if [made.value(name).shape for name in made.outputs] == ends else graph


def _samples(graph: Graph, name: str, count: int, random: np.random.Generator) -> Array:
    value = graph.value(name)
    shape = (count, *(n if isinstance(n, int) else 1 for n in value.shape[1:]))
    return values(name, shape, value.dtype, random)


def _batch(graph: Graph, name: str, rows: Array) -> Array:
    length = graph.value(name).shape[0]
    return rows[:length] if isinstance(length, int) else rows


def _judge(
    stage: Stage, low: Graph, network: Graph, backend: str, feeds: list[Array], expected: Values
) -> None:
    """Compare a network, as it is or read again from a file, with what the reference made of it."""
    runner = BACKENDS[backend].load(network)
    outputs = runner.run(*feeds)
    for name, found in zip(low.outputs, outputs, strict=True):
        exact = np.asarray(expected[name], np.float64)
        apart = np.abs(np.asarray(found, np.float64).reshape(exact.shape) - exact).max(initial=0)
        stage.far = max(stage.far, float(apart / max(np.abs(exact).max(initial=0), 1e-12)))
    coded = [n for node in network.nodes for n in node.outputs if network.value(n).encoding is not None]
    if not coded:
        return
    shown = runner.trace(*feeds) | dict(zip(network.inputs, feeds, strict=True))
    constants = {name: value.data for name, value in network.values.items() if value.data is not None}
    arrays: Values = dict(constants)
    arrays |= {name: shown[name] for name in network.inputs}
    for node in network.nodes:
        for name, right in zip(node.outputs, evaluate_node(network, node, arrays), strict=True):
            arrays[name] = np.asarray(shown[name]).reshape(right.shape) if name in shown else right
            if network.value(name).encoding is not None and name in shown:
                stage.codes += right.size
                stage.wrong += _differing(network, name, right, arrays[name])[0]
                if name in expected and name in low.values and low.value(name).encoding is not None:
                    count, levels = _differing(low, name, expected[name], arrays[name])
                    stage.differ, stage.levels = stage.differ + count, max(stage.levels, levels)


def _differing(graph: Graph, name: str, one: Array, other: Array) -> tuple[int, int]:
    """Return how many codes have another level, and how many levels they are apart at most."""
    encoding = graph.value(name).encoding
    assert encoding is not None
    one, other = (by_level(np.asarray(each), encoding).reshape(-1) for each in (one, other))
    at = one != other
    if not at.any():
        return 0, 0
    ranks = np.argsort(encoding.code_of_rank()[0])
    apart = np.abs(ranks[one[at].astype(np.intp)].astype(np.int64) - ranks[other[at].astype(np.intp)])
    return int(at.sum()), int(apart.max())


def main() -> None:
    """Print what becomes of a file by a plan."""
    path, plan = sys.argv[1:]
    stages: Mapping[str, Stage] = tried(Path(path), plan)
    sys.stdout.write(json.dumps({name: asdict(stage) for name, stage in stages.items()}) + "\n")


if __name__ == "__main__":
    main()
