"""What a network costs: bytes held, bytes moved, and time, layer by layer."""

from collections import defaultdict

from lowbit.page import Column, Content, Markup, bar, element, joined, name, table
from lowbit.report.findings import Findings, Network
from lowbit.report.numbers import bits, kilobytes, microseconds, percent, times


def bytes_section(found: Findings) -> Markup:
    """Return what every layer holds in the file and moves for one sample, and what else is in the file."""
    rows, rest = _held(found.network)
    total = sum(held for _, held in rows) + sum(rest.values())
    return joined(
        (
            _stack([(label, held) for label, held in rows], rest, total),
            _layer_table(found, dict(rows), rest, total),
            _note(found),
        )
    )


def speed_section(found: Findings) -> Markup:
    """Return every step of the engine: kernel, time, share of the peak, and what holds it back."""
    steps = found.speed.steps
    if steps is None:
        return element("p", f"The engine does not run this network: {found.speed.why_not}.")
    columns = [
        Column("makes"),
        Column("share of the time"),
        Column("µs", number=True),
        Column("of the peak", number=True),
        Column("kernel"),
        Column("operation"),
        Column("why"),
    ]
    rows: list[list[Content]] = []
    for layer in steps.layers:
        step = layer.step
        peak = "" if layer.share is None else f"{percent(layer.share, 0)} {step.unit}"
        numbers = [bar(layer.part, percent(layer.part, 1)), f"{1e6 * step.seconds:.2f}", peak]
        why = element("span", layer.why_slow or step.why, class_="soft")
        rows.append([name(step.value), *numbers, step.kernel, step.operation.replace("_", " "), why])
    peaks = ", ".join(f"{unit} {rate / 1e12:.2f}" for unit, rate in steps.peaks.items())
    about = element(
        "p",
        f"One sample on one thread takes {microseconds(steps.seconds)}; at their peaks all products would "
        f"take {percent(steps.share, 0)} of that. Peaks of one core here, in 10¹² multiply-adds a second: "
        f"{peaks}.",
    )
    return joined((about, table(columns, rows)))


def _held(network: Network) -> tuple[list[tuple[str, int]], dict[str, int]]:
    """Return bytes in the file by layer, in order, and by what belongs to no layer."""
    owners = {constant: layer.name for layer in network.layers for constant in layer.constants}
    names = {layer.name for layer in network.layers}
    held: dict[str, int] = dict.fromkeys((layer.name for layer in network.layers), 0)
    rest: dict[str, int] = defaultdict(int)
    for row in network.table:
        owner = row["name"] if row["name"] in names else owners.get(row["name"])
        if owner is None:
            rest[row["what"] if not row["name"] else "other constants"] += row["bytes"]
        else:
            held[owner] += row["bytes"]
    return list(held.items()), dict(rest)


def _stack(rows: list[tuple[str, int]], rest: dict[str, int], total: int) -> Markup:
    parts = [_part(label, held, total, None) for label, held in rows]
    parts.append(_part("everything else", sum(rest.values()), total, "second"))
    return element("div", *parts, class_="stack", role="img", aria_label="bytes of the file by layer")


def _part(label: str, held: int, total: int, kind: str | None) -> Markup:
    width = f"width:{100 * held / max(total, 1):.2f}%"
    return element("span", style=width, title=f"{label}: {kilobytes(held)}", class_=kind)


def _layer_table(found: Findings, held: dict[str, int], rest: dict[str, int], total: int) -> Markup:
    columns = [
        Column("layer"),
        Column("in the file"),
        Column("as float", number=True),
        Column("moved", number=True, about="bytes read and written for one sample, at least"),
        Column("as float", number=True),
        Column("weights", number=True),
        Column("bits", number=True, about="of a weight and of an input"),
        Column("scheme"),
    ]
    every = found.network.layer_bytes
    rows: list[list[Content]] = []
    for layer in every:
        share, floats = held[layer.layer] / max(total, 1), layer.weight_bits == layer.activation_bits == 32
        pair = "float" if floats else f"{bits(layer.weight_bits)} × {bits(layer.activation_bits)}"
        sizes = map(kilobytes, (layer.float_bytes, layer.traffic, layer.float_traffic))
        first = [name(layer.layer), bar(share, kilobytes(held[layer.layer]))]
        rows.append([*first, *sizes, f"{layer.weights:,}", pair, layer.scheme])
    for what, size in rest.items():
        if size:
            rows.append([what, bar(size / max(total, 1), kilobytes(size), "second"), *[""] * 6])
    sums = [
        sum(getattr(layer, key) for layer in every) for key in ("float_bytes", "traffic", "float_traffic")
    ]
    weights = f"{sum(layer.weights for layer in every):,}"
    last = ["all", bar(1.0, kilobytes(found.network.bytes)), *map(kilobytes, sums), weights, "", ""]
    return table(columns, [*rows, last], last_is_total=True)


def _note(found: Findings) -> Markup:
    every = found.network.layer_bytes
    traffic, floats = sum(layer.traffic for layer in every), sum(layer.float_traffic for layer in every)
    text = (
        f"Rows add up to the file, {found.network.bytes:,} bytes. Moved: weights read once, inputs and "
        f"outputs at their bits; in float32 it would be {times(floats / max(traffic, 1))} as much."
    )
    return element("p", text, class_="soft")
