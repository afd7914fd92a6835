"""Confusion matrices: which class is taken for which, and where two programs disagree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import DataError

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Confusion:
    """How many samples of one class were taken for another.

    Attributes:
        name: of what classified, such as ``float`` or ``Q6.7``.
        counts: int64 ``[classes, classes]``: true class, then found class.
        classes: their names.
    """

    name: str
    counts: Labels
    classes: tuple[str, ...]

    @property
    def samples(self) -> int:
        """How many there are."""
        return int(self.counts.sum())

    @property
    def top1(self) -> float:
        """Share of right ones, the diagonal."""
        return float(np.trace(self.counts) / max(self.samples, 1))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "counts": self.counts.tolist(),
            "samples": self.samples,
            "top1": self.top1,
        }


def confusion(
    labels: npt.ArrayLike | None,
    found: npt.ArrayLike,
    *,
    name: str = "",
    classes: int | Sequence[str] | None = None,
) -> Confusion:
    """Return the confusion matrix of found classes.

    Args:
        labels: true classes ``[n]``.
        found: classes ``[n]``, or scores ``[n, classes]``, of which the first largest counts.
        name: of what classified.
        classes: their names or how many; when None, as many as there are scores or numbers.

    Raises:
        DataError: there are no labels, or not as many, or labels that are no classes.
    """
    if labels is None:
        raise DataError(
            "a confusion matrix needs labels", where=name, expected="samples with labels", found="none"
        )
    true, scores = np.asarray(labels), np.asarray(found)
    chosen = scores.argmax(axis=1) if scores.ndim == 2 else scores
    if true.shape != chosen.shape or true.ndim != 1 or not len(true):
        raise DataError(
            "labels do not match what was found",
            where=name,
            expected=f"{len(chosen)} labels",
            found=f"shape {true.shape}",
        )
    names = _names(classes, scores, true)
    largest = max(int(true.max()), int(chosen.max()))
    if min(int(true.min()), int(chosen.min())) < 0 or largest >= len(names):
        raise DataError(
            "labels are no classes of the network",
            where=name,
            expected=f"0 to {len(names) - 1}",
            found=f"{true.min()} to {largest}",
        )
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (true.astype(np.intp), chosen.astype(np.intp)), 1)
    return Confusion(name, counts, names)


def _names(
    classes: int | Sequence[str] | None, scores: npt.NDArray[Any], true: npt.NDArray[Any]
) -> tuple[str, ...]:
    if classes is None:
        classes = scores.shape[1] if scores.ndim == 2 else int(max(true.max(), scores.max())) + 1
    return tuple(map(str, range(classes))) if isinstance(classes, int) else tuple(classes)
