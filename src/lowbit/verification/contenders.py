"""What a network can be verified in here: every back end of the table, the engine at every level of kernels.

To verify in a new back end nothing is changed here: a row of `lowbit.backends` is enough.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowbit.analysis.traces import Trace
from lowbit.analysis.traffic import layer_bytes
from lowbit.backends import BACKENDS, backend_of
from lowbit.blockers import listed
from lowbit.engine import kernel_levels
from lowbit.errors import PlanError
from lowbit.ir import Graph

DEFINITION = "reference"

SIMULATED_SAMPLES = 2
"""Of hardware, which runs clock by clock."""

SIMULATED_WORK = 20_000_000
"""Multiply-adds of a sample above which hardware is simulated only when it is asked for."""


@dataclass(frozen=True)
class Contender:
    """What may run a network.

    Attributes:
        name: of the row: ``engine:avx2``, ``onnxruntime``.
        backend: its name in `lowbit.backends.BACKENDS`.
        options: of `Backend.load`.
        samples: at most so many are compared; None is all.
    """

    name: str
    backend: str
    options: dict[str, Any] = field(default_factory=dict)
    samples: int | None = None

    def why_not(self, graph: Graph) -> str:
        """Return what keeps it from a network, "" where nothing does."""
        return listed(backend_of(self.backend).blockers(graph))

    def trace(self, graph: Graph) -> Trace:
        """Return what runs the network.

        Raises:
            LowbitError: it does not; MissingExtra where a package is not installed.
        """
        return backend_of(self.backend).load(graph, **self.options).trace


def contenders(chosen: Sequence[str] = (), byte: float | None = None) -> list[Contender]:
    """Return all that a network can be verified in, or those of the back ends that were chosen.

    Args:
        chosen: names of `lowbit.backends.BACKENDS`, or of one level of the engine: ``engine:avx2``.
        byte: what hardware multiplies a byte of its stream by; 1/255 when None.

    Raises:
        PlanError: there is none of that name; says which there are.
    """
    known = list(_all(byte))
    wanted = set(chosen)
    missing = wanted - {each.name for each in known} - {each.backend for each in known}
    if missing:
        names = ", ".join(dict.fromkeys([each.backend for each in known] + [each.name for each in known]))
        raise PlanError("there is no such back end", expected=names, found=", ".join(sorted(missing)))
    return [each for each in known if not wanted or wanted & {each.name, each.backend}]


def _all(byte: float | None) -> Iterator[Contender]:
    for name in BACKENDS:
        if name == "engine":
            for level in kernel_levels():
                yield Contender(f"engine:{level}", name, {"kernels": level})
            yield Contender("engine:2 threads", name, {"threads": 2})
        elif name == "hardware":
            yield Contender(name, name, {"byte": byte}, SIMULATED_SAMPLES)
        elif name != DEFINITION:
            yield Contender(name, name)


def too_long(contender: Contender, graph: Graph) -> str:
    """Return why a contender is left out unless it is asked for: simulating it takes long."""
    work = sum(row.multiply_adds for row in layer_bytes(graph)) if contender.samples else 0
    if work <= SIMULATED_WORK:
        return ""
    asked = f"ask for it: --backend {contender.name}"
    return f"{work / 1e6:.0f} million multiply-adds take long to simulate; {asked}"
