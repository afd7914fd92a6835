"""Drawings: what they show is what was found, equal results give equal files, and names are never markup."""

import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit import analysis, drawing
from lowbit.errors import MissingExtra, PlanError
from lowbit.sweep import Model, Row, Setting, Sweep
from lowbit.zoo.published import LST1_ACCURACY
from tests.ir.networks import lowbit_mlp

pytest.importorskip("matplotlib")

HOSTILE = "<b>$x_{$</b>\\frac"


def neuron(bits: int = 2) -> analysis.NeuronLevels:
    return analysis.neuron_levels(lowbit_mlp((65, 33, 10), 2, bits), "fc1", 3)


def fixed_sweep() -> Sweep:
    def row(model: str, bits: int, rounding: str) -> Row:
        setting = Setting("fixed:6", bits, rounding, None)
        return Row(model, setting, 0.98 - 0.1 * (7 - bits) ** 2 / 8, 0.1 * bits, 100 * bits)

    grid = product(("a", HOSTILE), (7, 6, 5, 4), ("nearest", "floor"))
    models = Model(HOSTILE, 0.985, 999), Model("a", 0.98, 999)
    return Sweep(models, tuple(row(*each) for each in grid), "mnist", {})


def calibrated_sweep() -> Sweep:
    def row(scheme: str, bits: int, way: str) -> Row:
        latency = 0.5 * bits if bits < 4 else None
        return Row("a", Setting(scheme, bits, way, 0), 0.9 + 0.01 * bits, 0.1, 100 * bits, latency)

    rows = [row(*each) for each in product(("lq", "affine"), (4, 3, 2), ("restore", "plain"))]
    failed = Row("a", Setting("lq", 1, "plain", 0), error="no")
    return Sweep((Model("a", 1.0, 999),), (*rows, failed), "digits", {})


def distribution(step: float = 0.25) -> analysis.WeightDistribution:
    values = np.random.default_rng(0).normal(size=400)
    edges = np.linspace(values.min(), values.max(), 65)
    rounded = (step * np.rint(values / step)).clip(edges[0], edges[-1])
    before, after = (np.histogram(each, edges)[0] for each in (values, rounded))
    return analysis.WeightDistribution(edges, before, after, analysis.divergence(before, after))


def hidden(labels: bool = True, length: int = 12) -> analysis.Hidden:
    reals = np.random.default_rng(0).normal(size=(30, length)).astype(np.float32)
    return analysis.Hidden(HOSTILE, 2, reals, np.arange(30) % 3 if labels else None)


def embedding(labels: bool = True) -> analysis.Embedding:
    points = np.random.default_rng(0).normal(size=(30, 2))
    return analysis.Embedding(HOSTILE, points, np.arange(30) % 3 if labels else None, 5.0, 0, 0.5)


def matrices() -> list[analysis.Confusion]:
    found = np.array([0, 1, 2, 2, 1])
    return [
        analysis.confusion([0, 1, 2, 1, 0], found, name=name, classes=["a", "b", HOSTILE])
        for name in ("x", HOSTILE)
    ]


def mixtures() -> list[dict[str, Any]]:
    return [
        {"name": HOSTILE, "bytes": 1000 * n, "error": error} for n, error in ((2, 0.5), (5, 0.02), (9, 0.0))
    ]


FIGURES: dict[str, Any] = {
    "levels": lambda: drawing.draw_levels(neuron()),
    "weights": lambda: drawing.draw_distributions({"a": distribution(), HOSTILE: distribution(0.5)}),
    "fraction": lambda: drawing.draw_fraction_bits(fixed_sweep(), LST1_ACCURACY),
    "bits": lambda: drawing.draw_bits(calibrated_sweep()),
    "front": lambda: drawing.draw_front(calibrated_sweep()),
    "hidden": lambda: drawing.draw_hidden(np.zeros((30, 8, 8)), hidden(), ["a", HOSTILE]),
    "hidden without labels": lambda: drawing.draw_hidden(np.zeros((30, 8, 8)), hidden(labels=False)),
    "tsne": lambda: drawing.draw_embedding(embedding(), ["a", HOSTILE]),
    "tsne without labels": lambda: drawing.draw_embedding(embedding(labels=False)),
    "confusion": lambda: drawing.draw_confusions(matrices()),
    "mixtures": lambda: drawing.draw_mixtures(mixtures(), mixtures()),
}


@pytest.mark.parametrize("name", FIGURES)
def test_equal_results_give_equal_files(name: str, tmp_path: Path) -> None:
    for file in ("one.svg", "two.svg", "one.png"):
        drawing.save(FIGURES[name](), tmp_path / file)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert "<b>" not in (tmp_path / "one.svg").read_text()


def test_levels_stand_where_they_are() -> None:
    found = neuron()
    bars, stems = drawing.draw_levels(found).axes
    assert sum(bar.get_height() for bar in bars.patches) == len(found.weights)
    (marks,) = [line for line in stems.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(marks.get_xdata(), found.levels)
    np.testing.assert_allclose(marks.get_ydata(), found.counts / found.counts.sum())
    dotted = [line.get_xdata()[0] for line in stems.lines if line is not marks]
    np.testing.assert_allclose(dotted, found.thresholds)


def test_distributions_have_the_shares_of_all_weights() -> None:
    found = distribution()
    (axes,) = drawing.draw_distributions({"a": found}).axes
    bars = [patch for patch in axes.patches if hasattr(patch, "get_height")]
    np.testing.assert_allclose([bar.get_height() for bar in bars], found.before / 400)
    (after,) = [patch for patch in axes.patches if not hasattr(patch, "get_height")]
    np.testing.assert_allclose(after.get_data().values, found.after / 400)


def test_curves_go_through_the_points() -> None:
    above, below = drawing.draw_fraction_bits(fixed_sweep(), LST1_ACCURACY).axes
    rounded = above.lines[0]
    assert list(rounded.get_xdata()) == [7, 6, 5, 4] and rounded.get_ydata()[0] == 98
    published = next(line for line in above.lines if line.get_marker() == "D")
    assert list(published.get_xdata()) == [7, 5, 5, 4] and published.get_ydata()[0] == 98.28
    assert list(below.lines[0].get_ydata()) == [pytest.approx(0.1 * bits) for bits in (7, 6, 5, 4)]


def test_the_front_has_a_panel_for_what_was_measured() -> None:
    size, latency = drawing.draw_front(calibrated_sweep()).axes
    assert len([line for line in size.lines if line.get_marker() == "o"]) == 12
    assert len([line for line in latency.lines if line.get_marker() == "o"]) == 8
    assert len(drawing.draw_front(fixed_sweep()).axes) == 1


def test_matrices_have_their_counts() -> None:
    first, _ = drawing.draw_confusions(matrices()).axes
    numbers = {(text.get_position(), text.get_text()) for text in first.texts}
    assert {((0, 0), "1"), ((1, 0), "1"), ((2, 1), "1")} <= numbers and ((0, 1), "0") not in numbers


def test_sweeps_that_lack_what_is_drawn() -> None:
    with pytest.raises(PlanError, match="no fixed point"):
        drawing.draw_fraction_bits(calibrated_sweep())
    with pytest.raises(PlanError, match="only fixed point"):
        drawing.draw_bits(fixed_sweep())


def test_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match="another kind"):
        drawing.save(FIGURES["levels"](), tmp_path / "figure.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"lowbit\[report\]"):
        FIGURES["levels"]()
