"""Accuracy before and after, which samples changed sides, and which class is taken for which."""

import numpy as np

from lowbit.page import Column, Markup, element, joined, table
from lowbit.page.charts import MOST_CLASSES, confusion
from lowbit.report.findings import Accuracy, Findings
from lowbit.report.numbers import percent, points

_PAIRS = 8  # classes taken for each other, listed


def section(found: Findings) -> Markup | None:
    """Return accuracy before and after; None where there are neither labels nor a float network."""
    if found.accuracy is None:
        if found.agreement is None:
            return None
        return element(
            "p",
            f"The data has no labels. {percent(found.agreement)} of {len(found.data):,} samples get ",
            "the class that the float network gives them.",
        )
    return joined((_table(found, found.accuracy), _changes(found, found.accuracy), _backend(found.accuracy)))


def confusion_section(found: Findings) -> Markup | None:
    """Return the confusion matrices, float first, and the pairs that are confused most."""
    both = [each for each in (found.origin_accuracy, found.accuracy) if each is not None]
    if not both:
        return None
    few = len(both[0].confusion.classes) <= MOST_CLASSES
    cards = [_card(each) for each in both] if few else []
    return element("div", *cards, element("div", _pairs(both), class_="card"), class_="cards")


def _table(found: Findings, after: Accuracy) -> Markup:
    before = found.origin_accuracy
    floats = (None, None) if before is None else (before.top1, before.top5)
    rows = [("top-1", after.top1, floats[0]), ("top-5", after.top5, floats[1])]
    columns = [Column(""), Column("low-bit", number=True)]
    if before is not None:
        columns += [Column("float", number=True), Column("difference, points", number=True)]
    shown = []
    for label, now, was in rows:
        if now is not None:
            cells = [label, percent(now)]
            if before is not None and was is not None:
                cells += [percent(was), points(now - was)]
            shown.append(cells)
    return table(columns, shown)


def _changes(found: Findings, after: Accuracy) -> Markup:
    """Return how sure the figure is, and how many samples were lost and won."""
    count = len(after.right)
    error = 1.96 * (after.top1 * (1 - after.top1) / count) ** 0.5
    text = f"{count:,} samples leave ± {100 * error:.2f} points of chance (95 %) in a top-1."
    if found.origin_accuracy is None:
        return element("p", text, class_="soft")
    was = found.origin_accuracy.right
    lost, won = int((was & ~after.right).sum()), int((~was & after.right).sum())
    return element(
        "p",
        f"Right in float and wrong now: {lost:,}. Wrong in float and right now: {won:,}. "
        f"The same class from both: {percent(found.agreement or 0.0)}. ",
        element("span", text, class_="soft"),
    )


def _backend(after: Accuracy) -> Markup | None:
    if after.scores.backend == "engine":
        return None
    return element("p", f"Run by the reference evaluator: {after.scores.why}.", class_="soft")


def _card(accuracy: Accuracy) -> Markup:
    matrix = accuracy.confusion
    title = element("h3", f"{matrix.name}, {percent(accuracy.top1)}")
    return element(
        "div",
        title,
        confusion(matrix.counts, matrix.classes, about=f"confusion, {matrix.name}"),
        class_="card",
    )


def _pairs(both: list[Accuracy]) -> Markup:
    """Return the pairs of classes that the last network confuses most."""
    last = both[-1].confusion
    wrong = np.where(np.eye(len(last.counts), dtype=bool), 0, last.counts)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    columns = [Column("class"), Column("taken for")]
    columns += [Column(each.confusion.name, number=True) for each in reversed(both)]
    rows = []
    for true, found in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[true, found]:
            counts = [f"{int(each.confusion.counts[true, found]):,}" for each in reversed(both)]
            rows.append([last.classes[true], last.classes[found], *counts])
    return table(columns, rows) if rows else element("p", "No sample is taken for another class.")
