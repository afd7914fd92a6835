"""A search of settings: what every trial reached, and which settings its differences come from."""

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from lowbit.drawing.style import BLUE, ORANGE, SOFT, grid_lines, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_search(facts: Mapping[str, Any]) -> "Figure":
    """Return top-1 by trial with the best so far, and the importance of each setting, where it is known.

    Args:
        facts: of a search (`lowbit.train.tuning.Tuned`).
    """
    shares: Mapping[str, float] = facts["importance"]
    with styled():
        figure = new_figure(6.6, 3.4)
        if shares:
            history, below = figure.subplots(1, 2, width_ratios=(1.7, 1))
            _draw_importance(below, shares)
        else:
            history = figure.subplots()
        _draw_history(history, facts)
    return figure


def _draw_history(axes: "Axes", facts: Mapping[str, Any]) -> None:
    rows = [row for row in facts["trials"] if row["top1"] is not None]
    for state, colour, label in (("complete", BLUE, "whole"), ("early", SOFT, "ended early")):
        found = [(row["trial"], 100 * row["top1"]) for row in rows if row["state"] == state]
        if found:
            axes.scatter(*zip(*found, strict=True), color=colour, label=label, zorder=3)
    best = accumulate((100 * row["top1"] if row["state"] == "complete" else 0.0 for row in rows), max)
    found = [(row["trial"], top) for row, top in zip(rows, best, strict=True) if top]
    axes.step(*zip(*found, strict=True), where="post", color=ORANGE, label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel("top-1, %")
    axes.set_title(f"{facts['recipe']}: {facts['judged_by']}", fontsize="small")
    axes.legend(loc="best")
    grid_lines(axes)


def _draw_importance(axes: "Axes", shares: Mapping[str, float]) -> None:
    names = list(shares)[::-1]
    axes.barh(names, [100 * shares[name] for name in names], color=BLUE)
    axes.set_xlabel("importance, %")
    grid_lines(axes)
