"""Curves of a sweep: accuracy and divergence over bits, and accuracy against what it costs."""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.analysis.kullback_leibler import BINS
from lowbit.drawing.style import (
    BLUE,
    ORANGE,
    RED,
    SERIES,
    SOFT,
    grid_lines,
    new_figure,
    plain_numbers,
    styled,
)
from lowbit.errors import PlanError
from lowbit.schemes.registry import title
from lowbit.sweep import Point, Sweep, front, points
from lowbit.sweep.settings import in_fixed_point
from lowbit.zoo.published import PublishedAccuracy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = {"nearest": "rounded", "floor": "truncated", "gptq": "restored", "rtn": "nearest level"}
_COARSE = ("rtn", "floor")
_TICKS = (90, 75, 50, 25, 10, 5, 2.5, 1, 0.5, 0.25, 0.1)  # per cent of mistakes
_LEAST_MISTAKES = 0.05


def draw_fraction_bits(sweep: Sweep, published: Sequence[PublishedAccuracy] = ()) -> "Figure":
    """Return accuracy and divergence of the weights over the bits behind the point, rounded and truncated.

    Bands are the extremes over networks.

    Raises:
        PlanError: the sweep has no fixed point.
    """
    found = [point for point in points(sweep.rows) if in_fixed_point(point.scheme)]
    if not found:
        raise PlanError("the sweep has no fixed point", expected="rows of fixed:M", found=_found(sweep))
    with styled():
        figure = new_figure(6.6, 5.4)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.7, 1))
        for colour, rounding in ((BLUE, "nearest"), (ORANGE, "floor")):
            line = [point for point in found if point.rounding == rounding]
            if line:
                _draw_line(above, below, line, colour, _NAMES[rounding])
        _draw_floats(above, sweep)
        _draw_published(above, published)
        above.set_ylabel("top-1, %")
        above.set_ylim(0, 104)
        above.set_title(f"{_networks(sweep)}: {found[0].label.partition('.')[0]}.n on {sweep.data}")
        above.legend(loc="lower left")
        grid_lines(above)
        _draw_bits_axis(below, "n, bits behind the point")
    return figure


def draw_bits(sweep: Sweep) -> "Figure":
    """Return accuracy and divergence over bits, a line for every scheme and rounding but fixed point.

    Raises:
        PlanError: the sweep has none.
    """
    found = [point for point in points(sweep.rows) if not in_fixed_point(point.scheme)]
    if not found:
        raise PlanError("the sweep has only fixed point", expected="lq, affine or pow2", found=_found(sweep))
    with styled():
        figure = new_figure(6.6, 5.8)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        colours = _colours(found)
        several = len({point.rounding for point in found}) > 1
        for scheme, rounding in dict.fromkeys((point.scheme, point.rounding) for point in found):
            line = [point for point in found if (point.scheme, point.rounding) == (scheme, rounding)]
            name = title(scheme) + (f", {_NAMES[rounding]}" if several else "")
            _draw_line(above, below, line, colours[scheme], name)
        _draw_floats(above, sweep)
        _by_mistakes(above, sweep, found)
        above.set_title(f"{_networks(sweep)} on {sweep.data}")
        above.legend(loc="lower left")
        _draw_bits_axis(below, "bits of weights and activations")
    return figure


def draw_front(sweep: Sweep) -> "Figure":
    """Return accuracy against size, and against latency where it was measured; the front is joined.

    On the front is what nothing else beats at once in both.
    """
    found = points(sweep.rows)
    costs = [("bytes", "KB of all layers", 1024.0)]
    if any(point.latency_us is not None for point in found):
        costs.append(("latency_us", "µs per sample, one thread", 1.0))
    with styled():
        figure = new_figure(5.2 * len(costs) + 0.6, 4)
        panels = figure.subplots(1, len(costs), squeeze=False)[0]
        for axes, (cost, label, unit) in zip(panels, costs, strict=True):
            _draw_costs(axes, found, cost, unit)
            _draw_floats(axes, sweep)
            axes.set_xscale("log")
            plain_numbers(axes.xaxis)
            axes.set_xlabel(label)
            _by_mistakes(axes, sweep, found)
        figure.suptitle(f"{_networks(sweep)} on {sweep.data}", fontsize=10, x=0.01, ha="left")
        panels[0].legend(loc="lower right")
    return figure


def _colours(found: Sequence[Point]) -> dict[str, str]:
    """Return a colour for every scheme; after the last comes the first."""
    return dict(zip(dict.fromkeys(point.scheme for point in found), cycle(SERIES), strict=False))


def _by_mistakes(axes: "Axes", sweep: Sweep, found: Sequence[Point]) -> None:
    """Let the vertical axis be logarithmic in mistakes, the best on top; accuracies stand at its ticks."""
    accuracies = [100 * value for point in found for value in (point.least, point.most)]
    accuracies += [100 * model.top1 for model in sweep.models]
    low, high = (max(100 - end, _LEAST_MISTAKES) for end in (min(accuracies), max(accuracies)))
    axes.set_yscale("function", functions=(_of_mistakes, _from_mistakes))
    axes.set_ylim(100 - min(1.15 * low, 100), 100 - high / 1.25)
    axes.set_yticks([100 - wrong for wrong in _TICKS if high / 1.25 <= wrong <= 1.15 * low])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylabel("top-1, %")
    grid_lines(axes)


def _of_mistakes(accuracy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return -np.log10(np.maximum(100 - accuracy, _LEAST_MISTAKES / 10))


def _from_mistakes(height: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 100 - np.asarray(10.0**-height)


def _draw_line(above: "Axes", below: "Axes", line: list[Point], colour: str, name: str) -> None:
    """Draw accuracies, with their extremes as a band, and divergences; dashed where nothing is restored."""
    bits, top1 = _xy(line, "top1")
    style = "o--" if line[0].rounding in _COARSE else "o-"
    above.plot(bits, [100 * value for value in top1], style, color=colour, label=name)
    below.plot(*_xy(line, "divergence"), style, color=colour)
    if any(point.least < point.most for point in line):
        low, high = ([100 * value for value in _xy(line, key)[1]] for key in ("least", "most"))
        above.fill_between(bits, low, high, color=colour, alpha=0.15, linewidth=0)


def _draw_bits_axis(axes: "Axes", label: str) -> None:
    """Name the axes of divergences; bits fall from left to right."""
    from matplotlib.ticker import MaxNLocator

    axes.set_ylabel(f"KL of weights, {BINS} bins")
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.invert_xaxis()
    grid_lines(axes)


def _draw_floats(axes: "Axes", sweep: Sweep) -> None:
    """Draw the accuracy of the float networks: a line at their median."""
    from statistics import median

    top1 = 100 * median(model.top1 for model in sweep.models)
    axes.axhline(top1, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)), label=f"float, {top1:.2f} %")


def _draw_published(axes: "Axes", published: Sequence[PublishedAccuracy]) -> None:
    if not published:
        return
    places = [point.bits for point in published], [100 * point.top1 for point in published]
    axes.plot(*places, "D", color=RED, fillstyle="none", markersize=6, label="published", zorder=4)
    for point in published:
        near = {"xytext": (-7, -9), "textcoords": "offset points", "fontsize": 8, "color": RED, "ha": "right"}
        axes.annotate(point.said, (point.bits, 100 * point.top1), **near)  # type: ignore[arg-type]


def _draw_costs(axes: "Axes", found: Sequence[Point], cost: str, unit: float) -> None:
    """Draw every point as a disc with its bits inside, pale where codes are the nearest levels."""
    known = [point for point in found if (getattr(point, cost) or 0) > 0]  # the axis is logarithmic
    best = front(known, cost)
    places = [getattr(point, cost) / unit for point in best], [100 * point.top1 for point in best]
    axes.step(*places, where="post", color=SOFT, linewidth=0.8, zorder=1)
    colours = _colours(found)
    seen: set[str] = set()
    for point in known:
        x, y, colour = getattr(point, cost) / unit, 100 * point.top1, colours[point.scheme]
        pale = point.rounding in _COARSE
        name = title(point.scheme)
        label = "" if name in seen else name
        seen.add(name)
        face = "white" if pale else colour
        axes.plot(x, y, "o", markersize=10, mec=colour, mfc=face, mew=1.1, zorder=2 + (not pale), label=label)
        text = {"ha": "center", "va": "center_baseline", "fontsize": 6.5, "zorder": 3 + (not pale)}
        axes.text(x, y, str(point.bits), color=colour if pale else "white", **text)  # type: ignore[arg-type]
    said = "numbers are bits; hollow: nearest level, or truncated"
    axes.text(1, 1.015, said, transform=axes.transAxes, ha="right", fontsize=7.5, color=SOFT)


def _xy(line: list[Point], key: str) -> tuple[list[int], list[float]]:
    return [point.bits for point in line], [float(getattr(point, key)) for point in line]


def _networks(sweep: Sweep) -> str:
    names = [model.name for model in sweep.models]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _found(sweep: Sweep) -> str:
    return ", ".join(dict.fromkeys(row.setting.scheme for row in sweep.rows)) or "no rows"
