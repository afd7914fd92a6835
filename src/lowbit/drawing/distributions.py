"""All weights of a network before and after quantization, panel beside panel."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lowbit.analysis import WeightDistribution
from lowbit.drawing.style import BLUE, PALE, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_distributions(found: Mapping[str, WeightDistribution]) -> "Figure":
    """Return a panel for each network after quantization: its weights over the bins of those before.

    Shares are drawn to the power of a half, so that rare large weights are seen beside the many near zero.

    Args:
        found: by the name of what the weights became.
    """
    with styled():
        figure = new_figure(3.6 * len(found) + 0.6, 3.2)
        panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
        for axes, (name, each) in zip(panels, found.items(), strict=True):
            total, widths = max(int(each.before.sum()), 1), np.diff(each.edges)
            look = {"align": "edge", "color": PALE, "ec": "white", "label": "before"}
            axes.bar(each.edges[:-1], each.before / total, widths, **look)
            axes.stairs(each.after / total, each.edges, color=BLUE, linewidth=1.2, label="after")
            axes.set_yscale("function", functions=(np.sqrt, np.square))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            axes.set_xlabel("weight")
            axes.set_title(f"{name}: divergence {each.divergence:.3f}")
        panels[0].set_ylabel("share of all weights in a bin")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower right", ncols=2, fontsize=8)
    return figure
