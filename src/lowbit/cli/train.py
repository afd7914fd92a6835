"""``lowbit train``: a recipe in, a folder with a trained network out."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowbit.cli.console import JsonFlag, print_json, say, tracked
from lowbit.cli.specifications import said

if TYPE_CHECKING:
    from lowbit.train import Result


def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML recipe, such as recipes/lenet.toml.")],
    data: Annotated[
        str | None, typer.Option("--data", help="The folder of the recipe's data; else it is looked for.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; when not said, in runs, by recipe and seed.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Instead of the recipe's.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", callback=said, help="Of all layers, such as lq:2; those that the recipe names stay."
        ),
    ] = None,
    activations: Annotated[
        str | None, typer.Option("--activations", callback=said, help="Of all layers' inputs, likewise.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's.")] = None,
    validation: Annotated[
        int | None,
        typer.Option("--validation", min=1, help="Training samples to judge by, not the test samples."),
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="test; or training: the samples that are learned judge too.")
    ] = None,
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
    """Train a network by a recipe.

    Example: `lowbit train recipes/lenet.toml --data /path/to/fashion-mnist`
    Example: `lowbit train recipes/lenet.toml --weights lq:2 --activations lq:2:offset -o runs/lenet-lq2`
    """
    from lowbit.train import Recipe, Splits
    from lowbit.train import train as run

    named = {"seed": seed, "epochs": epochs, "validation": validation, "judge": judge}
    given: dict[str, int | str] = {name: value for name, value in named.items() if value is not None}
    forms = {"weights": weights, "activations": activations}
    said = {name: text for name, text in forms.items() if text is not None}
    chosen = Recipe.read(recipe, **given).with_forms(**said)
    folder = output or Path("runs") / f"{chosen.name}-seed{chosen.seed}"
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one speaks
    with tracked("reading data", hidden=as_json or not first) as advance:
        result = run(
            chosen,
            Splits.load(chosen.data, data),
            out=folder,
            device=device,
            resume=resume,
            force=force,
            progress=advance,
            tell=(lambda line: say(line, "yellow")) if first and not as_json else None,
            tensorboard=tensorboard,
            command=_command(recipe, {**given, **said}),
        )
    if first and keep is not None:
        result.keep(keep)
    if first:
        _print(result, as_json)


def _command(recipe: Path, given: Mapping[str, object]) -> str:
    words = " ".join(f"--{name} {value}" for name, value in given.items())
    return f"lowbit train recipes/{recipe.name} --data DIR {words}".strip()


def _print(result: "Result", as_json: bool) -> None:
    if as_json:
        print_json(dict(result.facts))
        return
    facts = result.facts
    say(
        f"{result.folder}: top-1 {facts['top1']:.2%}, top-5 {facts['top5']:.2%} of {facts['test_samples']} "
        f"samples ({facts['judged_by']}), {facts['cpu_s']:.0f} CPU s"
    )
    say(f"Next: lowbit quantize {result.folder}/model.onnx -o small.circle --data …", "dim")
