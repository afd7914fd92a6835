"""A whole page in one file: its style inside, nothing fetched, and a policy that says so.

It has a script where one is asked for.
"""

from functools import cache
from pathlib import Path

from lowbit.page.markup import Content, Markup, element, joined

# Even markup that should not be there could neither run nor fetch anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_SCRIPTS = "script-src 'unsafe-inline' 'wasm-unsafe-eval'"


def document(title: str, *content: Content, style: str = "", script: str = "") -> str:
    """Return a page that needs nothing but itself.

    Args:
        title: of the window.
        content: of the page.
        style: of this page alone; ours, like the script.
        script: that runs when the page is read; without one the page forbids all. It may run WebAssembly.
    """
    policy = f"{_POLICY}; {_SCRIPTS}" if script else _POLICY
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        _style(),
        element("style", Markup(style)) if style else None,
    )
    run = element("script", Markup(script)) if script else None
    body = element("body", element("main", *content, class_="lowbit page"), run)
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def fragment(*content: Content) -> str:
    """Return the same for a notebook's cell, in the notebook's own colours."""
    return joined((_style(), element("div", *content, class_="lowbit cell")))


@cache
def _style() -> Markup:
    # The file is ours and holds no "</": it is markup as it is.
    return element("style", Markup(Path(__file__).with_name("style.css").read_text()))
