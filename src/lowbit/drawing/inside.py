"""What is inside for single inputs: hidden codes under the pictures that made them, and t-SNE."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.analysis import Embedding, Hidden
from lowbit.drawing.style import BLUE, CLASSES, INK, ORANGE, SOFT, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_COLUMNS = 10


def draw_hidden(pictures: npt.NDArray[np.floating], hidden: Hidden, classes: Sequence[str] = ()) -> "Figure":
    """Return inputs above their hidden codes, up to ten, one of every class where there are labels.

    Args:
        pictures: the inputs ``[n, rows, columns]`` or ``[n, rows, columns, 3]``.
        hidden: a value for the same inputs.
        classes: names; numbers where there are none.
    """
    chosen = _one_of_each(hidden)
    codes = hidden.pictures()[chosen]
    most = float(np.abs(codes).max()) or 1.0
    with styled():
        from matplotlib.colors import LinearSegmentedColormap

        signed = LinearSegmentedColormap.from_list("signed", [BLUE, "white", ORANGE])
        figure = new_figure(0.95 * len(chosen) + 0.3, 0.95 * (1 + codes.shape[1] / codes.shape[2]) + 0.75)
        panels = figure.subplots(2, len(chosen), squeeze=False)
        for column, (sample, code) in enumerate(zip(chosen, codes, strict=True)):
            panels[0, column].imshow(pictures[sample], cmap="gray_r", interpolation="nearest")
            panels[0, column].set_title(_class_of(hidden, int(sample), classes), loc="center")
            panels[1, column].imshow(code, cmap=signed, vmin=-most, vmax=most, interpolation="nearest")
        for axes in panels.flat:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
            axes.spines[:].set_linewidth(0.5)
        bits = "floats" if hidden.bits is None else f"codes of {hidden.bits} bits"
        figure.supxlabel(f"{hidden.value}, {bits}", fontsize=8.5, color=SOFT)
    return figure


def draw_embedding(embedding: Embedding, classes: Sequence[str] = ()) -> "Figure":
    """Return samples in the plane, coloured by class, the class's name at the middle of its samples."""
    with styled():
        figure = new_figure(6, 5.6)
        axes = figure.subplots()
        if embedding.labels is None:
            axes.scatter(embedding.points[:, 0], embedding.points[:, 1], s=5, color=SOFT, linewidths=0)
        else:
            _draw_classes(axes, embedding, classes)
        axes.set_aspect("equal", "datalim")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.set_title(f"t-SNE of {embedding.value}, {len(embedding.points)} samples")
        about = f"perplexity {embedding.perplexity:g}, seed {embedding.seed}, KL {embedding.divergence:.2f}"
        figure.supxlabel(about, fontsize=8.5, color=SOFT)
    return figure


def _draw_classes(axes: "Axes", embedding: Embedding, classes: Sequence[str]) -> None:
    from matplotlib.patheffects import withStroke

    assert embedding.labels is not None
    for number in np.unique(embedding.labels):
        points = embedding.points[embedding.labels == number]
        colour = CLASSES[int(number) % len(CLASSES)]
        axes.scatter(points[:, 0], points[:, 1], s=6, color=colour, alpha=0.75, linewidths=0)
        name = classes[number] if number < len(classes) else str(number)
        x, y = np.median(points, axis=0)
        halo = [withStroke(linewidth=3, foreground="white")]
        axes.text(x, y, name, fontsize=12, ha="center", va="center", color=INK, path_effects=halo)


def _one_of_each(hidden: Hidden) -> npt.NDArray[np.intp]:
    """Return the first sample of every class, in their order, or the first samples."""
    if hidden.labels is None:
        return np.arange(min(len(hidden.reals), _MOST_COLUMNS))
    return np.asarray(np.unique(hidden.labels, return_index=True)[1][:_MOST_COLUMNS])


def _class_of(hidden: Hidden, sample: int, classes: Sequence[str]) -> str:
    if hidden.labels is None:
        return str(sample)
    number = int(hidden.labels[sample])
    return classes[number] if number < len(classes) else str(number)
