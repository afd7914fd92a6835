"""``lowbit train``: a recipe, or a module of one's own and data, in; a folder with a trained network out."""

import ast
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.cli.console import JsonFlag, parse_normalize, print_json, print_table, progress, say, tracked
from lowbit.cli.specifications import said
from lowbit.data.framing import framing_or_asked
from lowbit.visible import visible

if TYPE_CHECKING:
    from lowbit.train import Recipe, Result
    from lowbit.train.seeds import Repeated

MEASURED = "measured"


def train(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|FILE.py:NAME",
            help="A TOML recipe; or your own module, such as mynet.py:Net; or a network of the zoo.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="A folder of folders of pictures, an .npz of x and y, another file of data, or a name. "
            "Of a recipe: the folder of its data; else it is looked for.",
        ),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="A TOML plan of low bits; float without.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", callback=said, help="Of all layers, such as lq:2; those that the plan names stay."
        ),
    ] = None,
    activations: Annotated[
        str | None, typer.Option("--activations", callback=said, help="Of all layers' inputs, likewise.")
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Option("--set", help="What your module is called with: --set width=16. May be repeated."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; when not said, in runs, by name and seed.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="10, or the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="32, or the recipe's.")] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Of the optimizer: 0.001, or the recipe's.")
    ] = None,
    optimizer: Annotated[str | None, typer.Option("--optimizer", help="adamw, adam or sgd.")] = None,
    clip: Annotated[
        float | None, typer.Option("--clip", help="The most that the norm of all gradients may be.")
    ] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="float32 or bf16.")] = None,
    sample: Annotated[
        str | None, typer.Option("--input", help="Lengths of a sample as your module takes it: 1,28,28.")
    ] = None,
    normalize: Annotated[
        str | None,
        typer.Option(
            "--normalize",
            help="MEAN,STD after scaling to [0, 1]; by channel M,M,S,S; or measured: of what is learned.",
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option("--validation", help="Training samples that judge every epoch: 500, 0.2 or 20%."),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge", help="test; both: validation every epoch, test the end; or training: what is learned."
        ),
    ] = None,
    best: Annotated[
        bool | None, typer.Option("--best/--last", help="Which epoch is kept: the best by validation?")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="0, or the recipe's.")] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="So many seeds, from --seed on: mean and deviation.")
    ] = 1,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Translate by torch.compile; an error where that cannot be.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on from the folder's checkpoint, or start again.")
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Go on though recipe, data or code differ; the result says so.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="A folder of results to keep the figures in too.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the curve for TensorBoard too.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train your own network, or one by a recipe; the recipe that was run is written beside the result.

    Example: `lowbit train mynet.py:Net --data pictures --resize 32x32 --weights lq:2 --activations lq:2`
    Example: `lowbit train 'mynet.py:Net(width=16)' --data sensors.npz --seeds 3 --normalize measured`
    Example: `lowbit train recipes/lenet.toml --data /path/to/fashion-mnist`
    """
    from lowbit.train import load_data, measured, train_seeds
    from lowbit.train import train as run
    from lowbit.train.experiment import default_folder

    measure = normalize == MEASURED
    means, deviations = parse_normalize(None if measure else normalize) or ((), ())
    named: dict[str, Any] = {
        "seed": seed,
        "epochs": epochs,
        "batch": batch,
        "precision": precision,
        "validation": parse_share(validation),
        "judge": judge,
        "keep": None if best is None else "best" if best else "last",
        "compile": compiled or None,
        "input": parse_lengths(sample),
        "normalize": [*_many(means), *_many(deviations)] or None,
        "arguments": parse_arguments(arguments) or None,
        "optimizer": {"name": optimizer, "rate": rate, "clip": clip},
        "plan": plan,
    }
    forms = {name: text for name, text in (("weights", weights), ("activations", activations)) if text}
    chosen, place = asked(what, data, named, forms)
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one speaks
    folder = output or default_folder(chosen, seeds if seeds > 1 else 0)
    options: dict[str, Any] = {"device": device, "resume": resume, "force": force, "tensorboard": tensorboard}
    words = {**named, **named["optimizer"], "normalize": normalize, "set": arguments, **forms}
    options["command"] = command_of(what, words, seeds)
    hidden = as_json or not first
    options["tell"] = None if hidden else lambda line: progress.print(visible(line), style="yellow")
    with tracked("reading data", hidden=hidden) as advance:
        splits = load_data(chosen, place)
        chosen = measured(chosen, splits) if measure else chosen
        told = _told(chosen, hidden)
        if seeds > 1:
            lines = lambda number: (_part(advance, number, seeds), told)
            repeated = train_seeds(chosen, splits, seeds, out=folder, progress=lines, **options)
        else:
            result = run(chosen, splits, out=folder, progress=advance, epoch_done=told, **options)
    if not first:
        return
    if seeds > 1:
        _print_seeds(repeated, keep, as_json)
        return
    if keep is not None:
        result.keep(keep)
    _print(result, as_json)


def asked(
    what: str, data: str | None, named: Mapping[str, Any], forms: Mapping[str, str]
) -> tuple["Recipe", str | None]:
    """Return the recipe of what was said, and the folder of its data, where that is a name."""
    from lowbit.data import NAMES
    from lowbit.train import Recipe, recipe_of
    from lowbit.train.recipe import read_table

    framing = framing_or_asked(None)
    given = {
        name: value
        for name, value in named.items()
        if value is not None and name not in ("optimizer", "plan")
    }
    if framing is not None:
        sizes = {"resize": framing.resize, "crop": framing.crop}
        given |= {name: "x".join(map(str, size)) for name, size in sizes.items() if size}
        given |= {"colours": framing.colours} if framing.colours else {}
    if named.get("plan") is not None:
        given["plan"] = read_table(named["plan"], "the plan")
    if what.endswith(".toml"):
        chosen, place = Recipe.read(what, **given), data
        if data is not None and chosen.data not in NAMES and not Path(chosen.data).is_file():
            chosen, place = replace(chosen, data=data), None
    else:
        if data is None:
            raise typer.BadParameter("of a module or network, say which data it learns", param_hint="--data")
        chosen, place = recipe_of(what, data, given), None
    step = {name: value for name, value in named["optimizer"].items() if value is not None}
    return replace(chosen, optimizer=replace(chosen.optimizer, **step)).with_forms(**forms), place


def parse_share(text: str | None) -> int | float | None:
    """Return the number of ``500``, ``0.2`` or ``20%``."""
    if text is None:
        return None
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
            return share if 0 < share < 1 else _no_share(text)
        number = float(text)
        return int(text) if text.isdigit() and number >= 1 else number if 0 < number < 1 else _no_share(text)
    except ValueError:
        return _no_share(text)


def _no_share(text: str) -> float:
    raise typer.BadParameter(f"expected a count such as 500, or a share such as 0.2 or 20%, found {text!r}")


def parse_lengths(text: str | None) -> list[int] | None:
    """Return the lengths of ``1,28,28``."""
    if text is None:
        return None
    words = text.split(",")
    if not all(word.strip().isdigit() for word in words):
        raise typer.BadParameter(f"expected lengths such as 1,28,28, found {text!r}", param_hint="--input")
    return [int(word) for word in words]


def parse_arguments(texts: Sequence[str] | None) -> dict[str, Any]:
    """Return the values of ``width=16`` by name: literals of Python, and text where they are none."""
    found: dict[str, Any] = {}
    for text in texts or ():
        name, mark, value = text.partition("=")
        if not mark or not name.strip().isidentifier():
            raise typer.BadParameter(
                f"expected NAME=VALUE such as width=16, found {text!r}", param_hint="--set"
            )
        try:
            found[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            found[name.strip()] = value
    return found


def command_of(what: str, said: Mapping[str, Any], seeds: int) -> str:
    """Return the command that remakes a result: paths of the reader's own are written as names."""
    framing = framing_or_asked(None)
    sizes = {"resize": framing.resize, "crop": framing.crop} if framing else {}
    said = {
        **said,
        **sizes,
        "colours": framing.colours if framing else "",
        "seeds": seeds if seeds > 1 else None,
    }
    file, mark, name = what.rpartition("/")[2].partition(".py:")
    words = [f"recipes/{file}" if what.endswith(".toml") else f"{file}{mark}{name}", "--data", "DIR"]
    for key, value in said.items():
        words += _said_as(key, value)
    return f"lowbit train {shlex.join(words)}"


def _said_as(key: str, value: Any) -> list[str]:
    """Return the words of an option of the command line."""
    match key, value:
        case (_, None | "" | ()) | (("arguments" | "optimizer"), _):
            return []
        case "compile", _:
            return ["--compile"]
        case "keep", _:
            return [f"--{value}"]
        case "set", _:
            return [word for each in value for word in ("--set", each)]
        case "plan", _:
            return ["--plan", Path(value).name]
        case "name", _:
            return ["--optimizer", str(value)]
        case (("resize" | "crop"), _):
            return [f"--{key}", "x".join(map(str, value))]
    return [f"--{key}", ",".join(map(str, value)) if isinstance(value, list) else str(value)]


def _many(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _part(advance: Any, number: int, seeds: int) -> Any:
    """Return what moves the bar of all seeds by the steps of one."""
    return lambda done, total, text: advance(
        number * total + done, seeds * total, f"{number + 1}/{seeds} {text}"
    )


def _told(recipe: "Recipe", hidden: bool) -> Any:
    """Return what prints a line for every epoch."""

    def told(row: Mapping[str, Any]) -> None:
        right = f", top-1 {row['top1']:.2%}" if "top1" in row else ""
        progress.print(
            visible(f"epoch {row['epoch']}/{recipe.epochs}: loss {row['loss']:.4f}{right}"), style="dim"
        )

    return None if hidden else told


def _print(result: "Result", as_json: bool) -> None:
    if as_json:
        print_json(dict(result.facts))
        return
    facts, low = result.facts, result.folder / "model.circle"
    top5 = f", top-5 {facts['top5']:.2%}" if facts["top5"] < 1 else ""  # of five classes it says nothing
    say(
        f"{result.folder}: top-1 {facts['top1']:.2%}{top5} of {facts['test_samples']} "
        f"samples ({facts['judged_by']}), {facts['cpu_s']:.0f} CPU s"
    )
    if "kept_epoch" in facts:
        own = facts.get("validation", facts)
        say(f"Kept: epoch {facts['kept_epoch']}, the best by validation ({own['top1']:.2%}).", "dim")
    found = facts["differences"].get("circle", {})
    if "classes" in found:
        say(
            f"{low.name} in the engine: top-1 {found['top1']:.2%}, {found['classes']} of "
            f"{facts['test_samples']} classes differ from torch.",
            "dim",
        )
    for name, why in facts["not_written"].items():
        say(f"model.{name} is not written: {why}", "yellow")
    if facts["scheme"] == "float":
        say(f"Next: lowbit quantize {result.folder}/model.onnx -o small.circle --data …", "dim")
    else:
        say(f"Next: lowbit compile {low} -o model.lbp", "dim")


def _print_seeds(repeated: "Repeated", keep: Path | None, as_json: bool) -> None:
    for result in repeated.results:
        if keep is not None:
            result.keep(keep)
    facts = repeated.facts
    if as_json:
        print_json(facts)
        return
    rows: list[list[object]] = [
        [run["seed"], f"{run['top1']:.2%}", f"{run['top5']:.2%}"] for run in facts["runs"]
    ]
    ends = [(facts[name]["mean"], facts[name]["deviation"]) for name in ("top1", "top5")]
    rows.append(["mean", *(f"{mean:.2%}" for mean, _ in ends)])
    rows.append(["deviation", *(f"{100 * deviation:.2f}" for _, deviation in ends)])
    print_table(f"{repeated.folder}", ["seed", "top-1", "top-5"], rows)
    say(f"{facts['judged_by']}, {facts['test_samples']} samples; {facts['cpu_s']:.0f} CPU s", "dim")
