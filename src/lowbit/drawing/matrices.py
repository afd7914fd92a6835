"""Confusion matrices side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.analysis import Confusion
from lowbit.drawing.style import BLUE, INK, ORANGE, SOFT, new_figure, percent, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NUMBERED = 12
_MOST_NAMED = 40


def draw_confusions(matrices: Sequence[Confusion]) -> "Figure":
    """Return confusion matrices in a row: true classes down, found classes across.

    Right ones are tinted by their share of the class, wrong ones by their share of the largest wrong count of
    all matrices; up to twelve classes have their counts as numbers.
    """
    most_wrong = max(max(int(_wrong(matrix).max()) for matrix in matrices), 1)
    with styled():
        size = min(0.34 * len(matrices[0].classes) + 1.2, 7)
        figure = new_figure(size * len(matrices), size + 0.55)
        panels = figure.subplots(1, len(matrices), squeeze=False)[0]
        for axes, matrix in zip(panels, matrices, strict=True):
            _draw(axes, matrix, most_wrong)
        panels[0].set_ylabel("true class")
    return figure


def _wrong(matrix: Confusion) -> npt.NDArray[np.int64]:
    return np.where(np.eye(len(matrix.counts), dtype=bool), 0, matrix.counts)


def _draw(axes: "Axes", matrix: Confusion, most_wrong: int) -> None:
    counts = matrix.counts
    axes.imshow(_shades(matrix, most_wrong), interpolation="nearest")
    if len(counts) <= _MOST_NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                axes.text(column, row, str(count), ha="center", va="center", fontsize=6.5, color=INK)
    places = range(len(counts)) if len(counts) <= _MOST_NAMED else []
    upright = max(map(len, matrix.classes)) > 2
    axes.set_xticks(places, matrix.classes[: len(places)], rotation=90 if upright else 0)
    axes.set_yticks(places, matrix.classes[: len(places)])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("found class")
    axes.set_title(f"{matrix.name}: {percent(matrix.top1)}")
    wrong = matrix.samples - int(np.trace(counts))
    axes.text(
        1,
        1.012,
        f"{wrong} of {matrix.samples} wrong",
        transform=axes.transAxes,
        ha="right",
        fontsize=8,
        color=SOFT,
    )


def _shades(matrix: Confusion, most_wrong: int) -> npt.NDArray[np.float64]:
    """Return the colours of the cells, ``[classes, classes, 3]``: white mixed with blue or orange."""
    from matplotlib.colors import to_rgb

    counts = matrix.counts
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(counts), dtype=bool)
    strength = np.where(right, 0.1 + 0.4 * share, 0.7 * counts / most_wrong) * (counts > 0)
    colours = np.where(right[..., None], to_rgb(BLUE), to_rgb(ORANGE))
    return np.asarray(1 - strength[..., None] * (1 - colours))
