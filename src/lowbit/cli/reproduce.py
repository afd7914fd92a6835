"""``lowbit reproduce``: published figures beside ours, and how to make ours again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from lowbit.cli.console import JsonFlag, out, print_json, print_table, say, tracked
from lowbit.cli.experiment import Precision

if TYPE_CHECKING:
    from lowbit.reproduce import Row


def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="A row, such as L2, or several, such as L10; without one, the list.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", show_default="looked for", help="Where data sets are.")
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Where trained networks go.")] = Path("runs"),
    recipes: Annotated[
        Path | None,
        typer.Option(
            "--recipes", show_default="./recipes, or the package's own", help="The folder of recipes."
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", show_default="./results, or the package's own", help="The folder of results."
        ),
    ] = None,
    precision: Precision = None,
    as_json: JsonFlag = False,
) -> None:
    """List published figures beside ours, or make one again: what it needs is trained first.

    Example: `lowbit reproduce L2 --data DIR`
    """
    from lowbit.recipes import carried
    from lowbit.reproduce import find_rows, read_rows

    recipes, results = recipes or carried("recipes"), results or carried("results")
    rows = read_rows(recipes)
    if name is None:
        _list(list(rows.values()), results, as_json)
    else:
        _remake(find_rows(rows, name), data, runs, recipes, results, precision, as_json)


def _list(rows: "list[Row]", results: Path, as_json: bool) -> None:
    found = [_facts(row, results) for row in rows]
    if as_json:
        print_json({"rows": found})
        return
    table = Table(
        title=Text("rows"), title_justify="left", header_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for heading in ("row", "what · where ours is · what makes it"):
        table.add_column(heading, overflow="fold")
    for heading in ("published", "ours"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, facts in zip(rows, found, strict=True):
        about = Text(f"{row.what}\n")
        about.append(f"{_where(facts)} · {row.command}", style="dim")
        table.add_row(Text(row.name), about, row.text(row.published), row.text(facts["ours"]))
    out.print(table)
    made = sum(facts["ours"] is not None for facts in found)
    say(f"{made} of {len(rows)} rows are made. Next: lowbit reproduce ROW --data DIR", "dim")


def _where(facts: dict[str, Any]) -> str:
    """Return the first file of a row's results, and how many more there are."""
    files = facts["files"]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{files[0]}{more}" if files else "not made yet"


def _facts(row: "Row", results: Path) -> dict[str, Any]:
    from lowbit.reproduce import kept

    ours = kept(row, results)
    return {
        "name": row.name,
        "what": row.what,
        "published": row.published,
        "source": row.source,
        "ours": ours.value if ours else None,
        "unit": row.unit,
        "files": [str(path) for path in ours.files] if ours else [],
        "command": row.command,
    }


def _remake(
    rows: "list[Row]",
    data: Path | None,
    runs: Path,
    recipes: Path,
    results: Path,
    precision: str | None,
    as_json: bool,
) -> None:
    from lowbit.reproduce import remake, steps

    found: list[dict[str, Any]] = []
    made: dict[str, dict[str, Any]] = {}
    for row in rows:
        for step in () if as_json or row.command in made else steps(row, recipes, runs, results):
            say(f"{row.name}: trains {step.recipe}, seed {step.seed}; {_time(step.cpu_s)}", "dim")
        with tracked(row.name, hidden=as_json) as advance:
            facts = _facts(row, results) | {
                "remade": remake(row, recipes, runs, data, advance, made, precision)
            }
        found.append(facts | {"agrees": _agrees(row, facts)})
    if as_json:
        print_json({"rows": found})
        return
    shown = [
        (
            row.name,
            row.what,
            *(row.text(facts[key]) for key in ("published", "ours", "remade")),
            {True: "yes", False: "no", None: ""}[facts["agrees"]],
            row.source,
        )
        for row, facts in zip(rows, found, strict=True)
    ]
    print_table("made again", ("row", "what", "published", "ours, kept", "now", "agrees", "source"), shown)


def _agrees(row: "Row", facts: dict[str, Any]) -> bool | None:
    return None if facts["ours"] is None else row.agrees(facts["remade"], facts["ours"])


def _time(seconds: float | None) -> str:
    """Return how long a training took where its result was kept, for people."""
    if seconds is None:
        return "how long is not known"
    return f"it took {seconds:.0f} s" if seconds < 120 else f"it took {seconds / 60:.0f} min"
