"""The six figures of README: what is gained, a line each with machine and conditions, from `results/`."""

from collections.abc import Callable, Iterator
from typing import Any

from lowbit.reproduce import Kept, Row

Result = Callable[[str], dict[str, Any]]
BOARD, SMALL, THEIRS = "m4", "mcu-conv-small-seed0.circle", "BitNetMCU cnn_16"
INT8 = "int8"


def table(result: Result, rows: dict[str, Row], kept: Callable[[Row], Kept | None]) -> str:
    """Return the table.

    Args:
        result: a file of `results/` by name.
        rows: of published figures, by name.
        kept: ours of a row.
    """
    lines = ["| | figure | made how |", "|---|---|---|"]
    lines += [f"| {' | '.join(line)} |" for line in _lines(result, rows, kept)]
    return "\n".join(lines)


def _lines(
    result: Result, rows: dict[str, Row], kept: Callable[[Row], Kept | None]
) -> Iterator[tuple[str, ...]]:
    yield _accuracy(result("latency-mlp"), rows["Q10-2"], kept)
    yield _mlp(result("latency-mlp"))
    yield _vgg16(result("latency-vgg16"))
    yield _own(result("own-networks"))
    yield _board(result("boards"))
    yield _hardware(result("hdl-lst1"))


def _accuracy(latency: dict[str, Any], row: Row, kept: Callable[[Row], Kept | None]) -> tuple[str, ...]:
    ours = kept(row)
    if ours is None:
        raise SystemExit(f"no result has the row {row.name}")
    size = next(each["bytes"] for each in latency["rows"] if each["network"] == "lq 2 bits")
    figure = f"**{row.text(ours.value)}** in {size / 1024:.0f} KB; published {row.text(row.published)}"
    return "MNIST, 784-680-10 at 2 bits, no labels", figure, "1,024 pictures, median of three seeds"


def _mlp(made: dict[str, Any]) -> tuple[str, ...]:
    row = next(each for each in made["rows"] if each["network"] == "lq 1 bit" and each["level"] == "best")
    ratio, best = row["peers"]["onnxruntime-fp32"]["ratio"], _least(row["peers"])
    figure = f"**{row['latency_us']:.2f} µs**: {ratio:.0f} × ONNX Runtime's float, {best} int8"
    return "the same at 1 bit, a call", figure, f"one thread, one run, {made['machine']}"


def _vgg16(made: dict[str, Any]) -> tuple[str, ...]:
    ratio, best = made["peers"]["onnxruntime-fp32"]["ratio"], _least(made["peers"])
    figure = f"**{made['latency_us']:.0f} µs**: {ratio:.0f} × ONNX Runtime's float, {best} int8"
    return "binary VGG16, 32 × 32 pictures", figure, f"one thread, one run, {made['machine']}"


def _own(made: dict[str, Any]) -> tuple[str, ...]:
    rows = [row for row in made["rows"] if row["stage"] == "done"]
    codes = sum(row["codes"] for row in rows)
    networks = len({(row["seed"], row["number"]) for row in rows})
    figure = f"**{sum(row['wrong'] for row in rows)} of {codes / 1e6:.1f} million codes** differ"
    return f"{networks} torch modules by six plans", figure, "torch, reference and engine; generated networks"


def _board(made: dict[str, Any]) -> tuple[str, ...]:
    ours, theirs = (
        next(row for row in made["rows"] if (row["network"], row["board"]) == (name, BOARD))
        for name in (SMALL, THEIRS)
    )
    share = f"{ours['instructions'] / theirs['instructions']:.2f} × the instructions of BitNetMCU's"
    figure = f"**{100 * ours['top1']:.2f} %** in {ours['constants']:,} bytes, {share}"
    core = ours["core"].split(",")[0]
    return (
        f"MNIST in C99 on a {core}",
        figure,
        f"qemu, {ours['samples']:,} pictures, {ours['differing']} differ",
    )


def _hardware(made: dict[str, Any]) -> tuple[str, ...]:
    row, theirs = made["rows"][0], made["published"]
    figure = (
        f"**{row['cycles_per_image']:,} clocks**, {row['lut']} LUT, {row['dsp']} DSP; "
        f"published {theirs['cycles_per_image']:,}, {theirs['lut']}, {theirs['dsp']}"
    )
    return "LST-1 as hardware, a picture", figure, f"{row['images']:,} simulated, {row['mismatches']} differ"


def _least(peers: dict[str, Any]) -> str:
    """Return how much longer the fastest of the peers at 8 bits takes."""
    ratio = min(peer["ratio"] for name, peer in peers.items() if INT8 in name)
    return f"{ratio:.1f} × the best"
