"""``lowbit zoo``: networks by name, one of them trained, to try and to measure."""

from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import JsonFlag, kilobytes, print_json, print_table, say
from lowbit.cli.specifications import OldSchemeOption, said


def zoo(
    name: Annotated[str | None, typer.Argument(help="A network; without one, the list.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write; the suffix names the format, such as .circle."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", callback=said, help="float, or binary: one bit, 8-bit pixels."),
    ] = None,
    activations: Annotated[
        str | None, typer.Option("--activations", callback=said, help="As --weights when not said.")
    ] = None,
    scheme: OldSchemeOption = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Seed of random weights; else trained ones where there are."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List networks, or write one: pretrained at low bits, `digits` in float, others with random weights.

    Example: `lowbit zoo mnist-mlp-1bit -o mlp.circle` and `lowbit zoo vgg16 -o vgg16.onnx --weights binary`
    """
    binary = _is_binary(weights or scheme or "float", activations or weights or scheme or "float")
    if name is None:
        _list(as_json)
    elif output is None:
        raise typer.BadParameter("say where to write it, such as -o net.onnx")
    else:
        _write(name, output, binary, seed, as_json)


def _is_binary(weights: str, activations: str) -> bool:
    """Return whether a network is to be binary, not float.

    Raises:
        PlanError: another specification.
    """
    from lowbit.errors import PlanError
    from lowbit.schemes.specification import specification

    forms = specification(weights, "weights"), specification(activations, "activations")
    if {form.scheme for form in forms} not in ({"float"}, {"binary"}):
        raise PlanError(
            "the zoo makes float and binary networks",
            expected="float or binary, of weights and activations",
            found=f"weights {forms[0]}, activations {forms[1]}",
            remedy="Write the float network, then: lowbit quantize NETWORK --weights … --activations …",
        )
    return not forms[0].is_float


def _list(as_json: bool) -> None:
    from dataclasses import asdict

    from lowbit.networks import pretrained_networks
    from lowbit.zoo import NETWORKS, parameter_count

    ready = pretrained_networks()
    rows = [(key, parameter_count(item), item.input_shape, item.about) for key, item in NETWORKS.items()]
    if as_json:
        names = ("name", "parameters", "input_shape", "about")
        made = [{"name": name, **asdict(row), "here": row.here} for name, row in ready.items()]
        print_json({"networks": [dict(zip(names, row, strict=True)) for row in rows], "pretrained": made})
        return
    cells = [
        (name, f"{row.top1:.2%}", f"{row.bytes:,}", row.about if row.here else f"{row.about} (not here)")
        for name, row in ready.items()
    ]
    print_table("pretrained, low bits: top-1 of MNIST's test set", ("name", "top-1", "bytes", "what"), cells)
    shown = [(name, f"{count:,}", "×".join(map(str, shape)), about) for name, count, shape, about in rows]
    print_table(
        "to train, or with random weights (digits: trained)", ("name", "parameters", "input", "what"), shown
    )


def _write(name: str, output: Path, binary: bool, seed: int | None, as_json: bool) -> None:
    from lowbit import api
    from lowbit.networks import pretrained, pretrained_networks
    from lowbit.zoo import TRAINED, binary_graph, float_graph, network, trained

    known = (name in TRAINED or name in pretrained_networks()) and not binary and seed is None
    if known:
        graph = trained(name) if name in TRAINED else pretrained(name)
    else:
        graph = (binary_graph if binary else float_graph)(network(name), seed=seed or 0)
    api.write(graph, output)
    size = output.stat().st_size
    if as_json:
        print_json({"output": str(output), "network": graph.name, "bytes": size, "trained": known})
        return
    say(f"{output}: {kilobytes(size)}, {'trained' if known else 'random'} weights")
    say(f"Next: lowbit inspect {output} · lowbit bench {output}", "dim")
