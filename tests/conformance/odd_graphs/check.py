"""One odd graph through everything: read, reference, engine, all schemes, all files, ONNX Runtime.

What is expected of each:

* a refusal is one of `lowbit.errors`, raised for a reason and not for another exception; all else is a fault;
* the float network gives what ONNX Runtime gives, within `FLOAT` of the largest number and `NOISE` times
  what a change of the input in its sixth digit does;
* a network of 8 bits gives about what the float network gives: it has no reason not to;
* every node of every backend gives, from the inputs that it had, the codes of the reference, its floats as
  `first_divergence` compares them, or, where there are no codes, within `NOISE` as above;
* where no float sum stands before an encoder, all codes are equal end to end; elsewhere those that differ
  are counted, and where the inputs of an encoder had no difference yet they differ by one level.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lowbit.analysis import first_divergence
from lowbit.analysis.comparison import different
from lowbit.analysis.traces import trace
from lowbit.backends.onnxruntime import session
from lowbit.engine import Program, kernel_levels
from lowbit.errors import LowbitError
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node, evaluate
from lowbit.ir.reference import evaluate_node
from tests.capi import answers
from tests.conformance.odd_graphs.families import SAMPLES, Drawn
from tests.conformance.odd_graphs.network import Array
from tests.conformance.odd_graphs.schemes import SCHEMES

FLOAT = 1e-4
NOISE = 1e2
NEAR = 0.5
"""Of the spread of an output: how far 8 bits may be from float, whose median is a hundredth."""
MEMORY = next(filter(os.path.isdir, ("/dev/shm",)), None)  # noqa: S108 - files of a check need no disk
SUFFIXES = (".circle", ".onnx", ".txt")

# What gives one float for given inputs, however it is computed: single operations of IEEE 754, and moves.
_EXACT = """
    Encode Decode Add Sub Mul Div Relu Clip MaxPool GlobalMaxPool Concat Flatten Reshape Squeeze Unsqueeze
    Transpose Identity Pad Sign
"""
EXACT = frozenset(_EXACT.split())

Values = dict[str, Array]


@dataclass
class Outcome:
    """What became of one graph.

    Attributes:
        family, seed: which.
        runs: how often each stage was tried: ``read``, ``float engine``, ``lq:2 quantize`` …
        refusals: stage and error, of those that ended in an error of ours.
        faults: stage and what was wrong.
        codes: integers that were compared.
        differing: of them, those that differ behind a float sum.
    """

    family: str
    seed: int
    runs: Counter[str] = field(default_factory=Counter)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    codes: int = 0
    differing: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count a stage; an error of ours is a refusal, any other a fault, also one that ours hides."""
        self.runs[name] += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                yield
        except LowbitError as error:
            self.refusals.append((name, str(error)))
            if error.__cause__ is not None and not isinstance(error.__cause__, LowbitError):
                self.faults.append((name, f"a refusal for {error.__cause__!r}"))
        except AssertionError as error:
            self.faults.append((name, str(error)))
        except Exception as error:
            self.faults.append((name, f"raw {type(error).__name__}: {error}"))


def check(drawn: Drawn, schemes: tuple[str, ...] = tuple(SCHEMES)) -> Outcome | None:
    """Return what became of a graph, or None where ONNX Runtime itself does not run it."""
    outcome = Outcome(drawn.family, drawn.seed)
    try:
        expected = _peer(drawn)
    except Exception:
        return None
    with TemporaryDirectory(dir=MEMORY) as folder:
        network = None
        with outcome.stage("read"):
            path = Path(folder) / "network.onnx"
            path.write_bytes(drawn.model.SerializeToString())
            network = read_model(path)
        if network is None:
            return outcome
        with outcome.stage("reference"):
            _compare_floats(network, drawn, expected)
        feeds = feeds_of(network, drawn)
        _run(outcome, "float", network, feeds, Path(folder))
        for scheme in schemes:
            low = None
            with outcome.stage(f"{scheme} quantize"):
                low = SCHEMES[scheme](network, feeds[network.inputs[0]])
            if low is not None and scheme.startswith("affine:8"):
                with outcome.stage(f"{scheme} nearness"):
                    _compare_with_float(network, low, feeds)
            if low is not None:
                _run(outcome, scheme, low, feeds, Path(folder))
    return outcome


def feeds_of(network: Graph, drawn: Drawn) -> Values:
    """Return the samples for the inputs that are left of a network."""
    kinds = {name: network.value(name).dtype for name in network.inputs}
    return {name: drawn.samples[name].astype(kind) for name, kind in kinds.items()}


def _run(outcome: Outcome, scheme: str, graph: Graph, feeds: Values, folder: Path) -> None:
    """Compare every backend and every file with the reference."""
    reference: Values = {}
    feeds = {name: rows[: _batch(graph) or len(rows)] for name, rows in feeds.items()}
    finite = False
    with outcome.stage(f"{scheme} evaluate"), _errors(scheme):
        reference.update(evaluate(graph, feeds, reference.__setitem__))
        finite = all(np.isfinite(reference[name]).all() for name in graph.outputs)
        assert finite or scheme == "float", "the output is not finite"
    if not finite:
        return
    for suffix in SUFFIXES:
        with outcome.stage(f"{scheme} {suffix}"):
            path = folder / f"{scheme.replace(':', '-')}{suffix}"
            write_model(graph, path)
            _compare_file(graph, reference, feeds, read_model(path))
    if len(graph.inputs) > 1:  # backends are compared over samples of one input
        return
    (source,) = graph.inputs
    with outcome.stage(f"{scheme} engine"):
        for level in kernel_levels():
            program = Program(graph, kernels=level)
            judge(outcome, graph, reference, feeds[source], traced(program, graph))
    if any(value.dtype == "planes" for value in graph.values.values()):
        with outcome.stage(f"{scheme} engine by bytes"):
            judge(outcome, graph, reference, feeds[source], traced(Program(graph, path="dot"), graph))
    for level in answers.LEVELS:
        with outcome.stage(f"{scheme} aarch64 {level}"):
            judge(outcome, graph, reference, feeds[source], answers.load(graph, kernels=level).trace)
    with outcome.stage(f"{scheme} onnxruntime"):
        judge(outcome, graph, reference, feeds[source], trace(graph, "onnxruntime"))


def _errors(scheme: str) -> Any:
    """Return what NumPy makes of infinity: a float network may overflow, one that was calibrated may not."""
    return np.errstate(all="ignore") if scheme == "float" else nullcontext()


def traced(program: Program, graph: Graph) -> Callable[[Array], Values]:
    """Return an engine's values by name; what it returns must be what it shows."""

    def run(x: Array) -> Values:
        x = np.require(x, np.float32, ("C", "A"))
        values, given = program.trace(x), program.run(x)
        for name, output in zip(graph.outputs, given if isinstance(given, tuple) else (given,), strict=True):
            if name in values:
                shown = values[name].reshape(output.shape)
                np.testing.assert_array_equal(output, shown, err_msg="run and trace differ")
        return {graph.inputs[0]: x, **values}

    return run


def judge(
    outcome: Outcome, graph: Graph, reference: Values, x: Array, run: Callable[[Array], Values]
) -> None:
    """Compare a backend with the reference: each node by its own inputs, and codes end to end.

    Raises:
        AssertionError: a node does something else than the reference with the inputs that it had, or codes
            differ though no float sum stands before an encoder, or by more than a level.
    """
    values = run(x)
    coded = [name for node in graph.nodes for name in node.outputs if graph.value(name).encoding is not None]
    outcome.codes += sum(reference[name].size for name in coded if name in values)
    if all(_same(reference[name], values[name]) for name in reference if name in values):
        return
    found = first_divergence(graph, x, "reference", run)
    if found is None:
        return
    where = f"{found.node} ({found.operator}) {found.value} {found.position}"
    far = abs(found.expected - found.found)
    with np.errstate(invalid="ignore"):  # beside a division by zero both may be infinite
        moved = np.subtract(
            shaken(graph, {graph.inputs[0]: x})[found.value], reference[found.value], dtype=float
        )
    moved = moved[np.isfinite(moved)]
    read = [reference[name] for name in _maker(graph, found.value).inputs if name in reference]
    allowed = NOISE * np.abs(moved).max(initial=0) + FLOAT * max(np.abs(rows).max(initial=0) for rows in read)
    rounding = not coded and far <= allowed
    assert not found.at_fault or rounding, f"{where}: expected {found.expected}, found {found.found}"
    outcome.differing += _count(graph, reference, values, is_exact(graph))


def _maker(graph: Graph, name: str) -> Node:
    maker = graph.producer(name)
    assert maker is not None, f"{name} is not computed"
    return maker


def shaken(graph: Graph, feeds: Values) -> Values:
    """Return all values if every float is changed in its sixth digit: much, where sums nearly cancel."""
    random = np.random.default_rng(0)

    def shake(array: Array) -> Array:
        changed = array * (1 + 1e-6 * random.choice([-1, 1], array.shape))
        return changed.astype(array.dtype) if array.dtype.kind == "f" else array

    arrays = {name: value.data for name, value in graph.values.items() if value.data is not None}
    arrays |= {name: shake(rows) for name, rows in feeds.items()}
    for node in graph.nodes:
        arrays |= zip(node.outputs, map(shake, evaluate_node(graph, node, arrays)), strict=True)
    return arrays


def _same(expected: Array, found: Array) -> bool:
    """Return whether nothing differs, floats beyond their tolerance; then no node needs to be looked at."""
    return expected.size == found.size and not different(expected, found.reshape(expected.shape)).any()


def is_exact(graph: Graph) -> bool:
    """Return whether no float sum, nor any function that libraries round differently, precedes an encoder."""
    inexact: set[str] = set()
    for node in graph.nodes:
        coded = graph.value(node.outputs[0]).encoding is not None
        if coded and inexact.intersection(node.inputs):
            return False
        integers = node.domain == "lowbit" and graph.value(node.inputs[0]).encoding is not None
        smooth = node.attributes.get("activation", "none") not in ("none", "relu", "relu6", "hardtanh")
        exact = node.op in EXACT or (integers and not smooth) or coded
        if not exact or inexact.intersection(node.inputs):
            inexact.update(node.outputs)
    return True


def _count(graph: Graph, reference: Values, values: Values, exact: bool) -> int:
    """Return how many codes differ; the first ones may differ by one level."""
    total, behind = 0, set[str]()
    for node in graph.nodes:
        for name in node.outputs:
            encoding = graph.value(name).encoding
            if behind.intersection(node.inputs):
                behind.add(name)
            if encoding is None or name not in values:
                continue
            levels = encoding.levels()[0]
            differs = levels[reference[name]] != levels[values[name].reshape(reference[name].shape)]
            if not differs.any():
                continue
            assert not exact, f"{name}: codes differ where no float sum precedes an encoder"
            order = np.argsort(encoding.code_of_rank()[0])
            ranks = [order[array.reshape(-1).astype(np.intp)] for array in (reference[name], values[name])]
            far = np.abs(ranks[0].astype(int) - ranks[1]).max()
            assert name in behind or far <= 1, f"{name}: codes differ by {far} levels behind a float sum"
            total += int(differs.sum())
            behind.add(name)
    return total


def _compare_file(graph: Graph, reference: Values, feeds: Values, again: Graph) -> None:
    """Compare what a file holds with what was written, in the reference and in the engine."""
    assert len(again.outputs) == len(graph.outputs), f"outputs {again.outputs}, written {graph.outputs}"
    given = dict(zip(again.inputs, feeds.values(), strict=True))
    found = evaluate(again, given)
    tolerance = 0.0 if is_exact(graph) and _ends_exactly(graph) else FLOAT
    for name, other in zip(graph.outputs, again.outputs, strict=True):
        right, read = reference[name], found[other]
        assert right.shape == read.shape, f"{name}: shape {read.shape}, written {right.shape}"
        wrong = different(right, read, tolerance) if tolerance else right != read
        assert not wrong.any(), f"{name}: {int(wrong.sum())} of {wrong.size} differ after reading back"


def _ends_exactly(graph: Graph) -> bool:
    return all(
        node.op in EXACT or node.domain == "lowbit" for node in graph.nodes if graph.value(node.outputs[0])
    )


def _peer(drawn: Drawn) -> Values:
    """Return what ONNX Runtime gives for the drawn model, batch by batch where its batch is fixed."""
    ready = session(drawn.model, log_severity_level=4)
    names = [output.name for output in ready.get_outputs()]
    first = next(iter(drawn.model.graph.input)).type.tensor_type.shape.dim[0]
    count = SAMPLES
    step = first.dim_value or count
    runs = [
        ready.run(names, {name: rows[start : start + step] for name, rows in drawn.samples.items()})
        for start in range(0, count, step)
    ]
    return {name: np.concatenate([run[index] for run in runs]) for index, name in enumerate(names)}


def _compare_floats(network: Graph, drawn: Drawn, expected: Values) -> None:
    feeds = feeds_of(network, drawn)
    found = _evaluated(network, feeds)
    moved = _by_batch(network, feeds, shaken)
    for name in network.outputs:
        right = expected[name].astype(np.float64)
        got, other = (each[name].reshape(right.shape).astype(np.float64) for each in (found, moved))
        if not (np.isfinite(right).all() and np.isfinite(other).all()):
            continue  # near a division by zero nothing can be said
        assert np.isfinite(got).all(), f"{name}: not finite, but in ONNX Runtime"
        allowed = FLOAT * np.abs(right).max(initial=0) + NOISE * np.abs(other - got).max(initial=0)
        far = np.abs(got - right).max(initial=0)
        assert far <= allowed, f"{name}: {far} from ONNX Runtime, {allowed} allowed"


def _batch(graph: Graph) -> int:
    """Return the batch that a network is fixed to, or 0."""
    length = graph.value(graph.inputs[0]).shape[0] if graph.inputs else 0
    return length if isinstance(length, int) else 0


def _compare_with_float(network: Graph, low: Graph, feeds: Values) -> None:
    right, found = _evaluated(network, feeds), _evaluated(low, feeds)
    for name, other in zip(network.outputs, low.outputs, strict=True):
        wanted, got = right[name].astype(np.float64), found[other].astype(np.float64)
        if not wanted.size or not np.isfinite(wanted).all():
            continue
        spread = max(wanted.std(), 0.01 * np.abs(wanted).max())
        far = np.sqrt(((wanted - got) ** 2).mean())
        assert far <= NEAR * spread, f"{name}: {far:.3g} from the float network, whose spread is {spread:.3g}"


def _evaluated(network: Graph, feeds: Values) -> Values:
    return _by_batch(network, feeds, evaluate)


def _by_batch(network: Graph, feeds: Values, run: Callable[[Graph, Values], Values]) -> Values:
    """Run a network over all samples, batch by batch where the batch is fixed."""
    step = _batch(network) or SAMPLES
    runs: list[Any] = [
        run(network, {name: rows[start : start + step] for name, rows in feeds.items()})
        for start in range(0, SAMPLES, step)
    ]
    return {name: np.concatenate([run[name] for run in runs]) for name in network.outputs}
