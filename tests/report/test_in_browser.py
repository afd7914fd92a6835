"""The report in a real browser: light, dark, on a telephone and printed; and a notebook's cells."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import lowbit
from lowbit import api
from lowbit.report import examine
from tests.browser import Browser, browser
from tests.ir.networks import float_mlp
from tests.report.test_report import HOSTILE, renamed, report


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a network with markup in every name, and hardware."""
    folder = tmp_path_factory.mktemp("pages")
    lowbit.write(renamed(float_mlp((64, 33, 10)), HOSTILE), folder / "float.circle")
    plan = lowbit.quantization.Plan(samples=100)
    api.quantize_file(folder / "float.circle", folder / "low.circle", "digits", plan)
    found = examine(
        folder / "low.circle",
        "digits",
        against=folder / "float.circle",
        hardware=report(folder),
        command="lowbit",
    )
    found.write(folder / "report.html")
    return folder / "report.html"


@pytest.mark.parametrize("width", [1100, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_report(width: int, dark: bool, page: Path, window: Browser) -> None:
    window.open(page, width=width, dark=dark)
    assert window.keep(f"report-{width}-{'dark' if dark else 'light'}").stat().st_size > 10_000
    window.check()
    assert window.run("return document.title") == "low.circle: lowbit report"
    assert window.run("return document.scripts.length") == 0
    ground = window.run("return getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == dark


def test_the_report_printed(page: Path, window: Browser) -> None:
    window.open(page, dark=True)
    printed = window.print()
    assert printed.startswith(b"%PDF") and 10_000 < len(printed) < 2_000_000
    window.run("return 0")


def test_the_check_can_fail(page: Path, window: Browser, tmp_path: Path) -> None:
    """Pale text, a wide element, a script that fails and a picture from elsewhere are all found."""
    whole = page.read_text()
    changes = {
        "pale": ("</style>", ".lowbit.page { --soft: #d0d0d0 }</style>"),
        "wide": ("</main>", "<div style='width:2000px'>wide</div></main>"),
        "fetch": ("</main>", "<img src='https://localhost:1/a.png' alt=''></main>"),
    }
    for name, (old, new) in changes.items():
        path = tmp_path / f"{name}.html"
        path.write_text(whole.replace(old, new))
        window.open(path, width=390)
        with pytest.raises(AssertionError):
            window.check()
        window.run("return 0")
    window.open(page)
    window.check()
