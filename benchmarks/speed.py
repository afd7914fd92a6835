"""Tables of latencies beside other runtimes: a network, convolutions, matrix-vector products."""

from collections.abc import Callable, Sequence
from typing import Any

Result = dict[str, Any]


def tables(result: Callable[[str], Result]) -> list[str]:
    """Return the tables; `result` reads a file of `results/` by its name."""
    return [
        network([result("latency-vgg16"), result("latency-vgg16-2-threads")]),
        convolution(result("latency-convolution")),
        matrix_vector([result("latency-gemv"), result("latency-gemv-2-threads")]),
    ]


def network(runs: Sequence[Result]) -> str:
    """Return latency of the binary VGG16 beside its peers, for each number of threads."""
    lines = [
        f"Binary VGG16 for 32×32 pictures, {runs[0]['bytes'] / 1024:.0f} KB, batch 1. Of the peak: the time",
        "of all products in registers alone, by xor, popcount and subtract, over that of all steps on one",
        "core. Our kernels spend one popcount on two words; the share of that loop's peak stands beside it:",
        "",
        "| threads | µs | onnxruntime-fp32 | fastest int8 peer | of the popcount peak | of the pair peak |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        int8 = {name: peer["ratio"] for name, peer in run["peers"].items() if "int8" in name}
        fastest = min(int8, key=int8.__getitem__)
        cells = [
            f"{run['threads']} | {run['latency_us']:.1f}",
            f"{run['peers']['onnxruntime-fp32']['ratio']:.1f} ×",
            f"{int8[fastest]:.1f} × ({fastest})",
            f"{run['share_of_peak']:.1%} | {run['share_of_pair_peak']:.1%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", _source(runs[0])])


def convolution(made: Result) -> str:
    """Return how much faster convolutions at few bits are than the best int8 peer."""
    means = made["geometric_means"]
    lines = [
        "Four 3×3 convolutions, one thread: the time of the best int8 peer over ours, by bits of weights ×",
        "activations:",
        "",
        f"| channels@picture | {' | '.join(means)} |",
        f"|---|{'---|' * len(means)}",
    ]
    rows = [(row["shape"], row["best_peer_over_ours"]) for row in made["rows"]]
    for name, ratios in [*rows, ("geometric mean", means)]:
        lines.append(f"| {name} | {' | '.join(f'{ratios[plan]:.2f} ×' for plan in means)} |")
    return "\n".join([*lines, "", _source(made)])


def matrix_vector(runs: Sequence[Result]) -> str:
    """Return matrix-vector products beside the best peer, for each number of threads."""
    contenders = list(runs[0]["best_peer_over_ours"])
    lines = [
        "4096 × 4096 weights times one vector, `WkAk` with k bits on both sides, `Wk` weight-only: our time,",
        "and that of the best peer over it. With two threads every peer runs with one and with two, and its",
        "faster time counts. A layer that is called again reads its weights the other way and finds what the",
        "second cache kept of them; `of two`, half the time of two layers, is one between others:",
        "",
        f"| threads | {' | '.join(name.removeprefix('lowbit ') for name in contenders)} | best peer |",
        f"|---|{'---|' * (len(contenders) + 1)}",
    ]
    for run in runs:
        times, best = run["latency_us"], run["best_peer"]
        cells = [f"{times[name]:.1f} µs, {run['best_peer_over_ours'][name]:.1f} ×" for name in contenders]
        lines.append(f"| {run['engine_threads']} | {' | '.join(cells)} | {best}, {times[best]:.0f} µs |")
    return "\n".join([*lines, "", _source(runs[0])])


def _source(run: Result) -> str:
    return f"`{run['command']}`, {run['machine']}."
