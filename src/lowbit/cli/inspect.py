"""``lowbit inspect``: whether the network works, its layers, and where every byte of the file is."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.padding import Padding

from lowbit.cli.console import JsonFlag, cell, kilobytes, out, print_json, print_table, say
from lowbit.errors import ExitCode, LowbitError, UsageError

_ROWS = 16
"""Of the table of bytes, unless all are asked for."""


def inspect(
    model: Annotated[Path, typer.Argument(help="A network, float or low-bit.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the file's hashes and every invariant.")
    ] = False,
    graph: Annotated[bool, typer.Option("--graph", help="Print the graph as text too.")] = False,
    all_bytes: Annotated[bool, typer.Option("--bytes", help="Print the whole table of bytes.")] = False,
    needed: Annotated[
        list[str] | None,
        typer.Option("--for", help="Exit with 5 unless this works, such as engine (which it is), .circle."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether a network works, all that is in the way, what can be quantized, and where the bytes are.

    Example: `lowbit inspect mlp.circle --verify`
    """
    from lowbit import api

    wanted = needed or ["engine"]
    _check(wanted)
    try:
        result = api.inspect(model, verify=verify)
    except LowbitError as error:
        if not error.blockers:
            raise
        _refused(model, error, as_json)
        raise typer.Exit(error.exit_code) from None
    if as_json:
        print_json(result)
    else:
        if graph:
            for line in str(api.read(model)).split("\n"):
                out.print(cell(line), soft_wrap=True)
        _show(model, result, all_bytes)
        _last(result, verify)
    blocked = {row["name"] for row in result["targets"] if row["blockers"]}
    if blocked.intersection(wanted):
        raise typer.Exit(ExitCode.NETWORK)


def _check(wanted: Iterable[str]) -> None:
    from lowbit.compatibility import target_names

    unknown = [name for name in wanted if name not in target_names()]
    if unknown:
        raise UsageError(
            "there is no such target", where="--for", expected=", ".join(target_names()), found=unknown[0]
        )


def _refused(model: Path, error: LowbitError, as_json: bool) -> None:
    """Say what keeps a file from being read."""
    from lowbit.blockers import to_dict

    blockers = [to_dict(each) for each in error.blockers]
    if as_json:
        print_json({"reads": False, "blockers": blockers, "error": error.to_dict()})
        return
    say(f"{model}: not read, {sum(each['count'] for each in blockers)} in the way", "bold red")
    for each in blockers:
        _blocker(each, "")
    if error.remedy and error.remedy not in {each["remedy"] for each in blockers}:
        say(error.remedy)


def _show(model: Path, result: dict[str, Any], all_bytes: bool) -> None:
    """Print what a file holds, then whether it works."""
    _layers(model, result)
    _bytes(result, all_bytes)
    ends = [(end, row) for end in ("input", "output") for row in result[f"{end}s"]]
    count = sum(result["operators"].values())
    say(f"{model}: {result['format']}, {count} operator{'s' if count != 1 else ''}", "bold")
    for end, row in ends:
        say(f"  {end} {row['name']}: {row['dtype']} [{', '.join(map(str, row['shape']))}]")
    say("Does it work?", "bold")
    width = max(len(row["name"]) for row in result["targets"])
    for row in result["targets"]:
        count = sum(each["count"] for each in row["blockers"])
        style = "red" if count else "green"
        say(f"  {row['name']:<{width}}  {f'no, {count} in the way' if count else 'yes'}", style)
    for each, names in _merged(result["targets"]):
        _blocker(each, ", ".join(names))
    _quantization(result["quantization"])


def _layers(model: Path, result: dict[str, Any]) -> None:
    if not result["layers"]:
        return
    columns = ("name", "scheme", "weight_bits", "activation_bits", "bytes")
    print_table(
        f"{model}: layers",
        ("layer", "scheme", "weights", "inputs", "bytes"),
        [[layer[column] for column in columns] for layer in result["layers"]],
    )


def _bytes(result: dict[str, Any], everything: bool) -> None:
    rows = [(row["name"], row["what"].split(";")[0], row["bytes"]) for row in result["table"]]
    if len(rows) > _ROWS and not everything:
        shown = sorted(rows, key=lambda row: row[2], reverse=True)[:_ROWS]
        rest = sum(row[2] for row in rows) - sum(row[2] for row in shown)
        rows = [*(row for row in rows if row in shown)][:_ROWS]
        rows.append((f"{len(result['table']) - len(rows)} others", "--bytes shows them", rest))
    print_table("bytes", ("where", "what", "bytes"), [*rows, ("total", "", result["bytes"])])


def _merged(targets: list[dict[str, Any]]) -> list[tuple[dict[str, Any], list[str]]]:
    """Return each blocker once, with the names of the targets that it keeps from the network."""
    found: dict[tuple[str, str, tuple[str, ...]], tuple[dict[str, Any], list[str]]] = {}
    for target in targets:
        for each in target["blockers"]:
            key = each["operator"], each["what"], tuple(each["nodes"])
            found.setdefault(key, (each, []))[1].append(target["name"])
    return list(found.values())


def _blocker(blocker: dict[str, Any], targets: str) -> None:
    """Print a blocker: how many of what, why, where, and what to do."""
    kind = f"{blocker['operator']}: " if blocker["operator"] else ""
    out.print(Padding(cell(f"{blocker['count']} × {kind}{blocker['what']}", "red"), (0, 0, 0, 2)))
    details = [
        ("not in", targets),
        ("at", ", ".join(blocker["nodes"])),
        ("expected", blocker["expected"]),
        ("found", blocker["found"]),
        ("do", blocker["remedy"]),
    ]
    for label, text in details:
        if text:
            out.print(Padding(cell(f"{label}: {_cut(text)}", "dim"), (0, 0, 0, 6)))


def _cut(text: str) -> str:
    return text if len(text) <= 300 else text[:299] + "…"


def _quantization(found: dict[str, Any]) -> None:
    layers = found["layers"]
    possible = [layer for layer in layers if not layer["why"]]
    if not possible:
        say(f"It cannot be quantized: {found['why']}", "red")
        return
    say(
        f"{len(possible)} of {len(layers)} layers can be quantized; plans call them by the names above.",
        "green",
    )
    for layer in layers:
        if layer["why"]:
            say(f"  {layer['name']} stays as it is: {layer['why']}", "dim")


def _last(result: dict[str, Any], verify: bool) -> None:
    held = "hashes and invariants hold" if result["hashed"] else "invariants hold; it has no hash"
    say(_memory(result["memory"]), "dim")
    for note in result["notes"]:
        say(note, "yellow")
    say(kilobytes(result["bytes"]) + (f"; {held}" if verify else ""), "dim")


def _memory(memory: dict[str, Any]) -> str:
    if memory["why"]:
        return f"the engine does not run it: {memory['why']}"
    taken = f"{kilobytes(memory['constants'])} for constants, {kilobytes(memory['arena'])} for values"
    return f"the engine takes {taken}; {memory['allowed'] / 2**30:.1f} GiB are allowed"
