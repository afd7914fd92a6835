"""``lowbit analyze``: what every layer holds, moves, uses and loses, and where two backends part."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowbit.backends import BACKENDS
from lowbit.cli.console import (
    JsonFlag,
    NormalizeOption,
    SplitOption,
    kilobytes,
    parse_normalize,
    parse_numbers,
    print_json,
    print_table,
    say,
    tracked,
)

if TYPE_CHECKING:
    from lowbit.analysis import Divergence, LayerSensitivity, LayerSummary
    from lowbit.ir import Graph

_CALIBRATION = "train"  # the split that calibrates


def analyze(
    model: Annotated[Path, typer.Argument(help="A network, float or low-bit.")],
    against: Annotated[
        Path | None, typer.Option("--against", help="The float network that it was made of.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Samples to compare over: a path or a name.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="How many of them.")] = 200,
    backend: Annotated[
        str | None,
        typer.Option("--backend", help=f"Where it leaves the reference: {', '.join(BACKENDS)}."),
    ] = None,
    sensitivity: Annotated[
        str | None,
        typer.Option("--sensitivity", help="4,2,1: accuracy with one layer at that many bits."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Samples per call, for the bytes moved.")] = 1,
    split: SplitOption = None,
    normalize: NormalizeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show layer by layer what a network is, and what it lost.

    Example: `lowbit analyze mlp.circle --against mlp.onnx --data digits --backend engine`
    """
    if backend is not None and data is None:
        raise typer.BadParameter("backends are compared over samples", param_hint="--data")
    if sensitivity is not None and data is None:
        raise typer.BadParameter("accuracy needs samples", param_hint="--data")
    from lowbit import api
    from lowbit.analysis import first_divergence, summarize

    graph, x = api.read(model), None
    if data is not None:
        inputs = api.load_inputs(graph, data, split or "test", parse_normalize(normalize))
        x = [array[:samples] for array in inputs.arrays.values()]
    rows = summarize(graph, None if against is None else api.read(against), x, batch=batch)
    parting = first_divergence(graph, x, "reference", backend) if backend and x is not None else None
    hurts = _sensitivity(graph, data, split, normalize, sensitivity) if sensitivity and data else ()
    if as_json:
        found = {"layers": [row.to_dict() for row in rows]}
        compared = {"divergence": None if parting is None else asdict(parting)} if backend else {}
        losses = {"sensitivity": [asdict(row) for row in hurts]} if hurts else {}
        print_json(found | compared | losses)
        return
    _print(rows, model, batch)
    if hurts:
        _print_sensitivity(hurts)
    if backend is not None:
        _print_parting(parting, backend, 0 if x is None else len(x[0]))


def _print(rows: "tuple[LayerSummary, ...]", model: Path, batch: int) -> None:
    cells = {
        "layer": [row.held.layer for row in rows],
        "weights": [_bits(row.held.scheme, row.held.weight_bits) for row in rows],
        "in": [_bits("", row.held.activation_bits) for row in rows],
        "KB": [f"{row.held.bytes / 1024:.1f}" for row in rows],
        "moved": [f"{row.held.traffic / 1024:.1f}" for row in rows],
        "× less": [f"{row.held.float_traffic / max(row.held.traffic, 1):.1f}" for row in rows],
        "used": [_number(row.entropy, 2) for row in rows],
        "KL": [_number(row.divergence, 3) for row in rows],
        "dB": [_number(row.snr_db, 1) for row in rows],
        "cos": [_number(row.cosine, 3) for row in rows],
    }
    known = {name: column for name, column in cells.items() if any(column)}
    print_table(f"{model}: batch {batch}", list(known), zip(*known.values(), strict=True))
    held, moved = (sum(getattr(row.held, name) for row in rows) for name in ("bytes", "traffic"))
    plain = sum(row.held.float_traffic for row in rows)
    less = f"{plain / max(moved, 1):.1f} times less than in float32"
    say(f"{kilobytes(held)} of layers; {kilobytes(moved)} moved at least, {less}", "dim")
    say("moved: KB; used: bits that a weight's code carries. KL: of weights. dB, cos: of outputs.", "dim")


def _sensitivity(
    graph: "Graph", data: str, split: str | None, normalize: str | None, bits: str
) -> "tuple[LayerSensitivity, ...]":
    """Return what each layer's bits cost, calibrated with the training split."""
    from lowbit import api
    from lowbit.analysis import sensitivity

    wanted = parse_normalize(normalize)
    calibration = api.load_samples(graph, data, _CALIBRATION, wanted).samples
    dataset = api.load_samples(graph, data, split or "test", wanted)
    with tracked("layers") as advance:
        counts = parse_numbers(bits) or ()
        return sensitivity(graph, calibration, dataset, bits=counts, progress=advance)


def _print_sensitivity(rows: "tuple[LayerSensitivity, ...]") -> None:
    bits = list(dict.fromkeys(row.bits for row in rows))
    drops = {(row.layer, row.bits): f"{-100 * row.drop:+.2f}" for row in rows}
    layers = dict.fromkeys(row.layer for row in rows)
    cells = [(layer, *(drops[layer, count] for count in bits)) for layer in layers]
    columns = ("only this layer at", *(f"{count} bit" for count in bits))
    print_table("top-1 against float, in points", columns, cells)


def _print_parting(parting: "Divergence | None", backend: str, samples: int) -> None:
    if parting is None:
        say(f"reference and {backend} agree on all {samples} samples")
        return
    fault = " and ".join(parting.at_fault) or "nobody: floats were rounded another way"
    where = f"{parting.node} ({parting.operator}), input {parting.sample}, channel {parting.channel}"
    values = f"{parting.expected:g} against {parting.found:g}"
    said = f"reference and {backend} part at {where}: {values}; at fault: {fault}"
    say(said, "yellow")


def _bits(scheme: str, bits: int) -> str:
    from lowbit.ir.layers import FLOAT_BITS

    return "float" if bits == FLOAT_BITS else f"{scheme} {bits}".strip()


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
