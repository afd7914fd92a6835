"""Small drawings as SVG. Colours come from the page's style, so they follow light, dark and print.

All are 340 units wide, which is about the width of a telephone: letters keep their size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.page.markup import Markup, element

WIDTH = 340
MOST_CLASSES = 40
"""More than this a confusion matrix of this width cannot show."""

_NUMBERED = 12  # classes up to which cells have their counts written in
_HEAD, _LETTERS = 22, 9  # above the matrix; the least side of a cell whose row has a name
_HEIGHT, _TOP, _FOOT, _EDGE = 120, 8, 18, 4
_MOST_MARKS = 64  # lines of levels or thresholds, beyond which they are a grey area

Numbers = npt.NDArray[np.floating] | Sequence[float]


def histogram(
    counts: Numbers,
    edges: Numbers,
    levels: Numbers = (),
    thresholds: Numbers = (),
    use: Numbers = (),
    *,
    about: str,
) -> Markup:
    """Return a histogram with the levels and thresholds of an encoding over it.

    Args:
        counts: n of them; none draws levels alone.
        edges: n + 1, ascending, equally wide.
        levels: reals that codes stand for.
        thresholds: where a code ends and the next begins.
        use: how often each level is used, which becomes the height of its line; all are equal without it.
        about: what it shows, for those who do not see it.
    """
    frame = _Frame(*_range(edges, levels, thresholds))
    parts = [frame.mass(np.asarray(counts, float), np.asarray(edges, float))] if len(counts) else []
    if len(thresholds) <= _MOST_MARKS:
        parts += [frame.upright(float(value), 1, "threshold") for value in thresholds]
    if len(levels) <= _MOST_MARKS:
        most = max(max(use, default=1), 1e-300)
        heights = [share / most for share in use] or [1] * len(levels)
        for value, height in zip(levels, heights, strict=True):
            parts += [frame.upright(float(value), height, "level"), frame.head(float(value), height)]
    return _drawing([*parts, *frame.axis()], _HEIGHT + _FOOT, about)


def confusion(counts: npt.NDArray[np.integer], classes: Sequence[str], *, about: str) -> Markup:
    """Return a confusion matrix: a row for what a sample is, a column for what the network says.

    Right ones are tinted by their share of the row, wrong ones by their share of the largest wrong one.

    Args:
        counts: ``[n, n]``, n at most `MOST_CLASSES`.
        classes: their names or numbers.
        about: what it shows.
    """
    n, left = len(counts), 74 if max(map(len, classes)) > 3 else 24
    side = (WIDTH - left - 2) / n
    shares = _tints(counts)
    parts = [element("text", "what the network says →", x=left, y=12, class_="soft")]
    for row in range(n):
        y = _HEAD + row * side
        if side >= _LETTERS:
            parts.append(
                element("text", _short(classes[row]), x=left - 6, y=f"{y + side / 2 + 4:.1f}", class_="end")
            )
        for column in range(n):
            kind = "right" if row == column else "wrong"
            count = int(counts[row, column])
            parts += _cell(left + column * side, y, side, kind, float(shares[row, column]), count)
            if count and n <= _NUMBERED:
                place = {"x": f"{left + (column + 0.5) * side - 0.5:.1f}", "y": f"{y + side / 2 + 3.5:.1f}"}
                parts.append(element("text", count, class_="middle small", **place))
    return _drawing(parts, round(_HEAD + n * side + 2), about)


def _tints(counts: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return how opaque each cell is; pale enough for letters over it."""
    right = np.eye(len(counts), dtype=bool)
    rows = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    most_wrong = max(int(np.where(right, 0, counts).max(initial=0)), 1)
    return np.where(right, 0.12 + 0.28 * counts / rows, 0.5 * counts / most_wrong)


def _cell(x: float, y: float, side: float, kind: str, tint: float, count: int) -> list[Markup]:
    box = {"x": f"{x:.2f}", "y": f"{y:.2f}", "width": f"{side - 1:.2f}", "height": f"{side - 1:.2f}"}
    ground = element("rect", class_="grid", **box)
    return [ground, element("rect", class_=kind, fill_opacity=f"{tint:.3f}", **box)] if count else [ground]


def _drawing(parts: Sequence[Markup], height: float, about: str) -> Markup:
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=about)


@dataclass(frozen=True)
class _Frame:
    """The place of a histogram: reals from left to right, shares of the largest from the bottom up."""

    low: float
    high: float

    def mass(self, counts: npt.NDArray[np.floating], edges: npt.NDArray[np.floating]) -> Markup:
        tallest = max(counts.max(initial=0), 1e-300)
        steps = [f"M{self._x(edges[0])} {_HEIGHT}"]
        for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
            y = self._y(count / tallest)
            steps.append(f"L{self._x(left)} {y}L{self._x(right)} {y}")
        return element("path", d="".join([*steps, f"L{self._x(edges[-1])} {_HEIGHT}Z"]), class_="mass")

    def upright(self, value: float, share: float, kind: str) -> Markup:
        x = self._x(value)
        return element("line", x1=x, x2=x, y1=self._y(share), y2=_HEIGHT, class_=kind)

    def head(self, value: float, share: float) -> Markup:
        place = {"cx": self._x(value), "cy": self._y(share), "r": "2.5"}
        return element("circle", class_="head", **place)

    def axis(self) -> list[Markup]:
        places = [(self.low, "start"), (self.high, "end")]
        width = self.high - self.low
        if min(-self.low, self.high) > 0.2 * width:  # far enough from both ends
            places.append((0.0, "middle"))
        line = element("line", x1=_EDGE, x2=WIDTH - _EDGE, y1=_HEIGHT, y2=_HEIGHT, class_="axis")
        return [line] + [
            element(
                "text",
                f"{value:.3g}".replace("-", "−"),
                x=self._x(value),
                y=_HEIGHT + _FOOT - 4,
                class_=f"{where} soft",
            )
            for value, where in places
        ]

    def _x(self, value: float) -> str:
        return f"{_EDGE + (WIDTH - 2 * _EDGE) * (value - self.low) / (self.high - self.low):.1f}"

    def _y(self, share: float) -> str:
        return f"{_HEIGHT - (_HEIGHT - _TOP) * share:.1f}"


def _range(*marks: Numbers) -> tuple[float, float]:
    ends = np.concatenate([np.asarray(mark, float) for mark in marks])
    low, high = float(ends.min()), float(ends.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _short(text: str) -> str:
    return text if len(text) <= 10 else f"{text[:9]}…"
