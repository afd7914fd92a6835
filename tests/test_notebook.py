"""The tour in docs runs, and its cells show well in a browser, in a light and in a dark notebook."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, browser

ROOT = Path(__file__).parent.parent

for package in ("ipykernel", "nbformat", "skl2onnx", "sklearn"):
    pytest.importorskip(package)
client = pytest.importorskip("nbclient")

# What JupyterLab says of its colours, as cells see it.
_THEMES = {
    "light": "--jp-layout-color0: #fff; --jp-layout-color1: #fff; --jp-content-font-color1: rgba(0,0,0,.87); "
    "--jp-content-font-color2: rgba(0,0,0,.66); --jp-border-color2: #e0e0e0",
    "dark": "--jp-layout-color0: #111; --jp-layout-color1: #212121; --jp-content-font-color1: #fff; "
    "--jp-content-font-color2: rgba(255,255,255,.7); --jp-border-color2: #616161",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The tour's cells, run: what each shows as HTML."""
    import nbformat

    notebook = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.pop("outputs", None)
    place = {"metadata": {"path": str(tmp_path_factory.mktemp("tour"))}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the machinery around the kernel
        client.NotebookClient(notebook, timeout=300, resources=place).execute()
    return [html for cell in notebook.cells for html in _html(cell)]


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def test_the_tour_shows_graph_report_and_findings(outputs: list[str]) -> None:
    graph, report, findings = outputs
    assert "Gemm" in graph or "MatMul" in graph
    assert "layers quantized" in report and "Where every byte is" in findings
    assert not any("<script" in html or "<html" in html for html in outputs)


def test_the_kept_tour_shows_the_same_kinds_of_things(outputs: list[str]) -> None:
    import nbformat

    kept = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
    shown = [html for cell in kept.cells for html in _html(cell)]
    assert [_headings(html) for html in shown] == [_headings(html) for html in outputs], "run scripts/tour"


def _headings(html: str) -> list[str]:
    return re.findall(r"<h\d[^>]*>(.*?)</h\d>", html, re.DOTALL)


@pytest.mark.parametrize("theme", _THEMES)
def test_cells_in_a_browser(theme: str, outputs: list[str], tmp_path: Path, window: Browser) -> None:
    page, lit = tmp_path / "tour.html", str(theme == "light").lower()
    style = f"html {{ {_THEMES[theme]}; background: var(--jp-layout-color0) }}"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><title>tour</title><style>{style}</style>"
        f"<body data-jp-theme-light={lit}>{'<hr>'.join(outputs)}</body>"
    )
    window.open(page, width=900)
    assert window.keep(f"notebook-{theme}").stat().st_size > 10_000
    window.check()


def _html(cell: Any) -> list[str]:
    data = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [each["text/html"] for each in data if "text/html" in each]
