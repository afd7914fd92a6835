"""The report as a page: sections in the order in which people ask."""

from lowbit.page import Content, Markup, document, element, fragment, joined, name
from lowbit.report import accuracy, cost, hurt, levels
from lowbit.report.findings import Findings
from lowbit.report.numbers import kilobytes, microseconds, percent, times
from lowbit.report.remake import asked, hardware, remade

Section = tuple[str, Markup | None]


def page(found: Findings) -> str:
    """Return a whole page."""
    return document(f"{found.network.path.name}: lowbit report", *_content(found))


def cell(found: Findings) -> str:
    """Return the same for a notebook."""
    return fragment(*_content(found))


def _content(found: Findings) -> list[Content]:
    sections: list[Section] = [
        ("What was asked", asked(found)),
        ("Accuracy", accuracy.section(found)),
        ("Where every byte is", cost.bytes_section(found)),
        ("Which layer hurts", hurt.section(found)),
        ("Which kernel ran", cost.speed_section(found)),
        ("Levels", levels.section(found)),
        ("Confusion", accuracy.confusion_section(found)),
        ("Hardware", hardware(found)),
        ("How to make this again", remade(found)),
    ]
    shown = [element("section", element("h2", title), body) for title, body in sections if body is not None]
    return [_head(found), _figures(found), *shown]


def _head(found: Findings) -> Markup:
    origin = found.origin
    beside = None if origin is None else joined((" beside the float network ", name(origin.path.name)))
    about = element("p", found.network.graph.name, beside, ", on ", found.data_name, class_="soft")
    return element("header", element("h1", found.network.path.name), about)


def _figures(found: Findings) -> Markup:
    figures = [_accuracy(found), _size(found), _time(found)]
    return element("div", *(each for each in figures if each is not None), class_="figures")


def _figure(value: str, what: str, beside: str = "") -> Markup:
    return element(
        "div",
        element("b", value),
        element("span", what),
        element("span", beside) if beside else None,
        class_="figure",
    )


def _accuracy(found: Findings) -> Markup | None:
    if found.accuracy is None:
        agreement = found.agreement
        return None if agreement is None else _figure(percent(agreement), "same class as the float network")
    origin = found.origin_accuracy
    beside = "" if origin is None else f"float {percent(origin.top1)}"
    return _figure(percent(found.accuracy.top1), f"top-1 of {len(found.data):,} samples", beside)


def _size(found: Findings) -> Markup:
    origin = found.origin
    beside = (
        ""
        if origin is None
        else f"float {kilobytes(origin.bytes)} · {times(origin.bytes / found.network.bytes)}"
    )
    return _figure(kilobytes(found.network.bytes), "file", beside)


def _time(found: Findings) -> Markup | None:
    steps, origin = found.speed.steps, found.origin_speed
    if steps is None:
        return None
    beside = ""
    if origin is not None and origin.steps is not None:
        ratio = origin.steps.seconds / steps.seconds
        beside = f"float {microseconds(origin.steps.seconds)} · {times(ratio)}"
    return _figure(microseconds(steps.seconds), "a sample, one thread, our engine", beside)
