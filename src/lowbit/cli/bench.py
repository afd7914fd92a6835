"""``lowbit bench``: latency beside other runtimes, in one run; and what the machine can do at most."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowbit.cli.console import JsonFlag, ThreadsOption, print_json, print_table, say

if TYPE_CHECKING:
    from lowbit.bench.machine import Machine


def bench(
    model: Annotated[Path | None, typer.Argument(help="A network, float or low-bit.")] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="The float network (.onnx) that the peers run.")
    ] = None,
    threads: ThreadsOption = 1,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Samples per call.")] = 1,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Rounds; medians are taken over them.")
    ] = 5,
    per_layer: Annotated[
        bool,
        typer.Option("--layers", help="Every step: its kernel, time and share of the peak."),
    ] = False,
    path: Annotated[
        str,
        typer.Option("--path", help="How layers of low bits multiply where they can: popcount, dot, tiles."),
    ] = "",
    machine: Annotated[
        bool, typer.Option("--machine", help="No network: what this machine can do at most.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option("--write", help="With --machine: a file of what paths cost here, for LOWBIT_COSTS."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure Python call to Python call; a ratio is the peer's time over ours.

    Example: `lowbit bench mlp.circle --against mlp.onnx`, `lowbit bench --machine`
    """
    if machine == (model is not None):
        raise typer.BadParameter("name a network to measure, or --machine")
    if write is not None and not machine:
        raise typer.BadParameter("--write goes with --machine")
    if model is None:
        _machine(write, as_json)
    elif per_layer:
        _per_layer(model, batch, path, as_json)
    else:
        from lowbit.bench import compare

        result = compare(model, against, threads=threads, batch=batch, rounds=repeats, path=path)
        print_json(result) if as_json else _print(result, model)


def _print(result: dict[str, Any], model: Path) -> None:
    rows = [("lowbit", result["version"], f"{result['latency_us']:.2f}", f"{result['cpu_us']:.2f}", "", "")]
    rows += [
        (
            name,
            peer["version"],
            f"{peer['latency_us']:.2f}",
            f"{peer['cpu_us']:.2f}",
            "none" if peer["ratio"] is None else f"{peer['ratio']:.1f} ×",
            f"{peer['cpu_ratio']:.1f} ×",
        )
        for name, peer in result["peers"].items()
    ]
    title = f"{model}: batch {result['batch']}, {result['threads']} thread(s), kernels {result['kernels']}"
    print_table(title, ("engine", "version", "µs per call", "of processors", "ratio", "of processors"), rows)
    if any(peer["ratio"] is None for peer in result["peers"].values()):
        say(
            "No ratio by the clock: others had the processor in too many rounds. Processor time counts.",
            "yellow",
        )
    for name, reason in {**result["absent"], **result["absent_levels"]}.items():
        say(f"{name} is not measured: {reason}", "dim")
    say(f"load {result['load_us'] / 1000:.2f} ms", "dim")
    if "sharing" in result:
        say(f"threads: {result['sharing']}", "dim")


def _per_layer(model: Path, batch: int, path: str, as_json: bool) -> None:
    from dataclasses import asdict

    from lowbit import api
    from lowbit.bench import per_layer, random_inputs

    program = api.load(model, path=path)
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
            "" if layer.share_of_fastest is None else f"{layer.share_of_fastest:.0%} of {layer.fastest}",
            "; ".join(filter(None, (layer.why_slow, layer.step.why))),
        )
        for layer in result.layers
    ]
    columns = ("value", "operation", "kernel", "µs", "of all", "of its unit", "of the fastest", "why")
    print_table(f"{model}: batch {batch}, one thread, step by step", columns, rows)
    peaks = ", ".join(f"{name} {rate / 1e12:.2f}" for name, rate in result.peaks.items())
    total = f"all steps {result.seconds * 1e6:.1f} µs"
    pairs = "" if result.share_of_pairs is None else f" ({result.share_of_pairs:.1%} with pairs of words)"
    say(f"{total}; products at their peaks would take {result.share:.1%} of it{pairs}")
    say(f"peaks in 10^12 multiply-adds a second: {peaks}", "dim")


def _machine(write: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from lowbit.bench.costs import lines, measure_costs
    from lowbit.bench.machine import measure_machine
    from lowbit.untrusted import require_writable, write_atomic

    if write is not None:
        require_writable(write)
    found = measure_machine()
    costs = [] if write is None else measure_costs()
    if write is not None:
        text = "\n".join(lines(costs, f"lowbit bench --machine --write, {found.name}")) + "\n"
        write_atomic(write, text.encode())
    if as_json:
        print_json({**asdict(found), "absent": found.absent, "costs": [asdict(cost) for cost in costs]})
        return
    _print_machine(found)
    if write is not None:
        say(f"{write}: costs of {len(costs)} paths and levels; LOWBIT_COSTS={write} takes them")


def _print_machine(found: "Machine") -> None:
    """Print the roofline, narrow enough for 60 columns."""
    from lowbit.bench.machine import UNITS, absent_levels

    rows = [
        (level.name, unit, f"{speed.rate / 1e9:.1f}", f"{speed.cpu_us:.0f}", f"{speed.wall_us:.0f}")
        for level in found.levels
        for unit in UNITS
        if (speed := level.units.get(unit))
    ]
    print_table(
        "Multiply-adds of one core, 10^9 a second", ("level", "unit", "rate", "cpu µs", "wall µs"), rows
    )
    reads = [
        (level.name, *(f"{level.reads[cache].rate / 1e9:.0f}" for cache in found.caches))
        for level in found.levels
        if level.reads
    ]
    print_table("Reading by one core, GB/s", ("level", *found.caches), reads)
    took = "no processor was free" if found.handing_us is None else f"{found.handing_us:.2f} µs"
    say(f"To hand work to a second thread and hear of its end: {took}.", "dim")
    sizes = ", ".join(f"{name} {size >> 10} KB" for name, size in found.caches.items())
    say(f"{found.name}. Read again and again: {sizes}.", "dim")
    for unit, why in found.absent.items():
        say(f"{unit}: not on this machine: {why}", "dim")
    for name, why in absent_levels().items():
        say(f"{name}: {why}", "dim")
    if found.assumed:
        say(
            f"This system does not say what {', '.join(found.assumed)} hold: usual sizes were taken.",
            "yellow",
        )
    if found.load > found.cores:
        say(f"Others use this machine: load {found.load:.1f} on {found.cores} cores.", "yellow")
