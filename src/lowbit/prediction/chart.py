"""The chart of a prediction as PNG: the picture as the network sees it, and bars of class probabilities."""

import io
from pathlib import Path
from typing import Any

from lowbit.errors import MissingExtra
from lowbit.prediction.predict import Prediction
from lowbit.untrusted import write_atomic

_INK, _SOFT, _LOW, _FLOAT = "#1b1d21", "#585f68", "#23609f", "#b4bac2"


def draw_prediction(prediction: Prediction, path: Path, *, most: int = 10) -> None:
    """Write the chart.

    Args:
        prediction: of one sample.
        path: the ``.png`` to write.
        most: classes shown, those of the highest probabilities.

    Raises:
        MissingExtra: matplotlib is not installed.
        WriteError: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra("matplotlib", "report") from error
    ranked = prediction.ranked(most)[::-1]
    picture, height = prediction.sample.picture, max(2.6, 0.34 * len(ranked) + 0.9)
    figure = Figure(figsize=(8 if picture is not None else 5.4, height), layout="constrained", dpi=150)
    if picture is None:
        bars = figure.subplots()
    else:
        shown, bars = figure.subplots(1, 2, width_ratios=(1, 1.7))
        shown.imshow(picture, cmap="gray", interpolation="nearest", vmin=0, vmax=255)
        shown.set_axis_off()
        shown.set_title(prediction.sample.about, fontsize=9, color=_SOFT, parse_math=False, wrap=True)
    _draw_bars(bars, prediction, ranked)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_atomic(path, buffer.getvalue())


def _draw_bars(axes: Any, prediction: Prediction, ranked: list[int]) -> None:
    """Draw a bar per class, the float network's below the low-bit one's."""
    both = prediction.float_probabilities is not None
    thick, places = (0.36 if both else 0.6), range(len(ranked))
    low = [100 * float(prediction.probabilities[index]) for index in ranked]
    axes.barh([at + 0.2 * both for at in places], low, thick, color=_LOW, label="low-bit" if both else None)
    for at, value in zip(places, low, strict=True):
        axes.text(value + 1.5, at + 0.2 * both, f"{value:.1f} %", va="center", fontsize=8, color=_INK)
    if prediction.float_probabilities is not None:
        floats = [100 * float(prediction.float_probabilities[index]) for index in ranked]
        axes.barh([at - 0.2 for at in places], floats, thick, color=_FLOAT, label="float")
        for at, value in zip(places, floats, strict=True):
            axes.text(value + 1.5, at - 0.2, f"{value:.1f} %", va="center", fontsize=8, color=_SOFT)
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.set_yticks(list(places))
    names = axes.set_yticklabels([_named(prediction, index) for index in ranked], fontsize=9, color=_INK)
    for text in names:
        text.set_parse_math(False)
    axes.set_xlim(0, 115)
    axes.xaxis.set_visible(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _named(prediction: Prediction, index: int) -> str:
    """Return a class's name, marked where it is the sample's own."""
    name = prediction.classes[index]
    short = name if len(name) <= 24 else f"{name[:23]}…"
    return f"{short} ✓" if index == prediction.sample.label else short
