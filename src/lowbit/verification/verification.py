"""Every back end beside the definition, value by value: codes exactly, reals to a share of the largest.

Each node is judged by itself, on the inputs that a back end really had (`lowbit.analysis.comparison`): so a
fault is found where it is, and a code that another order of a float sum moved is told apart from a fault.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lowbit import api
from lowbit.analysis.comparison import TOLERANCE, Divergence, first_divergence, named_trace
from lowbit.analysis.traces import Trace, Values
from lowbit.data import Normalize
from lowbit.errors import LowbitError, MismatchError
from lowbit.fidelity import Fidelity, fidelity
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.sampling import RANDOM, Data, samples_of
from lowbit.verification.certificate import Certificate, certify
from lowbit.verification.contenders import DEFINITION, Contender, contenders, too_long

Status = Literal["equal", "rounded", "differs", "not run"]
Progress = Callable[[int, int, str], None]

SAMPLES = 32
RULE = f"codes exactly; reals within {TOLERANCE:g} of the largest magnitude of a value"


@dataclass(frozen=True)
class Row:
    """What one contender did.

    Attributes:
        name: the back end, and the level of its kernels.
        status: ``equal``; ``rounded``: floats before a code were summed in another order and took another
            code, nobody is at fault; ``differs``: it does not do what the definition says; ``not run``.
        samples: how many were compared.
        values: how many values of the network it showed.
        divergence: the first difference; None where all is equal.
        why: why it was not run; "" where it was.
        seconds: that it took, its loading included.
    """

    name: str
    status: Status
    samples: int = 0
    values: int = 0
    divergence: Divergence | None = None
    why: str = ""
    seconds: float = 0.0

    @property
    def explanation(self) -> str:
        """What happened, in a sentence; "" where all is equal."""
        found = self.divergence
        if found is None:
            return self.why
        where = f"{found.node} ({found.operator}), input {found.sample}, channel {found.channel}"
        values = f"{found.expected:g} expected, {found.found:g} found"
        if not found.at_fault:
            return f"{where}: {values}; floats before it were summed in another order, nobody is at fault"
        suspects = "" if len(found.suspects) < 2 else f"; among {', '.join(found.suspects)}"
        return f"{where}: {values}; {found.differing} of {found.elements} differ, {found.pattern}{suspects}"


@dataclass(frozen=True, eq=False)
class Verification:
    """What was found.

    Attributes:
        network: the file, or the graph's name.
        data: what the samples are.
        samples: how many there were.
        rows: of every contender.
        fidelity: to the float network; None where none was given.
        certificate: what another machine checks; write it only where `equal`.
    """

    network: str
    data: str
    samples: int
    rows: tuple[Row, ...]
    fidelity: Fidelity | None
    certificate: Certificate

    @property
    def equal(self) -> bool:
        """Whether something was run, and all that was does what the definition says."""
        return any(row.samples for row in self.rows) and not self.faulty

    @property
    def faulty(self) -> tuple[Row, ...]:
        """The rows that differ."""
        return tuple(row for row in self.rows if row.status == "differs")

    def require_equal(self) -> None:
        """Refuse what is not `equal`.

        Raises:
            MismatchError: names the first divergence of every contender that has one.
        """
        if self.equal:
            return
        found = "; ".join(f"{row.name} at {row.explanation}" for row in self.faulty)
        raise MismatchError(
            f"{len(self.faulty)} of {len(self.rows)} back ends compute other integers than the definition"
            if self.faulty
            else "no back end was compared with the definition",
            where=self.network,
            expected="equal integers everywhere",
            found=found or "; ".join(f"{row.name}: {row.why}" for row in self.rows),
            remedy="Report it with the network, if you may: a difference is a fault of ours.",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        rows = [asdict(row) | {"explanation": row.explanation} for row in self.rows]
        near = None if self.fidelity is None else asdict(self.fidelity)
        facts = {"network": self.network, "data": self.data, "samples": self.samples}
        return {**facts, "equal": self.equal, "fidelity": near, "rows": rows}


def verify(
    network: str | PathLike[str] | Graph,
    data: Data = None,
    *,
    against: str | PathLike[str] | Graph | None = None,
    backends: Sequence[str] = (),
    samples: int = SAMPLES,
    split: str = "test",
    normalize: Normalize = None,
    byte: float | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Return whether a network means the same integers in every back end.

    Args:
        network: a file, or a graph.
        data: as of `lowbit.api.load_inputs`; without it, random pixels from a fixed seed.
        against: the float network that it was made of, to say how near it is.
        backends: names of back ends, or of a level of the engine; all that can run it when empty.
        samples: at most so many are compared.
        split: of a data set by name.
        normalize: mean and deviation of pixels; else what the file remembers.
        byte: what hardware multiplies a byte by, where it is not 1/255: 1/16 for the digits.
        progress: called with done, all, and what comes next.

    Raises:
        DataError: samples do not fit.
        PlanError: a back end that there is not.
    """
    graph = network if isinstance(network, Graph) else api.read(network)
    inputs = samples_of(graph, data, samples, split, normalize)
    chosen = contenders(backends, byte)
    definition = _remembered(named_trace(graph, DEFINITION, DEFINITION)[1])
    rows = []
    for number, each in enumerate(chosen):
        if progress:
            progress(number, len(chosen), each.name)
        rows.append(_row(each, graph, inputs, definition, asked=bool(backends)))
    if progress:
        progress(len(chosen), len(chosen), "")
    near = None if against is None else _near(against, graph, inputs)
    about = data if isinstance(data, str) else "given samples" if data is not None else RANDOM
    path = None if isinstance(network, Graph) else Path(network)
    count = len(next(iter(inputs.values())))
    facts: dict[str, Any] = {"data": about, "split": split, "samples": count, "rule": RULE}
    facts["rows"] = [_summary(row) for row in rows]
    made = certify(graph, path, inputs, facts)
    return Verification(str(path or graph.name), about, count, tuple(rows), near, made)


def _remembered(trace: Trace) -> Trace:
    """Return a trace that runs once for the same arrays: every contender is compared with the same values."""
    kept: dict[bytes, Values] = {}

    def run(*inputs: Array) -> Values:
        key = b"".join(np.ascontiguousarray(array).tobytes() for array in inputs)
        if key not in kept:
            kept[key] = trace(*inputs)
        return kept[key]

    return run


def _row(
    contender: Contender, graph: Graph, inputs: Mapping[str, Array], definition: Trace, *, asked: bool
) -> Row:
    """Return what a contender does over samples."""
    start = time.perf_counter()
    why = contender.why_not(graph) or ("" if asked else too_long(contender, graph))
    if why:
        return Row(contender.name, "not run", why=why)
    arrays = [array[: contender.samples] for array in inputs.values()]
    shown = set[str]()
    try:
        trace = _counted(contender.trace(graph), graph, shown)
        found = first_divergence(graph, arrays, (DEFINITION, definition), (contender.name, trace))
    except LowbitError as error:
        return Row(contender.name, "not run", why=error.facts or str(error))
    status: Status = "equal" if found is None else "differs" if found.at_fault else "rounded"
    took = time.perf_counter() - start
    return Row(contender.name, status, len(arrays[0]), len(shown), found, seconds=took)


def _counted(trace: Trace, graph: Graph, shown: set[str]) -> Trace:
    """Return a trace that notes which computed values it shows."""
    computed = {name for node in graph.nodes for name in node.outputs}

    def run(*inputs: Array) -> Values:
        values = trace(*inputs)
        shown.update(computed.intersection(values))
        return values

    return run


def _near(against: str | PathLike[str] | Graph, graph: Graph, inputs: dict[str, Array]) -> Fidelity:
    before = against if isinstance(against, Graph) else api.read(against)
    arrays = list(inputs.values())
    if len(arrays) == 1:
        return fidelity(before, graph, np.asarray(arrays[0], np.float32))
    return fidelity(before, graph, dict(zip(before.inputs, arrays, strict=True)))


def _summary(row: Row) -> dict[str, Any]:
    """Return what a certificate says of a row."""
    return {
        "backend": row.name,
        "status": row.status,
        "samples": row.samples,
        "values": row.values,
        **({"why": row.explanation} if row.explanation else {}),
    }
