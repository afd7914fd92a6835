"""What was asked, what hardware it became, and how to make the report again."""

from typing import Any

from lowbit.page import Column, Content, Markup, element, joined, name, table
from lowbit.report.findings import Findings, Network
from lowbit.report.numbers import bits

_HARDWARE = (
    ("format", ("number_format", "scheme")),
    ("clocks per picture", ("cycles_per_image",)),
    ("latency", ("latency_cycles",)),
    ("LUT", ("lut",)),
    ("FF", ("ff",)),
    ("DSP", ("dsp",)),
    ("RAMB18", ("ramb18",)),
    ("MHz", ("fmax_mhz",)),
    ("pictures", ("images",)),
    ("mismatches", ("mismatches",)),
)


def asked(found: Findings) -> Markup:
    """Return the plan, as far as the file remembers it, and what the layers are."""
    facts: list[tuple[str, Content]] = []
    if plan := found.network.graph.metadata.get("quantization"):
        facts.append(("plan", element("code", plan)))
    facts.append(("layers", _schemes(found.network)))
    data = found.data
    facts.append(
        (
            "data",
            f"{found.data_name}: {len(data):,} samples{f' ({data.exactness})' if data.exactness else ''}",
        )
    )
    facts += [("numbers", note) for note in data.notes[-1:]]
    return _facts(facts)


def hardware(found: Findings) -> Markup | None:
    """Return the hardware reports side by side; None where none was given."""
    if not found.hardware:
        return None
    given = [
        (title, keys)
        for title, keys in _HARDWARE
        if any(_first(row, keys) is not None for row in found.hardware)
    ]
    columns = [Column("engine"), Column("target"), *(Column(title, number=True) for title, _ in given)]
    rows = [
        [str(row["variant"]), str(row["target"]), *(_number(_first(row, keys)) for _, keys in given)]
        for row in found.hardware
    ]
    simulated = [row for row in found.hardware if row.get("images")]
    proven = simulated and not any(row.get("mismatches") for row in simulated)
    about = (
        "Every score and class of the simulated pictures equals the reference evaluator's: the confusion "
        "matrix of the same network is the hardware's as well."
    )
    return joined((table(columns, rows), element("p", about, class_="soft") if proven else None))


def remade(found: Findings) -> Markup:
    """Return the command, the files' hashes, and what made the figures."""
    made = found.made
    facts: list[tuple[str, Content]] = [("low-bit", _file(found.network))]
    if found.origin is not None:
        facts.append(("float", _file(found.origin)))
    facts.append(("lowbit", " ".join(filter(None, (str(made["lowbit"]), _commit(str(made["commit"])))))))
    facts += [(key, str(made[key])) for key in ("machine", "python", "numpy", "date")]
    command = element("pre", str(made["command"])) if made["command"] else None
    return joined((command, _facts(facts)))


def _schemes(network: Network) -> str:
    """Return layers by scheme and bits: ``5 binary …, 2 float``."""
    kinds: dict[str, int] = {}
    for layer in network.layers:
        pair = f"weights {bits(layer.weight_bits)}, inputs {bits(layer.activation_bits)}"
        kind = "float" if layer.weight_bits == 32 else f"{layer.scheme} ({pair} bits)"
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(f"{count} × {kind}" for kind, count in kinds.items())


def _file(network: Network) -> Markup:
    return joined(
        (name(network.path.name), f", {network.bytes:,} bytes, SHA-256 ", element("code", network.sha256))
    )


def _commit(text: str) -> str:
    return f"({text[:12]}{'+' if text.endswith('+') else ''})" if text else ""


def _facts(facts: list[tuple[str, Content]]) -> Markup:
    return element("dl", *(joined((element("dt", key), element("dd", value))) for key, value in facts))


def _first(row: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _number(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:,.1f}"
        if isinstance(value, float)
        else str(value)
    )
