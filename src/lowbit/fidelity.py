"""How near a low-bit network is to the float one it was made of, on samples that did not calibrate it.

    agreement = share of samples, or of positions of maps, whose highest score is that of the same class
    SNR       = 10 log10(sum x^2 / sum (x - y)^2)     dB; x the float network's output, y the other's

Both are of what is deployed: integers, by the engine where that runs the network, else by the reference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lowbit.errors import DataError
from lowbit.ir import Graph
from lowbit.quantization import Plan, Report, Unfinished, chosen_indices, quantize
from lowbit.scores import score

Progress = Callable[[int, int, str], None]
Samples: TypeAlias = npt.NDArray[np.float32] | Mapping[str, npt.NDArray[np.generic]]
"""Of one input, or of several by name."""

Indices = npt.NDArray[np.intp]

ENOUGH = 256
"""More samples than this can spare some of them."""

PART = 8
"""One in so many is spared."""

MOST_DB = 300.0


@dataclass(frozen=True)
class Fidelity:
    """What was measured.

    Attributes:
        agreement: in [0, 1]; None where the output is no scores of two classes or more.
        output_snr_db: within `MOST_DB`, which also stands for equal outputs.
        samples: how many measured it.
    """

    agreement: float | None
    output_snr_db: float
    samples: int

    def added_to(self, report: Report) -> Report:
        """Return a report that says it."""
        return replace(
            report, agreement=self.agreement, output_snr_db=self.output_snr_db, checked=self.samples
        )


def fidelity(before: Graph, after: Graph, samples: Samples) -> Fidelity:
    """Return how near the first outputs of two networks are.

    Args:
        before: the float network.
        after: what was made of it.
        samples: ``[n, ...]`` as both take them, at least one.
    """
    right, got = (score(graph, samples).values.astype(np.float64) for graph in (before, after))
    got = got.reshape(right.shape)
    classes = right.ndim > 1 and right.shape[1] > 1
    agreement = float((right.argmax(axis=1) == got.argmax(axis=1)).mean()) if classes else None
    return Fidelity(
        agreement, _snr_db(float((right**2).sum()), float(((right - got) ** 2).sum())), count_of(samples)
    )


def _snr_db(power: float, noise: float) -> float:
    if not noise:
        return MOST_DB
    return float(np.clip(10 * np.log10(power / noise), -MOST_DB, MOST_DB)) if power else -MOST_DB


def quantize_and_measure(
    graph: Graph,
    samples: Samples | None,
    plan: Plan,
    check: Samples | bool | None = None,
    progress: Progress | None = None,
    unfinished: Unfinished | None = None,
) -> tuple[Graph, Report]:
    """Return a low-bit network that remembers what was asked, and a report with its fidelity.

    Args:
        graph, samples, plan, progress, unfinished: as of `lowbit.quantization.quantize`.
        check: samples that measure; None for those that can be spared, False for none.
    """
    if plan.fixed_point and check is None:
        check = samples  # none of them calibrates
    elif check is None and samples is not None:
        spared, unused = sparable(count_of(samples), plan)
        check = _part(samples, spared) if len(spared) else False
        if len(spared) and not unused:
            samples = _part(samples, np.delete(np.arange(count_of(samples)), spared))
    result, report = quantize(graph, samples, plan, progress, unfinished=unfinished)
    if isinstance(check, np.ndarray | Mapping):
        report = fidelity(graph, result, check).added_to(report)
    result.metadata["quantization"] = str(plan)
    return result, report


def count_of(samples: Samples) -> int:
    """Return how many samples there are."""
    return len(next(iter(samples.values())) if isinstance(samples, Mapping) else samples)


def _part(samples: Samples, indices: Indices) -> Samples:
    if isinstance(samples, Mapping):
        return {name: array[indices] for name, array in samples.items()}
    return samples[indices]


def sparable(count: int, plan: Plan) -> tuple[Indices, bool]:
    """Return which of so many samples measure, and whether the plan does not use them anyhow.

    Where it uses all of more than `ENOUGH`, one in `PART` is kept from calibration; of fewer none.
    """
    random = np.random.default_rng(plan.seed)
    unused = np.setdiff1d(np.arange(count), chosen_indices(count, plan))
    if len(unused) >= ENOUGH // PART:
        return np.sort(random.permutation(unused)[: max(plan.samples, ENOUGH)]), True
    return np.sort(random.permutation(count)[: count // PART if count > ENOUGH else 0]), False


def require_measure(name: str, count: int, plan: Plan, check: Samples | bool | None) -> None:
    """Refuse what cannot be measured.

    Args:
        name: of the data.
        count: how many samples it has.
        plan, check: as of `quantize_and_measure`.

    Raises:
        DataError: there are no samples for it.
    """
    if check is False or (check is None and not len(sparable(count, plan)[0])):
        raise DataError(
            "there are no samples to measure the result with, which --strict needs",
            where=name,
            expected=f"more than {ENOUGH} samples, or others to check with",
            found=f"{count} samples",
            remedy="Give some with --check.",
        )
