"""Which layer hurts: how far every value is from the float network's, and how far the weights are."""

import math
from itertools import pairwise

from lowbit.analysis import LayerError
from lowbit.page import Column, Content, Markup, bar, element, joined, name, table
from lowbit.report.findings import COMPARED, Findings
from lowbit.report.numbers import THIN, percent, signed

_APART = 3.0  # dB at the output, below which one network hardly follows the other


def section(found: Findings) -> Markup:
    """Return the errors of values against the float network's, the worst step marked."""
    if not found.errors:
        return element("p", f"Not known: {found.errors_why_not}.")
    worst = _worst(found.errors)
    divergence = {row.layer: row.divergence for row in found.divergence}
    columns = [
        Column("layer"),
        Column("noise", about="power of the error over the power of the float value"),
        Column("signal to noise, dB", number=True),
        Column("lost here, dB", number=True, about="against the value before"),
        Column("cosine", number=True),
        Column("codes that differ", number=True),
        Column("KL of weights", number=True, about="divergence of the weights before and after"),
        Column("value"),
    ]
    rows: list[list[Content]] = []
    before: float | None = None
    largest = max(max(map(_noise, found.errors)), 1e-300)
    for error in found.errors:
        noise = _noise(error)
        lost = (
            "" if before is None or math.inf in (before, error.snr_db) else signed(error.snr_db - before, 1)
        )
        mark = "warn" if error is worst else ""
        rows.append(
            [
                name(error.layer),
                bar(noise / largest, _small(noise), mark),
                "∞" if math.isinf(error.snr_db) else signed(error.snr_db, 1).removeprefix("+"),
                lost,
                f"{error.cosine:.4f}",
                "" if error.differing is None else percent(error.differing, 1),
                f"{divergence[error.layer]:.3f}" if error.layer in divergence else "",
                name(error.value),
            ]
        )
        before = error.snr_db
    return joined((_about(found, worst), table(columns, rows)))


def _small(share: float) -> str:
    """Return a share in percents, however small."""
    return percent(share, 1) if share >= 0.001 or not share else f"{100 * share:.1g}{THIN}%"


def _noise(error: LayerError) -> float:
    """Return the power of the error over that of the value."""
    return 0.0 if math.isinf(error.snr_db) else 10 ** (-error.snr_db / 10)


def _worst(errors: tuple[LayerError, ...]) -> LayerError:
    """Return the value that adds most noise to that of the one before."""
    noises = [0.0, *map(_noise, errors)]
    added = [after - before for before, after in pairwise(noises)]
    return errors[added.index(max(added))]


def _about(found: Findings, worst: LayerError) -> Markup:
    samples, last = min(COMPARED, len(found.data)), found.errors[-1]
    if last.snr_db < _APART:
        return element(
            "p",
            "The two networks have little in common: the low-bit one was trained by itself, or is broken. ",
            "Values need not agree then, and this table says little; accuracy, above, has the last word.",
        )
    return element(
        "p",
        "Most is lost at ",
        name(worst.layer),
        ". ",
        element(
            "span",
            f"Values against the float network's over {samples} samples; each includes what was lost before "
            "it. A later layer may win back what counts: accuracy, above, has the last word. What one layer "
            "alone costs in accuracy is measured by ",
            element("code", "lowbit analyze FLOAT --data DATA --sensitivity BITS"),
            ".",
            class_="soft",
        ),
    )
