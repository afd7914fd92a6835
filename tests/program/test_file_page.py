"""docs/formats/program.md says what the code does."""

import re
import struct
from pathlib import Path

from lowbit.formats import PROGRAM
from lowbit.program import file
from tests.fuzz.mutators import NETWORKS

PAGE = (Path(__file__).parents[2] / "docs/formats/program.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading or a sentence."""
    lines = PAGE[PAGE.index(heading) :].splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("|---"))
    cells = []
    for line in lines[first + 1 :]:
        if not line.startswith("|"):
            break
        cells.append([cell.strip() for cell in line.strip("|").split("|")])
    return cells


def offsets(layout: struct.Struct) -> list[int]:
    """Return where each field of a layout begins."""
    kinds = re.findall(r"(\d*)([a-zA-Z])", layout.format)
    each = [kind for count, kind in kinds for _ in range(1 if kind == "s" else int(count or 1))]
    sizes = [8 if kind == "s" else struct.calcsize(f"<{kind}") for kind in each]
    return [sum(sizes[:n]) for n in range(len(sizes))]


def test_header_and_arrays_lie_as_it_says() -> None:
    header = rows("## Header")
    assert [int(at) for at, *_ in header] == [*offsets(file.HEADER), file.HEADER.size]
    assert sum(int(size) for _, size, _ in header) == file.HEADER.size + 32 == 64
    assert PROGRAM.hex(" ") in header[0][2] and f"version: {file.VERSION}" in header[1][2]
    table = rows("The table follows the header")
    assert [int(at) for at, *_ in table] == offsets(file.SECTION)[:5]
    assert sum(int(size) for _, size, _ in table) == file.SECTION.size


def test_records_are_declared_as_it_says() -> None:
    kinds = (file.Network, file.Port, file.PlannedStep, file.Note)
    assert [cell.strip("`") for cell, _ in rows("The kinds of every file")] == [
        file.line_of(kind) for kind in kinds
    ]


def test_words_and_types_are_those_of_files() -> None:
    known = set(re.findall(r"`([^`]+)`", " ".join(word for word, _ in rows("A record is the number"))))
    types = set(re.findall(r"`(\w+)`", rows("The table follows the header")[0][2]))
    names = {kind.__name__ for kind in file.declared()}
    for kind in file.declared():
        for hint in file.fields_of(kind).values():
            assert file.word_of(hint).rstrip("*") in known | types | names, kind
    for make in NETWORKS.values():
        content = file.content_of(make())
        count = file.HEADER.unpack_from(content)[4]
        used = {
            file.SECTION.unpack_from(content, 64 + 64 * n)[0].rstrip(b"\0").decode() for n in range(count)
        }
        assert used <= types
