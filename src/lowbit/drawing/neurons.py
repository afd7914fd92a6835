"""The levels of a neuron over the histogram of its weights."""

from typing import TYPE_CHECKING

import numpy as np

from lowbit.analysis import NeuronLevels
from lowbit.drawing.style import BLUE, INK, PALE, SOFT, new_figure, styled
from lowbit.schemes.registry import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS, _WEIGHTS_PER_BIN = (12, 60), 8
_MOST_LABELLED = 16
_MOST_LEVELS = 300


def draw_levels(neuron: NeuronLevels) -> "Figure":
    """Return the histogram of a neuron's weights, its levels and the thresholds between them.

    A level's line is as high as its share of the weights; below eight levels, shares stand there as numbers.
    """
    with styled():
        from matplotlib.ticker import MaxNLocator

        figure = new_figure(7.2, 3.4)
        axes = figure.subplots()
        low, high = _ends(neuron)
        bins = int(np.clip(len(neuron.weights) // _WEIGHTS_PER_BIN, *_BINS))
        counts, edges = np.histogram(neuron.weights, bins, (low, high))
        axes.bar(
            edges[:-1], counts, np.diff(edges), align="edge", color=PALE, ec="white", label="weights before"
        )
        axes.set_ylabel("weights per bin")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(low, high)
        axes.set_xlabel("weight")
        _draw_codes(axes.twinx(), neuron, low, high)
        figure.legend(loc="outside lower right", ncols=3, fontsize=8)
        axes.set_title(f"{neuron.layer}, neuron {neuron.neuron}: {_described(neuron)}")
    return figure


def _draw_codes(axes: "Axes", neuron: NeuronLevels, low: float, high: float) -> None:
    """Draw levels as stems whose height is the share of weights, and thresholds between them."""
    shares = neuron.counts / max(neuron.counts.sum(), 1)
    inside = (neuron.levels >= low) & (neuron.levels <= high)
    few = inside.sum() <= _MOST_LABELLED
    inside &= few | (shares > 0)
    if few:
        for index, threshold in enumerate(neuron.thresholds):
            label = "" if index else "threshold between levels"
            axes.axvline(threshold, color=SOFT, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1, label=label)
    levels, shown = neuron.levels[inside], shares[inside]
    axes.vlines(levels, 0, shown, color=BLUE, linewidth=1.8 if few else 0.8, zorder=2, label="level")
    if inside.sum() <= _MOST_LEVELS:
        axes.plot(levels, shown, "o", color=BLUE, markersize=5 if few else 2, zorder=3)
    if few:
        for level, share in zip(levels, shown, strict=True):
            place = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "fontsize": 8}
            axes.annotate(f"{share:.0%}", (level, share), color=INK, **place)  # type: ignore[arg-type]
    axes.set_ylim(0, 1.18 * max(float(shares.max()), 1e-9))
    axes.set_ylabel("share of the weights at a level", color=BLUE)
    axes.tick_params(axis="y", colors=BLUE)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.spines["right"].set_visible(True)
    axes.spines["right"].set_color(BLUE)


def _ends(neuron: NeuronLevels) -> tuple[float, float]:
    """Return the ends of the axis: those of the weights, and of levels where these are few."""
    ends = [neuron.weights.min(), neuron.weights.max()]
    if len(neuron.levels) <= _MOST_LABELLED:
        ends += [neuron.levels.min(), neuron.levels.max()]
    margin = 0.05 * (max(ends) - min(ends)) or 0.5
    return float(min(ends) - margin), float(max(ends) + margin)


def _described(neuron: NeuronLevels) -> str:
    bits = f"{neuron.bits} bit{'s' if neuron.bits > 1 else ''}"
    return f"{title(neuron.scheme)}, {bits}, {len(neuron.weights)} weights"
