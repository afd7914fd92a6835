"""Pages and drawings from plain data: HTML and SVG, every text escaped, no script and nothing fetched."""

from lowbit.page.document import document, fragment
from lowbit.page.markup import Content, Markup, element, escaped, joined, name
from lowbit.page.table import Column, bar, table

__all__ = [
    "Column",
    "Content",
    "Markup",
    "bar",
    "document",
    "element",
    "escaped",
    "fragment",
    "joined",
    "name",
    "table",
]
