"""The table "To change X, go to Y" of ARCHITECTURE.md: what it names is there, and is what a toy touches."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.recipes import RECIPES, ROOT, Recipe

PAGE = ROOT / "ARCHITECTURE.md"
_PATH = re.compile(r"[\w./-]*/[\w./-]*|[\w-]+\.(py|inc|md|css|toml|cc|h|inl)")
_NAME = re.compile(r"[A-Za-z_]\w+")

UNUSED = {
    "add a kernel level": {"cpp/core/paths.inc"},
    "add a scheme": {"src/lowbit/schemes/*/train.py"},
    "add a processing element": {"src/lowbit/rtl/primitives"},
}
"""What a line offers and its toy has no need of."""


def rows() -> dict[str, str]:
    """Return the lines of the table: where to go, by what one wants to do."""
    table = PAGE.read_text().partition("## To change X, go to Y")[2].partition("\n## ")[0]
    cells = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {to.strip(): go.strip() for to, go in cells[1:]}


ROWS = rows()


def words(text: str) -> list[str]:
    """Return what stands in a cell as code, and where its links lead."""
    return [code or link for code, link in re.findall(r"`([^`]+)`|\]\(([^)]+)\)", text)]


def found(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield every path that a cell names, and its place in the repository, or None: a name follows a folder.

    ``NAME`` is a name to be given; it becomes a star.
    """
    folders = ["", "src/lowbit/"]
    for word in filter(_PATH.fullmatch, words(text)):
        places = [folder + word.replace("NAME", "*").strip("/") for folder in reversed(folders)]
        place = next((place for place in places if any(ROOT.glob(place))), None)
        yield word, place
        if place:
            folders += [f"{place}/" if _is_folder(place) else f"{Path(place).parent}/"]


def _is_folder(place: str) -> bool:
    return any(path.is_dir() for path in ROOT.glob(place))


def sources(places: list[str]) -> Iterator[str]:
    """Yield the texts of files, and of those in folders."""
    for place in places:
        for path in ROOT.glob(place):
            inside = [path] if path.is_file() else path.rglob("*.*")
            yield from (each.read_text() for each in inside if each.suffix in (".py", ".inc", ".h", ".cc"))


def test_lines_are_there() -> None:
    assert len(ROWS) > 40 and all(words(go) for go in ROWS.values())


@pytest.mark.parametrize("line", ROWS)
def test_what_a_line_names_is_there(line: str) -> None:
    paths = list(found(ROWS[line]))
    assert paths, "a line names a path"
    assert not [word for word, place in paths if place is None]
    names = [word for word in words(ROWS[line]) if _NAME.fullmatch(word)]
    texts = list(sources([place for _, place in paths if place])) if names else []
    assert not [name for name in names if not any(re.search(rf"\b{name}\b", text) for text in texts)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.line)
def test_a_line_names_what_a_toy_touches(recipe: Recipe) -> None:
    named = {place for _, place in found(ROWS[recipe.line]) if place} - UNUSED.get(recipe.line, set())
    touched, new = recipe.touched(), set(recipe.files())
    folders = [place for place in named if _is_folder(place)]
    unnamed = {path for path in touched - new if path not in named}
    unnamed |= {path for path in new if not any(Path(path).parent.match(place) for place in folders)}
    assert not unnamed, "the line does not say so"
    unneeded = {place for place in named if not any(_is_or_holds(place, path) for path in touched)}
    assert not unneeded, "the toy does without"


def _is_or_holds(place: str, path: str) -> bool:
    return Path(path).match(place) or any(parent.match(place) for parent in Path(path).parents)


def test_a_wrong_path_is_seen() -> None:
    assert dict(found("`src/lowbit/schemes/` and `registre.py`, or [this](docs/no.md)")) == {
        "src/lowbit/schemes/": "src/lowbit/schemes",
        "registre.py": None,
        "docs/no.md": None,
    }
