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
from lowbit.quantization import Estimate, Plan, Report, Unfinished, chosen_indices, quantize
from lowbit.scores import score

Progress = Callable[[int, int, str], None]
Announce = Callable[[Estimate], None]
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
    parts: "Parts | None" = None,
    announce: Announce | None = None,
) -> tuple[Graph, Report]:
    """Return a low-bit network that remembers what was asked, and a report with its fidelity.

    Args:
        graph, samples, plan, progress, unfinished, announce: as of `lowbit.quantization.quantize`.
        check: samples that measure; None for those that can be spared, False for none.
        parts: the choice that a source of samples was asked with.
    """
    if samples is not None:
        samples, check = (parts or Parts(plan, check)).of(samples)
    result, report = quantize(graph, samples, plan, progress, unfinished=unfinished, announce=announce)
    if isinstance(check, np.ndarray | Mapping):
        report = fidelity(graph, result, check).added_to(report)
    result.metadata["quantization"] = str(plan)
    return result, report


class Parts:
    """Which samples of a source calibrate and which measure.

    A source that can leave out samples calls it, once it knows how many it has, and gives those of both.

    Args:
        plan, check: as of `quantize_and_measure`.

    Attributes:
        count: how many there are; 0 before it is known.
    """

    def __init__(self, plan: Plan, check: Samples | bool | None) -> None:
        self._plan, self._check, self.count = plan, check, 0
        self._calibrate = self._measure = self._given = np.zeros(0, np.intp)

    def __call__(self, count: int) -> Indices:
        """Return the numbers of the samples that are needed, ascending, of so many."""
        self.count, whole = count, np.arange(count)
        if self._plan.fixed_point:  # none of them calibrates
            self._calibrate = self._measure = whole
        elif self._check is None:
            self._measure, unused = sparable(count, self._plan)
            usable = whole if unused else np.delete(whole, self._measure)
            self._calibrate = usable[chosen_indices(len(usable), self._plan)]
        else:
            self._calibrate = chosen_indices(count, self._plan)
        self._given = np.union1d(self._calibrate, self._measure)
        return self._given

    def of(self, samples: Samples) -> tuple[Samples, Samples | bool | None]:
        """Return the samples that calibrate, and those that measure or what was said of them.

        Args:
            samples: all, or those that the source was told to give.
        """
        if not self.count:
            self(count_of(samples))
            self._given = np.arange(self.count)
        parts = (np.searchsorted(self._given, part) for part in (self._calibrate, self._measure))
        calibrate, measure = (_part(samples, part) for part in parts)
        return calibrate, (measure if len(self._measure) else False) if self._check is None else self._check


def count_of(samples: Samples) -> int:
    """Return how many samples there are."""
    return len(next(iter(samples.values())) if isinstance(samples, Mapping) else samples)


def _part(samples: Samples, indices: Indices) -> Samples:
    if len(indices) == count_of(samples):  # they are ascending: no copy
        return samples
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
