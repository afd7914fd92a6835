"""``lowbit plot``: one picture per command, as PNG, SVG or PDF."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.cli.command import Application
from lowbit.cli.console import (
    DataOption,
    JsonFlag,
    NormalizeOption,
    SplitOption,
    model_names,
    parse_normalize,
    print_json,
    say,
    working,
)
from lowbit.cli.specifications import (
    FixedActivationsOption,
    FixedWeightsOption,
    OldSchemeOption,
    all_said,
    fixed_point,
)
from lowbit.errors import PlanError

if TYPE_CHECKING:
    from lowbit.data import Dataset
    from lowbit.ir import Graph
    from lowbit.schemes import FixedPoint
    from lowbit.sweep import Sweep

plot = Application(name="plot", help="Draw what is inside, cost and lost.", no_args_is_help=True)

OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Where to draw: .png, .svg or .pdf.")]
ModelArgument = Annotated[Path, typer.Argument(help="A network, float or low-bit.")]
LayerOption = Annotated[
    str | None, typer.Option("--layer", help="A node or value; what the last layer reads when not said.")
]


class Published(StrEnum):
    """What `--published` may say."""

    LST1 = "lst1"


class Kind(StrEnum):
    """What `--kind` may say."""

    FRACTION = "fraction"
    BITS = "bits"
    FRONT = "front"


PublishedOption = Annotated[
    Published | None, typer.Option("--published", help="Draw published points too: lst1.")
]
KindOption = Annotated[
    Kind | None, typer.Option("--kind", help="fraction, bits or front; what fits when not said.")
]


@plot.command("levels")
def levels(
    model: Annotated[Path, typer.Argument(help="A low-bit network; or a float one, with --weights.")],
    output: OutputOption,
    layer: Annotated[str | None, typer.Option("--layer", help="Which; the first low-bit one else.")] = None,
    neuron: Annotated[int, typer.Option("--neuron", min=0, help="Which output of the layer.")] = 0,
    against: Annotated[
        Path | None, typer.Option("--against", help="The float network, for its weights.")
    ] = None,
    weights: FixedWeightsOption = None,
    activations: FixedActivationsOption = None,
    scheme: OldSchemeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw a neuron's levels over the histogram of its weights.

    Example: `lowbit plot levels mlp.circle --against mlp.onnx --layer fc1 --neuron 3 -o levels.png`
    """
    from lowbit import api
    from lowbit.analysis import neuron_levels
    from lowbit.drawing import check_suffix, draw_levels, save
    from lowbit.ir.layers import layers_of

    check_suffix(output)
    before = api.read(against or model)
    graph = _in_form(api.read(model), fixed_point(weights, activations, scheme))
    low_bit = [each.name for each in layers_of(graph) if each.scheme != "float"]
    name = layer or (low_bit or [each.name for each in layers_of(graph)] or [""])[0]
    beside = before if against or weights or scheme else None
    save(draw_levels(neuron_levels(graph, name, neuron, beside)), output)
    _say(output, as_json)


@plot.command("weights")
def weights(
    models: Annotated[
        list[Path], typer.Argument(help="A float network, and low-bit ones made from it, a panel for each.")
    ],
    output: OutputOption,
    forms: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            callback=all_said,
            help="A panel for the first network rounded to fixed:M.N; repeated.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw the distribution of all weights before and after quantization.

    Example: `lowbit plot weights lst1.onnx --weights fixed:6.5 --weights fixed:6.4 -o weights.png`
    """
    from lowbit import api
    from lowbit.analysis import weight_distribution
    from lowbit.drawing import check_suffix, draw_distributions, save

    check_suffix(output)
    formats = [fixed_point(form, None, None) for form in forms or []]
    before, *low_bit = map(api.read, models)
    after = dict(zip(model_names(models)[1:], low_bit, strict=True))
    after |= {_label(form): _in_form(before, form) for form in formats if form is not None}
    if not after:
        raise PlanError(
            "there is nothing to compare the weights with",
            where=str(models[0]),
            expected="low-bit networks made from it, or --weights fixed:M.N",
        )
    found = {name: weight_distribution(before, graph) for name, graph in after.items()}
    save(draw_distributions(found), output)
    if as_json:
        divergence = {name: each.divergence for name, each in found.items()}
        print_json({"output": str(output), "divergence": divergence})
        return
    for name, each in found.items():
        say(f"{name}: divergence {each.divergence:.3f} of {each.before.sum():,} weights")
    _say(output, as_json)


@plot.command("sweep")
def sweep(
    source: Annotated[Path, typer.Argument(help="The JSON that `lowbit sweep -o` wrote.")],
    output: OutputOption,
    kind: KindOption = None,
    published: PublishedOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw a sweep: over bits behind the point, over bits, or against size and latency.

    Example: `lowbit plot sweep sweep.json --published lst1 -o sweep.png`
    """
    from lowbit.drawing import check_suffix
    from lowbit.sweep import Sweep

    check_suffix(output)
    draw_sweep(Sweep.read(source), output, kind, published)
    _say(output, as_json)


@plot.command("hidden")
def hidden(
    model: ModelArgument,
    data: DataOption,
    output: OutputOption,
    layer: LayerOption = None,
    weights: FixedWeightsOption = None,
    activations: FixedActivationsOption = None,
    scheme: OldSchemeOption = None,
    split: SplitOption = None,
    normalize: NormalizeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw hidden codes under the pictures that make them, one of every class.

    Example: `lowbit plot hidden lst1.onnx --data mnist --weights fixed:6.7 -o hidden.png`
    """
    from lowbit import api
    from lowbit.analysis import hidden as find
    from lowbit.drawing import check_suffix, draw_hidden, save

    check_suffix(output)
    graph = _in_form(api.read(model), fixed_point(weights, activations, scheme))
    dataset = _samples(graph, data, split, normalize, limit=1000)
    found = find(graph, dataset.samples, layer, labels=dataset.labels)
    save(draw_hidden(_pictures(dataset), found, dataset.classes), output)
    _say(output, as_json)


@plot.command("tsne")
def tsne(
    model: ModelArgument,
    data: DataOption,
    output: OutputOption,
    layer: LayerOption = None,
    weights: FixedWeightsOption = None,
    activations: FixedActivationsOption = None,
    scheme: OldSchemeOption = None,
    samples: Annotated[int, typer.Option("--samples", min=2, help="How many samples.")] = 2000,
    perplexity: Annotated[float, typer.Option("--perplexity", min=1, help="Neighbours that count.")] = 30,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random start.")] = 0,
    split: SplitOption = None,
    normalize: NormalizeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw samples in the plane by what a layer makes of them.

    Example: `lowbit plot tsne lst1.onnx --data mnist -o tsne.png`
    """
    from lowbit import api
    from lowbit.analysis import hidden as find
    from lowbit.analysis import tsne as embed
    from lowbit.drawing import check_suffix, draw_embedding, save

    check_suffix(output)
    graph = _in_form(api.read(model), fixed_point(weights, activations, scheme))
    dataset = _samples(graph, data, split, normalize, limit=samples)
    found = find(graph, dataset.samples, layer, labels=dataset.labels)
    with working("t-SNE"):
        embedding = embed(found, perplexity=perplexity, seed=seed)
    save(draw_embedding(embedding, dataset.classes), output)
    _say(output, as_json)


@plot.command("confusion")
def confusion(
    models: Annotated[list[Path], typer.Argument(help="Networks, a matrix for each.")],
    data: DataOption,
    output: OutputOption,
    weights: FixedWeightsOption = None,
    activations: FixedActivationsOption = None,
    scheme: OldSchemeOption = None,
    hardware: Annotated[
        bool, typer.Option("--hardware", help="And its hardware, simulated clock by clock (LST engines).")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, show_default="all", help="The most samples to use.")
    ] = None,
    split: SplitOption = None,
    normalize: NormalizeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw confusion matrices side by side.

    Example: `lowbit plot confusion lst1.onnx --data mnist --weights fixed:6.7 --hardware -o confusion.png`
    """
    from lowbit import api
    from lowbit.analysis import confusion as count
    from lowbit.drawing import check_suffix, draw_confusions, save
    from lowbit.scores import checked_labels, score

    check_suffix(output)
    graphs = dict(zip(model_names(models), map(api.read, models), strict=True))
    first = next(iter(graphs.values()))
    form = fixed_point(weights, activations, scheme)
    if form is not None:
        graphs[_label(form)] = _in_form(first, form)
    found = []
    for name, graph in graphs.items():
        dataset = _samples(graph, data, split, normalize, limit)
        labels = checked_labels(dataset, graph)
        scores = score(graph, dataset.samples).values
        found.append(count(labels, scores, name=name, classes=dataset.classes or None))
    if hardware:
        with working("simulation"):
            classes = _simulated(_in_form(first, form), data, split, normalize, limit)
        found.append(count(labels, classes, name="hardware", classes=found[-1].classes))
    save(draw_confusions(found), output)
    if as_json:
        print_json({"output": str(output), "matrices": [matrix.to_dict() for matrix in found]})
        return
    for matrix in found:
        say(f"{matrix.name}: {matrix.top1:.2%} of {matrix.samples}")
    _say(output, as_json)


def draw_sweep(result: "Sweep", output: Path, kind: Kind | None, published: Published | None) -> None:
    """Write the curve of a sweep that is meant, or that fits: over fraction bits where there are such."""
    from lowbit.drawing import draw_bits, draw_fraction_bits, draw_front, save
    from lowbit.zoo.published import LST1_ACCURACY

    fixed = any(row.setting.integer_bits is not None for row in result.rows)
    if kind is Kind.FRONT:
        save(draw_front(result), output)
    elif kind is Kind.FRACTION or (kind is None and fixed):
        save(draw_fraction_bits(result, LST1_ACCURACY if published else ()), output)
    else:
        save(draw_bits(result), output)


def _simulated(graph: "Graph", data: str, split: str | None, normalize: str | None, limit: int | None) -> Any:
    """Return the classes that simulated hardware finds."""
    from lowbit.data import remembered_normalize
    from lowbit.rtl.hardware import hardware

    pixels = remembered_normalize(graph, parse_normalize(normalize), (0.0, 1.0))
    made = hardware(graph, engine="lst", normalize=pixels)
    return made.run(made.stream(data, split=split or "test", limit=limit)).classes


def _samples(
    graph: "Graph", data: str, split: str | None, normalize: str | None, limit: int | None
) -> "Dataset":
    from lowbit import api

    dataset = api.load_samples(graph, data, split or "test", parse_normalize(normalize))
    return replace(
        dataset,
        samples=dataset.samples[:limit],
        labels=None if dataset.labels is None else dataset.labels[:limit],
    )


def _in_form(graph: "Graph", encoding: "FixedPoint | None") -> "Graph":
    """Return the network, in fixed point where that is said."""
    if encoding is None:
        return graph
    from lowbit.quantization import to_fixed_point

    return to_fixed_point(graph, encoding.integer_bits, encoding.fraction_bits, encoding.rounding)


def _label(encoding: "FixedPoint") -> str:
    truncated = "" if encoding.rounds_to_nearest else ", truncated"
    return f"Q{encoding.integer_bits}.{encoding.fraction_bits}{truncated}"


def _pictures(dataset: "Dataset") -> Any:
    """Return samples as pictures ``[n, rows, columns]`` or with three colours last, in [0, 1]."""
    import numpy as np

    x = dataset.samples
    if x.ndim == 4 and x.shape[1] in (1, 3):
        x = np.moveaxis(x, 1, -1).squeeze(-1) if x.shape[1] == 1 else np.moveaxis(x, 1, -1)
    elif x.ndim != 3:
        from lowbit.analysis import Hidden

        x = Hidden("", None, x, None).pictures()
    low, high = float(x.min()), float(x.max())
    return (x - low) / ((high - low) or 1)


def _say(output: Path, as_json: bool) -> None:
    if as_json:
        print_json({"output": str(output)})
    else:
        say(f"{output}", "dim")
