"""``lowbit bench``: latency beside other runtimes, interleaved in one run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lowbit.cli.console import JsonFlag, ThreadsOption, print_json, print_table, say


def bench(
    model: Annotated[Path, typer.Argument(help="A network, float or low-bit.")],
    against: Annotated[
        Path | None, typer.Option("--against", help="The float network (.onnx) that the peers run.")
    ] = None,
    threads: ThreadsOption = 1,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Samples per call.")] = 1,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Rounds; medians are taken over them.")
    ] = 5,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Every step: its kernel, time and share of the peak.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Measure Python call to Python call; a ratio is the peer's time over ours.

    Example: `lowbit bench mlp.circle --against mlp.onnx`
    """
    from lowbit.bench import compare

    if per_layer:
        _per_layer(model, batch, as_json)
        return
    result = compare(model, against, threads=threads, batch=batch, rounds=repeats)
    if as_json:
        print_json(result)
        return
    _print(result, model)


def _print(result: dict[str, Any], model: Path) -> None:
    rows = [("lowbit", result["version"], f"{result['latency_us']:.2f}", "")]
    rows += [
        (name, peer["version"], f"{peer['latency_us']:.2f}", f"{peer['ratio']:.1f} ×")
        for name, peer in result["peers"].items()
    ]
    title = f"{model}: batch {result['batch']}, {result['threads']} thread(s), kernels {result['kernels']}"
    print_table(title, ("engine", "version", "µs per call", "ratio"), rows)
    for name, reason in result["absent"].items():
        say(f"{name} is not measured: {reason}", "dim")
    say(f"load {result['load_us'] / 1000:.2f} ms", "dim")


def _per_layer(model: Path, batch: int, as_json: bool) -> None:
    from dataclasses import asdict

    from lowbit import api
    from lowbit.bench import per_layer, random_inputs

    program = api.load(model)
    result = per_layer(program, *random_inputs(program, batch))
    if as_json:
        print_json(asdict(result))
        return
    rows = [
        (
            layer.step.value,
            layer.step.operation,
            layer.step.kernel,
            f"{layer.step.seconds * 1e6:.2f}",
            f"{layer.part:.1%}",
            "" if layer.share is None else f"{layer.share:.0%} of {layer.step.unit}",
            layer.why_slow or layer.step.why,
        )
        for layer in result.layers
    ]
    columns = ("value", "operation", "kernel", "µs", "of all", "of the peak", "why")
    print_table(f"{model}: batch {batch}, one thread, step by step", columns, rows)
    peaks = ", ".join(f"{name} {rate / 1e12:.2f}" for name, rate in result.peaks.items())
    total = f"all steps {result.seconds * 1e6:.1f} µs"
    pairs = "" if result.share_of_pairs is None else f" ({result.share_of_pairs:.1%} with pairs of words)"
    say(f"{total}; products at their peaks would take {result.share:.1%} of it{pairs}")
    say(f"peaks in 10^12 multiply-adds a second: {peaks}", "dim")
