"""``lowbit bench``: latency beside other runtimes, interleaved in one run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lowbit.cli.console import JsonFlag, ThreadsOption, out, print_json, print_table


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
    as_json: JsonFlag = False,
) -> None:
    """Measure Python call to Python call; a ratio is the peer's time over ours.

    Example: `lowbit bench mlp.circle --against mlp.onnx`
    """
    from lowbit.bench import compare

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
        out.print(f"{name} is not measured: {reason}", style="dim", markup=False)
    out.print(f"load {result['load_us'] / 1000:.2f} ms", style="dim")
