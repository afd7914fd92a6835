"""Markup: no text becomes markup, whatever it is; pages need nothing but themselves."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.page import Column, Markup, bar, document, element, escaped, fragment, joined, name, table
from lowbit.page.charts import confusion, histogram

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'\"&<>",
    "</style>",
    "]]>",
    "\u202e",
]


class Reader(HTMLParser):
    """What a browser makes of it: tags, attributes and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.facts: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.facts += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    page = Reader(element("p", text, title=text, class_="a"))
    assert page.tags == ["p"] and [key for key, _ in page.facts] == ["title", "class"]
    page.texts[0:0] = [] if text else [""]
    shown = "".join(page.texts)
    assert shown == re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)
    shown.encode()


def test_markup_passes_as_it_is() -> None:
    assert element("p", element("b", "a"), None, 3) == "<p><b>a</b>3</p>"
    assert isinstance(joined(("a", Markup("<b>"))), Markup) and escaped(Markup("<")) == "<"
    assert element("rect", class_="a", fill_opacity="1") == '<rect class="a" fill-opacity="1"/>'
    assert name("a<b") == "<bdi><code>a&lt;b</code></bdi>"


@pytest.mark.parametrize("text", HOSTILE)
def test_tables_and_drawings_escape(text: str) -> None:
    columns = (Column(text, about=text), Column("b", number=True))
    parts = [
        table(columns, [(text, 1), (text, bar(0.5, text))], last_is_total=True),
        histogram([1, 2], [0, 1, 2], about=text),
        confusion(np.array([[3, 1], [0, 2]]), [text, text], about=text),
        name(text),
    ]
    page = Reader(document(text, *parts))
    assert not {"script", "img"} & set(page.tags)
    assert not [key for key, _ in page.facts if key.startswith("on")]
    assert sum(text in each for each in page.texts) >= 4


def test_a_page_needs_nothing_but_itself() -> None:
    page = document("title", element("p", "text"))
    assert page.startswith("<!doctype html>")
    assert any(value and value.startswith("default-src 'none'") for _, value in Reader(page).facts)
    assert "http" not in page.replace("http-equiv", "") and "url(" not in page and "@import" not in page
    assert "<style>" in fragment("a") and "<html" not in fragment("a")


def test_bars_are_shares() -> None:
    for share, width in ((0.5, "50.0%"), (-1, "0.0%"), (7, "100.0%"), (0.0004, "0.0%")):
        assert f"width:{width}" in bar(share)


@pytest.mark.parametrize("levels", [[], [0.5], [-1, 0, 1], list(range(256))])
@pytest.mark.parametrize("counts", [[0], [0, 0, 0], [5], list(range(64))])
def test_histograms(counts: list[int], levels: list[float]) -> None:
    edges = np.linspace(-2, 3, len(counts) + 1)
    drawn = histogram(counts, edges, levels, np.array(levels[:-1]) + 0.5, about="weights")
    numbers = [float(text) for text in re.findall(r'[xyd12]="(-?[\d.]+)"', drawn)]
    assert drawn.count('class="level"') == (len(levels) if len(levels) <= 64 else 0)
    assert "nan" not in drawn and all(-5 <= number <= 345 for number in numbers)


def test_a_histogram_of_one_value() -> None:
    assert "nan" not in histogram([4], [1.0, 1.0], about="one value")


@pytest.mark.parametrize("classes", [1, 2, 10, 12, 13, 40])
def test_confusion(classes: int) -> None:
    counts = np.arange(classes**2).reshape(classes, classes)
    drawn = confusion(counts, [str(n) for n in range(classes)], about="confusion")
    assert drawn.count('class="right"') == int((np.diag(counts) > 0).sum())
    assert drawn.count('class="middle small"') == (int((counts > 0).sum()) if classes <= 12 else 0)
