"""Tables: texts to the left, numbers to the right in digits of equal width, shares as bars."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lowbit.page.markup import Content, Markup, element, joined


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: its heading.
        number: whether it is aligned to the right.
        about: what it means, shown when pointed at.
    """

    title: str
    number: bool = False
    about: str | None = None


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[Content]], *, last_is_total: bool = False
) -> Markup:
    """Return a table; it scrolls by itself where the page is too narrow.

    Args:
        columns: from left to right; the first names the row.
        rows: of as many cells.
        last_is_total: whether the last row sums the others up.
    """
    head = element(
        "tr", *(element("th", column.title, class_=_kind(column), title=column.about) for column in columns)
    )
    body = [
        element(
            "tr",
            *(
                _cell(index, cell, column)
                for index, (cell, column) in enumerate(zip(row, columns, strict=True))
            ),
        )
        for row in rows
    ]
    foot = element("tfoot", body.pop()) if last_is_total and body else None
    whole = element("table", element("thead", head), element("tbody", *body), foot)
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=columns[0].title)


def bar(share: float, text: str = "", kind: str = "") -> Markup:
    """Return a bar for a table's cell: `share` in [0, 1] of its full length, and a text behind it."""
    width = f"width:{100 * min(max(share, 0.0), 1.0):.1f}%"
    track = element("span", element("span", class_=f"fill {kind}".strip(), style=width), class_="track")
    return joined((track, element("span", text, class_="value") if text else None))


def _cell(index: int, cell: Content, column: Column) -> Markup:
    if index == 0:
        return element("th", cell, scope="row", class_=_kind(column))
    return element("td", cell, class_=_kind(column))


def _kind(column: Column) -> str | None:
    return "number" if column.number else None
