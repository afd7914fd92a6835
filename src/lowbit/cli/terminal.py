"""What goes to a terminal. Text of strangers is shown, never obeyed.

A file may carry any character in the names of its nodes, values and classes, and a terminal obeys some of
them: escape sequences (ECMA-48, C0 and C1 controls), and marks that turn the direction of writing. All that
is printed goes through `Terminal`, which writes them as Python would (``\\x1b``, ``\\u202e``).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from lowbit.errors import WriteError
from lowbit.visible import visible, visible_lines

Advance = Callable[[int, int, str], None]
"""Called with what is done, what there is, and what was last."""


@contextmanager
def printing() -> Iterator[None]:
    """Turn what the system says of an output into an error of ours; a reader that has gone is left alone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(
            "the result cannot be printed",
            where="standard output",
            expected="a stream that is open and has room",
            found=error.strerror or str(error),
            remedy="What was to be written as a file is written.",
        ) from error


class Terminal(Console):
    """A console without markup that never writes a control character of the text it is given."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as a console does; where there is no room, or no output, that is a `WriteError`."""
        with printing():
            super().print(*objects, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the parts of what is printed, each made visible."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible_lines(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line's own boundary that nobody reads any more."""
        raise BrokenPipeError


out = Terminal()
progress = Terminal(stderr=True)


def say(text: str, style: str = "") -> None:
    """Print one line."""
    out.print(Text(in_lines(visible(text), out.width), style))


def in_lines(text: str, width: int) -> str:
    """Return text in which words that are longer than a line, as names of layers are, end lines at a mark."""
    return re.sub(rf"\S{{{width + 1},}}", lambda word: _in_lines(word.group(), width), text)


def _in_lines(word: str, width: int) -> str:
    lines = [""]
    for part in re.findall(r"[^-/;,.:_]*[-/;,.:_]|[^-/;,.:_]+", word):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def cell(value: object, style: str = "") -> Text:
    """Return a table's cell; nothing for None."""
    return Text("" if value is None else visible(value), style)


_NAME = 12
"""The least width of a first column whose names are broken into lines."""

_FRAME = 3
"""What a table's lines and blanks take of each column; one more at the end."""


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows; every column but the first is right-aligned, and no word of those is broken.

    Where the terminal is too narrow for that, each row is a paragraph of lines, a column each.
    """
    cells = [[cell(value) for value in row] for row in rows]
    heads = [cell(column) for column in columns]
    widths = [max(_longest_word(row[index]) for row in [heads, *cells]) for index in range(len(heads))]
    least = sum(widths[1:]) + min(widths[0], _NAME) + _FRAME * len(widths) + 1 if widths else 0
    if least > out.width:
        _print_paragraphs(title, heads, cells)
        return
    table = Table(title=cell(title), title_justify="left", header_style="bold")
    spare = out.width - least
    for index, head in enumerate(heads):
        whole = max(row[index].cell_len for row in [heads, *cells])
        wide = min(whole, widths[index] + spare) if index else None
        spare -= wide - widths[index] if wide is not None else 0
        justify: Literal["left", "right"] = "right" if index else "left"
        table.add_column(head, justify=justify, overflow="fold", min_width=wide, max_width=wide)
    for row in cells:
        table.add_row(*row)
    out.print(table)


def _longest_word(text: Text) -> int:
    return max((cell_len(word) for word in text.plain.split()), default=0)


def _print_paragraphs(title: str, heads: Sequence[Text], cells: Sequence[Sequence[Text]]) -> None:
    say(title, "italic")
    for row in cells:
        say(row[0].plain, "bold")
        for head, value in zip(heads[1:], row[1:], strict=True):
            if value.plain:
                say(f"  {head.plain}: {value.plain}")


@contextmanager
def tracked(what: str, hidden: bool = False, share: bool = False) -> Iterator[Advance]:
    """Show a bar while something runs, and give what moves it.

    Args:
        what: runs.
        hidden: show nothing.
        share: say which part is done, in place of how many of how many.
    """
    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), TaskProgressColumn() if share else MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=progress, transient=True, disable=hidden) as bar:
        task = bar.add_task(what, total=None)

        def advance(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=_shortened(visible(what)))

        yield advance


def _shortened(text: str) -> str:
    """Return a name's end, where all of it would take more than a third of a line."""
    most = max(progress.width // 3, 8)
    return text if len(text) <= most else "…" + text[1 - most :]


@contextmanager
def working(what: str, hidden: bool = False) -> Iterator[Callable[[str], None]]:
    """Show that something runs, and give what renames it."""
    if hidden:
        yield lambda step: None
        return
    with progress.status(cell(what)) as status:
        yield lambda step: status.update(cell(step))
