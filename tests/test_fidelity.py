"""How near a low-bit network is: on samples that did not calibrate it, in Python and on the command line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.errors import DataError, NumericError
from lowbit.fidelity import MOST_DB, fidelity, quantize_and_measure, sparable
from lowbit.ir import Graph, evaluate
from lowbit.quantization import Plan, Report
from tests.command import Command
from tests.ir.networks import float_mlp

SIZES = (20, 24, 6)


def samples(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, SIZES[0])).astype(np.float32)


@pytest.fixture
def network() -> Graph:
    return float_mlp(SIZES)


def test_it_is_what_its_formulas_say(network: Graph) -> None:
    x = samples(50)
    low, _ = lowbit.quantize(network, x, bits=2, check=False)
    exact, found = (evaluate(net, {"x": x})[net.outputs[0]].astype(np.float64) for net in (network, low))
    measured = fidelity(network, low, x)
    assert measured.agreement == (exact.argmax(1) == found.argmax(1)).mean()
    wanted = 10 * np.log10((exact**2).sum() / ((exact - found) ** 2).sum())
    assert np.isclose(measured.output_snr_db, wanted, atol=1e-3)
    same = fidelity(network, network, x)
    assert (same.agreement, same.output_snr_db, same.samples) == (1.0, MOST_DB, 50)


@pytest.mark.parametrize(
    ("count", "most", "measured", "unused"),
    [(20, 1024, 0, False), (256, 1024, 0, False), (257, 1024, 32, False), (1024, 1024, 128, False),
     (256, 100, 156, True), (1030, 1024, 128, False), (5000, 1024, 1024, True)],
)  # fmt: skip
def test_samples_are_spared_where_there_are_enough(
    count: int, most: int, measured: int, unused: bool
) -> None:
    found, free = sparable(count, Plan(samples=most))
    assert (len(found), free) == (measured, unused)
    assert len(np.unique(found)) == measured and (not measured or found.max() < count)


def test_what_measures_did_not_calibrate_and_nothing_is_calibrated_twice(
    network: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, measured = [], []
    whole, judge = lowbit.fidelity.quantize, lowbit.fidelity.fidelity

    def watched(graph: Graph, given: np.ndarray, *rest: Any, **named: Any) -> tuple[Graph, Report]:
        fitted.append(given)
        return whole(graph, given, *rest, **named)

    def judged(graph: Graph, low: Graph, given: np.ndarray) -> object:
        measured.append(given)
        return judge(graph, low, given)

    monkeypatch.setattr("lowbit.fidelity.quantize", watched)
    monkeypatch.setattr("lowbit.fidelity.fidelity", judged)
    x = samples(300)
    _, report = lowbit.quantize(network, x, bits=3)
    assert [len(each) for each in fitted] == [263]
    kept = [row for row in x if not (fitted[0] == row).all(axis=1).any()]
    assert len(kept) == report.checked == 37 and np.array_equal(measured[0], kept)
    assert report.agreement is not None and 0.8 < report.agreement <= 1
    fitted.clear()
    assert lowbit.quantize(network, x, bits=3, check=samples(40, 2))[1].checked == 40
    assert lowbit.quantize(network, x, bits=3, check=False)[1].agreement is None
    assert [len(each) for each in fitted] == [300, 300]


def test_what_is_returned_is_what_is_measured(network: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the fit, such as a clipped bias, shows."""
    whole = lowbit.fidelity.quantize

    def spoilt(graph: Graph, given: np.ndarray, *rest: Any, **named: Any) -> tuple[Graph, Report]:
        low, report = whole(graph, given, *rest, **named)
        bias = low.nodes[-1].inputs[2] if len(low.nodes[-1].inputs) > 2 else low.nodes[-2].inputs[2]
        low.update(bias, data=low.constant(bias) + np.arange(SIZES[-1], dtype=np.float32) * 100)
        return low, report

    monkeypatch.setattr("lowbit.fidelity.quantize", spoilt)
    _, report = quantize_and_measure(network, samples(300), Plan(weight_bits=3, activation_bits=3))
    assert report.verdict == "broken"


def test_one_output_has_no_classes() -> None:
    network = float_mlp((20, 24, 1))
    network.nodes = [*network.nodes[:-2], replace(network.nodes[-2], outputs=network.outputs)]  # no softmax
    _, report = lowbit.quantize(network, samples(300), bits=4)
    assert report.agreement is None and report.output_snr_db is not None and report.output_snr_db > 10
    assert report.verdict == "good"


@pytest.mark.parametrize(
    ("agreement", "snr", "verdict"),
    [(None, None, "not measured"), (0.95, -3.0, "good"), (0.89, 30.0, "low"), (0.49, 30.0, "broken"),
     (None, 11.0, "good"), (None, 9.0, "low"), (None, -1.0, "broken")],
)  # fmt: skip
def test_verdicts(agreement: float | None, snr: float | None, verdict: str) -> None:
    report = Report((), 1, 0.0, 0, agreement, snr, 10)
    assert report.verdict == verdict
    assert ("not measured" in report.measured) == (verdict == "not measured")
    json.loads(json.dumps(report.to_dict(), allow_nan=False))


def test_a_line_says_what_is_less_than_good(capsys: pytest.CaptureFixture[str]) -> None:
    from lowbit.cli.quantize import _end

    _end(Report((), 1, 0.0, 0, 0.84, 9.0, 10), strict=True)
    assert "only 84.0% of classes" in capsys.readouterr().err
    _end(Report((), 1, 0.0, 0, None, 9.0, 10), strict=True)
    assert "only 9.0 dB" in capsys.readouterr().err
    _end(Report((), 1, 0.0, 0, 0.95, 9.0, 10), strict=True)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["samples", "check"])
def test_samples_that_are_not_finite_are_refused_before_work(network: Graph, bad: float, where: str) -> None:
    given = {"samples": samples(40), "check": samples(20)}
    given[where][11, 3] = bad
    with pytest.raises((DataError, NumericError), match="sample 11"):
        lowbit.quantize(network, given["samples"], bits=2, check=given["check"])


@pytest.fixture
def files(tmp_path: Path, network: Graph) -> Path:
    lowbit.write(network, tmp_path / "net.circle")
    np.save(tmp_path / "many.npy", samples(300))
    np.save(tmp_path / "few.npy", samples(30))
    return tmp_path


def broken(network: Graph) -> Graph:
    """Return a network of classes that differ by a hair, which one bit does not tell apart."""
    graph = network.copy()
    weights = graph.constant("fc2.weight")
    graph.update("fc2.weight", data=(weights * 1e-4 + weights[:, :1]).astype(np.float32))
    graph.update("fc2.bias", data=np.zeros_like(graph.constant("fc2.bias")))
    return graph


def test_the_command_says_it_and_ends_with_10_where_that_is_asked(
    files: Path, network: Graph, command: Command
) -> None:
    words = ("quantize", files / "net.circle", "-o", files / "low.circle", "--data", files / "many.npy")
    status, text, errors = command(*words, "--bits", 3, "--json", "--strict")
    assert status == 0 and json.loads(text)["agreement"] > 0.8 and not errors
    assert json.loads(text)["checked"] == 37
    lowbit.write(broken(network), files / "net.circle")
    status, text, errors = command(*words, "--bits", 1, "--method", "plain")
    assert status == 0 and "WARNING" in errors and "does not work" in errors
    status, text, errors = command(*words, "--bits", 1, "--method", "plain", "--strict", "--json")
    assert status == 10 and json.loads(text)["agreement"] < 0.5 and "WARNING" in errors


def test_the_command_measures_with_what_it_is_given(files: Path, command: Command) -> None:
    words = ("quantize", files / "net.circle", "-o", files / "low.circle", "--bits", 3, "--json")
    few, many = ("--data", files / "few.npy"), ("--check", files / "many.npy")
    found = json.loads(command(*words, *few)[1])
    assert found["agreement"] is None and found["output_snr_db"] is None
    assert "not measured" in command(*words[:-1], *few)[1]
    assert json.loads(command(*words, *few, *many)[1])["checked"] == 300
    fixed = (*words[:4], "--scheme", "fixed:4.8", "--json")
    assert json.loads(command(*fixed[:3], files / "low.txt", *fixed[4:], *many)[1])["agreement"] > 0.9
    assert json.loads(command(*fixed[:3], files / "low.txt", *fixed[4:])[1])["agreement"] is None
    (files / "low.circle").unlink()
    status, _, errors = command(*words[:-1], *few, "--strict")
    assert status == 4 and "--check" in errors and not (files / "low.circle").exists()
    status, _, errors = command(*words[:-1], "--data", files / "many.npy", "--check", "none", "--strict")
    assert status == 4


@pytest.mark.parametrize("bits", [4, 5, 8])
def test_bits_alone_mean_a_scheme(files: Path, command: Command, bits: int) -> None:
    words = ("quantize", files / "net.circle", "-o", files / "low.circle", "--data", files / "few.npy")
    found = json.loads(command(*words, "--bits", bits, "--json")[1])
    assert {layer["scheme"] for layer in found["layers"]} == {"lq" if bits <= 4 else "affine"}
    assert "5-8 affine" in " ".join(command("quantize", "--help")[1].replace("│", "").split())
    assert command(*words, "--bits", bits, "--percentile", 99.5)[0] == 0
    _, report = lowbit.quantize(files / "net.circle", samples(30), bits=bits)
    assert {layer.scheme for layer in report.layers} == {"lq" if bits <= 4 else "affine"}


def test_a_lone_outlier_is_told(files: Path, command: Command) -> None:
    x = samples(30)
    x[4, 4] = 1e4
    np.save(files / "few.npy", x)
    words = ("quantize", files / "net.circle", "-o", files / "low.circle", "--data", files / "few.npy")
    assert "1 samples are unlike all others" in command(*words, "--bits", 2)[1]
