"""HTML from Python calls, where every text is escaped unless it is markup already.

    element("p", "a < b, ", element("em", name))   ->   <p>a &lt; b, <em>…</em></p>

A name from a file can therefore not become markup by being forgotten: only `Markup` passes as it is, and only
this package makes it.
"""

import html
import re
from collections.abc import Iterable

_VOID = frozenset({"meta", "br", "input"})
_EMPTY = frozenset({"rect", "line", "path", "circle"})  # of SVG
# What no document may hold: control characters, halves of surrogate pairs, noncharacters.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is markup; everything else is escaped."""

    __slots__ = ()


Content = str | int | float | None


def escaped(text: object) -> Markup:
    """Return a text as markup that shows it; `Markup` is returned as it is."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_FORBIDDEN.sub("\ufffd", str(text))))


def element(tag: str, *children: Content, **attributes: Content) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        children: markup, or texts and numbers, which are escaped; None is left out.
        attributes: by name; ``class_`` is ``class``, other underscores are hyphens. None is left out.
    """
    facts = "".join(
        f' {_attribute(name)}="{escaped(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID | _EMPTY:
        return Markup(f"<{tag}{facts}{'/' if tag in _EMPTY else ''}>")
    return Markup(f"<{tag}{facts}>{joined(children)}</{tag}>")


def joined(parts: Iterable[Content]) -> Markup:
    """Return parts one after another, escaped where they are no markup."""
    return Markup("".join(escaped(part) for part in parts if part is not None))


def name(text: str) -> Markup:
    """Return a name from a file: in letters of equal width, and its direction kept to itself."""
    return element("bdi", element("code", text))


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")
