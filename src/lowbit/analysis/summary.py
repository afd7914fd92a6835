"""A network layer by layer in one table: what each holds, moves, uses and loses."""

from dataclasses import dataclass
from typing import Any

from lowbit.analysis.kullback_leibler import weight_divergence
from lowbit.analysis.layer_error import layer_errors
from lowbit.analysis.levels import level_use
from lowbit.analysis.traces import SeveralSamples
from lowbit.analysis.traffic import LayerBytes, layer_bytes
from lowbit.ir import Graph


@dataclass(frozen=True)
class LayerSummary:
    """One layer; None where it has no codes, or where there is nothing to compare with.

    Attributes:
        held: what it holds and moves.
        entropy: bits that a code of its weights carries.
        unused: share of its weights' levels that nothing has.
        divergence: KL of its weights before and after.
        snr_db: of its output against the float network's.
        cosine: of its output and the float network's.
    """

    held: LayerBytes
    entropy: float | None = None
    unused: float | None = None
    divergence: float | None = None
    snr_db: float | None = None
    cosine: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values; an infinite ratio is None."""
        from dataclasses import asdict

        flat = {**asdict(self), **asdict(self.held), "bytes": self.held.bytes}
        del flat["held"]
        return {**flat, "snr_db": None if self.snr_db == float("inf") else self.snr_db}


def summarize(
    graph: Graph, against: Graph | None = None, samples: SeveralSamples | None = None, *, batch: int = 1
) -> tuple[LayerSummary, ...]:
    """Return every layer with weights, in order.

    Args:
        graph: the network.
        against: the float network that it was made of, for what was lost.
        samples: to compare outputs over; without them only weights are.
        batch: samples per call, for the bytes moved.

    Raises:
        DataError: the networks have nothing in common.
    """
    use = {row.name: row for row in level_use(graph)}
    divergence = {} if against is None else {row.layer: row for row in weight_divergence(against, graph)}
    compared = () if against is None or samples is None else layer_errors(against, graph, samples)
    errors = {row.layer: row for row in compared}
    rows = []
    for held in layer_bytes(graph, batch):
        used, lost, error = use.get(held.layer), divergence.get(held.layer), errors.get(held.layer)
        rows.append(
            LayerSummary(
                held,
                used.entropy if used else None,
                used.unused if used else None,
                lost.divergence if lost else None,
                error.snr_db if error else None,
                error.cosine if error else None,
            )
        )
    return tuple(rows)
