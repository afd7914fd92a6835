"""The page of all files, from their rows."""

from collections.abc import Iterable, Mapping
from typing import Any

Rows = Mapping[str, dict[str, Any]]

CLOSE = 1e-4
"""Of the largest output: a file that is nearer to its own runtime runs."""

CLOSE_CODES = 5e-2
"""The same for files of 8-bit codes, where runtimes round some sums to neighbouring codes."""

_HEAD = """# Files of others

Made by `benchmarks/corpus.py` ({made}) from model files of public packages (by name,
`tests/corpus/packages.py`) and of the usual exporters (`tests/corpus/export.py`,
`tests/corpus/keras_networks.py`: seeded weights); none of them is kept here, `results/corpus.json` has
their hashes. *difference*: the largest one between the engine and the file's own runtime (ONNX Runtime or
LiteRT) on the same seeded inputs, relative to the largest output (0.01 at least). Up to {close:g} a file
counts as running, or up to what its runtime differs from itself with plain kernels (*own*); one of 8-bit
codes up to {coded:g}: runtimes round some sums to neighbouring codes, and where weights alone are codes
(*dynamic range*) LiteRT rounds activations too, lowbit does not. Networks whose control flow depends on
what they are given (silero-vad, hey_jarvis) are not run.

*8 bits* (`affine:8`) and *4 bits* (`lq:4`): of the quantized network against the float one on random inputs
that did not calibrate, in the engine: equal largest outputs, signal to noise, size of the `.circle`, CPU
time. Random inputs say whether quantization works, not how accurate a trained network stays; those beyond
the ranges of a file of codes are cut there. Calibrated by {samples} samples, networks of more than 8 MB by
{few} with rounding to nearest. That quantized networks give equal integers in the engine, `.circle`, `.onnx`
and ONNX Runtime, code by code: [results/integers.md](../results/integers.md).

| kind | files that their own runtime runs | read | run in the engine |
|---|---|---|---|
{kinds}
"""
_COLUMNS = "| file | read | runs | difference | 8 bits | 4 bits | in the way |\n|---|---|---|---|---|---|---|"


def page(rows: Rows, made: str, samples: int, few: int) -> str:
    """Return the page of all rows, counted by kind.

    Args:
        rows: what became of each file, by kind and name.
        made: date, commit and machine.
        samples, few: that calibrated.
    """
    kinds = sorted({name.split("/")[0] for name in rows})
    of = {kind: {name: row for name, row in rows.items() if name.startswith(f"{kind}/")} for kind in kinds}
    table = "\n".join(f"| {kind} | {counts(of[kind].values())} |" for kind in kinds)
    parts = [_HEAD.format(made=made, close=CLOSE, coded=CLOSE_CODES, samples=samples, few=few, kinds=table)]
    for kind in kinds:
        lines = [line(name.removeprefix(f"{kind}/"), row) for name, row in sorted(of[kind].items())]
        parts.append("\n".join([f"## {kind}\n", _COLUMNS, *lines, ""]))
    return "\n".join(parts)


def runs(row: Mapping[str, Any]) -> bool:
    """Return whether a file runs as in its own runtime."""
    close = CLOSE_CODES if row.get("coded") else CLOSE
    return row.get("engine") is not None and row["engine"] <= max(close, row.get("spread") or 0)


def counts(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return how many files there are, are read and run, as cells."""
    known = [row for row in rows if not row.get("own")]
    read, ran = sum(bool(row.get("reads")) for row in known), sum(map(runs, known))
    return f"{len(known)} | {read} | {ran} ({ran / max(len(known), 1):.0%})"


def line(name: str, row: Mapping[str, Any]) -> str:
    """Return a row of the page."""
    if row.get("own"):
        return f"| {name} | | | | | | its own runtime does not run it: {_short(row['own'])} |"
    yes = ["yes" if each else "no" for each in (row.get("reads"), runs(row))]
    apart = "" if row.get("engine") is None else f"{row['engine']:.0e}"
    apart += f" (own: {row['spread']:.0e})" if row.get("spread") else ""
    low = [_quantized(row.get("quantized", {}).get(bits, {})) for bits in ("8", "4")]
    said = dict.fromkeys(_short(text) for text in row.get("problems", {}).values())
    return f"| {name} | {' | '.join([*yes, apart, *low, '; '.join(said)])} |"


def _quantized(row: Mapping[str, Any]) -> str:
    if row.get("problem"):
        return f"no: {_short(row['problem'], 60)}"
    if row.get("size") is None:
        return ""
    noise = "exact" if row["signal_db"] is None else f"{row['signal_db']:.0f} dB"
    return f"{row['agreement']:.0%}, {noise}, {row['size'] / 1024:,.0f} KB, {row['cpu_s']:.1f} s"


def _short(text: str, most: int = 200) -> str:
    plain = " ".join(text.replace("|", "/").split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"
