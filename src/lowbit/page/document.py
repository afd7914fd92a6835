"""A whole page in one file: its style inside, no script, nothing fetched, and a policy that says so."""

from functools import cache
from pathlib import Path

from lowbit.page.markup import Content, Markup, element, joined

# Even markup that should not be there could neither run nor fetch anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, *content: Content) -> str:
    """Return a page that needs nothing but itself.

    Args:
        title: of the window.
        content: of the page.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        _style(),
    )
    body = element("body", element("main", *content, class_="lowbit page"))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def fragment(*content: Content) -> str:
    """Return the same for a notebook's cell, in the notebook's own colours."""
    return joined((_style(), element("div", *content, class_="lowbit cell")))


@cache
def _style() -> Markup:
    # The file is ours and holds no "</": it is markup as it is.
    return element("style", Markup(Path(__file__).with_name("style.css").read_text()))
