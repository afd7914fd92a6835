"""``lowbit zoo``: networks by name, one of them trained, to try and to measure."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lowbit.cli.console import JsonFlag, kilobytes, print_json, print_table, say


class Scheme(StrEnum):
    """What `--scheme` may say."""

    FLOAT = "float"
    BINARY = "binary"


def zoo(
    name: Annotated[str | None, typer.Argument(help="A network; without one, the list.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write: .onnx, .circle or .txt.")
    ] = None,
    scheme: Annotated[
        Scheme, typer.Option("--scheme", help="float, or binary: one bit, 8-bit pixels.")
    ] = Scheme.FLOAT,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Of random weights; else trained ones where there are."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List networks, or write one: `digits` with trained weights, the others with random ones.

    Example: `lowbit zoo digits -o mlp.onnx` and `lowbit zoo vgg16 -o vgg16.onnx --scheme binary`
    """
    if name is None:
        _list(as_json)
    elif output is None:
        raise typer.BadParameter("say where to write it, such as -o net.onnx")
    else:
        _write(name, output, scheme, seed, as_json)


def _list(as_json: bool) -> None:
    from lowbit.zoo import NETWORKS, parameter_count

    rows = [(key, parameter_count(item), item.input_shape, item.about) for key, item in NETWORKS.items()]
    if as_json:
        names = ("name", "parameters", "input_shape", "about")
        print_json({"networks": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    shown = [(name, f"{count:,}", "×".join(map(str, shape)), about) for name, count, shape, about in rows]
    print_table("networks", ("name", "parameters", "input", "what"), shown)


def _write(name: str, output: Path, scheme: Scheme, seed: int | None, as_json: bool) -> None:
    from lowbit import api
    from lowbit.zoo import TRAINED, binary_graph, float_graph, network, trained

    known = name in TRAINED and scheme is Scheme.FLOAT and seed is None
    build = {Scheme.FLOAT: float_graph, Scheme.BINARY: binary_graph}[scheme]
    graph = trained(name) if known else build(network(name), seed=seed or 0)
    api.write(graph, output)
    size = output.stat().st_size
    if as_json:
        print_json({"output": str(output), "network": graph.name, "bytes": size, "trained": known})
        return
    say(f"{output}: {kilobytes(size)}, {'trained' if known else 'random'} weights")
    say(f"Next: lowbit inspect {output} · lowbit bench {output}", "dim")
