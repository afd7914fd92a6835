"""Mixed bits against uniform ones: expected error of the output over bytes of the file."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lowbit.drawing.style import BLUE, INK, ORANGE, grid_lines, new_figure, plain_numbers, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAST = 1e-6


def draw_mixtures(uniform: Sequence[Mapping[str, Any]], mixed: Sequence[Mapping[str, Any]]) -> "Figure":
    """Return the front of mixtures as a line, with every uniform setting as a point that has its name.

    Args:
        uniform, mixed: rows with ``name``, ``bytes`` and ``error``.
    """
    with styled():
        figure = new_figure(6.6, 3.8)
        axes = figure.subplots()
        front = sorted((row["bytes"] / 1000, max(row["error"], _LEAST)) for row in mixed)
        axes.plot(
            *zip(*front, strict=True),
            color=BLUE,
            marker="o",
            markersize=3,
            label="bits of its own for each layer",
        )
        points = [(row["bytes"] / 1000, max(row["error"], _LEAST)) for row in uniform]
        axes.scatter(*zip(*points, strict=True), color=ORANGE, zorder=3, label="the same bits in all layers")
        for row, point in zip(uniform, points, strict=True):
            axes.annotate(
                row["name"], point, xytext=(5, 4), textcoords="offset points", color=INK, fontsize=8
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        plain_numbers(axes.xaxis)
        plain_numbers(axes.yaxis, lambda error: f"{100 * error:g} %")
        axes.set_xlabel("file, kB")
        axes.set_ylabel("expected error of the output")
        axes.legend(loc="best")
        grid_lines(axes)
    return figure
