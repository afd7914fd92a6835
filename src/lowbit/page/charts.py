"""Small drawings as SVG. Colours come from the page's style, so they follow light, dark and print.

All are 340 units wide, which is about the width of a telephone: letters keep their size.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lowbit.page.markup import Markup, element

WIDTH = 340
MOST_CLASSES = 40
"""More than this a confusion matrix of this width cannot show."""

_NUMBERED = 12  # classes up to which cells have their counts written in
_MOST_MARKS = 64  # lines of levels or thresholds, beyond which they are a grey area

Numbers = npt.NDArray[np.floating] | Sequence[float]


def histogram(
    counts: Numbers, edges: Numbers, levels: Numbers = (), thresholds: Numbers = (), *, about: str
) -> Markup:
    """Return a histogram with the levels and thresholds of an encoding over it.

    Args:
        counts: n of them.
        edges: n + 1, ascending, equally wide.
        levels: reals that codes stand for.
        thresholds: where a code ends and the next begins.
        about: what it shows, for those who do not see it.
    """
    height, foot, top = 130, 18, 14
    counts, edges = np.asarray(counts, float), np.asarray(edges, float)
    low, high = _range(edges, levels, thresholds)

    def across(value: float) -> float:
        return 4 + (WIDTH - 8) * (value - low) / (high - low)

    tallest = max(counts.max(initial=0), 1e-300)
    outline = [f"M{across(edges[0]):.1f} {height}"]
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        y = height - (height - top) * count / tallest
        outline.append(f"L{across(left):.1f} {y:.1f}L{across(right):.1f} {y:.1f}")
    outline.append(f"L{across(edges[-1]):.1f} {height}Z")
    parts = [element("path", d="".join(outline), class_="mass")]
    for value in thresholds if len(thresholds) <= _MOST_MARKS else ():
        parts.append(_upright(across(float(value)), top, height, "threshold"))
    for value in levels if len(levels) <= _MOST_MARKS else ():
        x = across(float(value))
        parts.append(_upright(x, 6, height, "level"))
        parts.append(
            element("rect", x=f"{x - 2.5:.1f}", y="3.5", width="5", height="5", rx="2.5", class_="head")
        )
    parts.append(element("line", x1="4", x2=WIDTH - 4, y1=height, y2=height, class_="axis"))
    parts += _ticks(low, high, across, height + foot - 4)
    return _drawing(parts, height + foot, about)


def confusion(counts: npt.NDArray[np.integer], classes: Sequence[str], *, about: str) -> Markup:
    """Return a confusion matrix: a row for what a sample is, a column for what the network says.

    Right ones are tinted by their share of the row, wrong ones by their share of the largest wrong one.

    Args:
        counts: ``[n, n]``, n at most `MOST_CLASSES`.
        classes: their names or numbers.
        about: what it shows.
    """
    n = len(counts)
    left, top = 74 if max(map(len, classes)) > 3 else 24, 22
    side = (WIDTH - left - 2) / n
    sums = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = np.where(np.eye(n, dtype=bool), 0, counts)
    most_wrong = max(int(wrong.max(initial=0)), 1)
    parts = [element("text", "what the network says →", x=left, y=12, class_="soft")]
    for row in range(n):
        y = top + row * side
        if side >= 9:
            parts.append(
                element("text", _short(classes[row]), x=left - 6, y=f"{y + side / 2 + 4:.1f}", class_="end")
            )
        for column in range(n):
            count, right = int(counts[row, column]), row == column
            share = count / sums[row, 0] if right else count / most_wrong
            x, kind = left + column * side, "right" if right else "wrong"
            box = {"x": f"{x:.2f}", "y": f"{y:.2f}", "width": f"{side - 1:.2f}", "height": f"{side - 1:.2f}"}
            opacity = 0.12 + 0.28 * share if right else 0.5 * share
            parts.append(element("rect", class_="grid", **box))
            if count:
                parts.append(element("rect", class_=kind, fill_opacity=f"{opacity:.3f}", **box))
            if count and n <= _NUMBERED:
                place = {"x": f"{x + side / 2 - 0.5:.1f}", "y": f"{y + side / 2 + 3.5:.1f}"}
                parts.append(element("text", count, class_="middle small", **place))
    return _drawing(parts, round(top + n * side + 2), about)


def _drawing(parts: Sequence[Markup], height: float, about: str) -> Markup:
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=about)


def _range(edges: npt.NDArray[np.floating], *marks: Numbers) -> tuple[float, float]:
    ends = np.concatenate([edges[[0, -1]], *(np.asarray(mark, float) for mark in marks if len(mark))])
    low, high = float(ends.min()), float(ends.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _upright(x: float, top: float, bottom: float, kind: str) -> Markup:
    return element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=top, y2=bottom, class_=kind)


def _ticks(low: float, high: float, across: Callable[[float], float], y: float) -> list[Markup]:
    places = [(low, "start"), (high, "end")] + (
        [(0.0, "middle")] if low < 0.2 * low + 0.8 * high and low < 0 < high else []
    )
    return [
        element("text", f"{value:.3g}", x=f"{across(value):.1f}", y=y, class_=f"{where} soft")
        for value, where in places
    ]


def _short(text: str) -> str:
    return text if len(text) <= 10 else f"{text[:9]}…"
