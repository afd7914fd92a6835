"""An interrupted calibration goes on, and ends in the network that it would have ended in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.api import quantize_file
from lowbit.errors import DataError, FileError
from lowbit.ir import Graph
from lowbit.ir.text import to_text
from lowbit.quantization import Plan, unfinished
from tests.ir.networks import float_convnet, float_mlp

PLANS = {
    "lq": Plan("lq:2", "lq:3"),
    "affine": Plan("affine:8", "affine:8"),
    "codebook beside a float layer": Plan(
        "codebook:3", "affine:8", layers={"last": {"weights": "float", "activations": "float"}}
    ),
    "weights alone": Plan("lq:3", "float"),
}


def samples_of(graph: Graph, count: int = 40, seed: int = 0) -> np.ndarray:
    shape = [int(n) for n in graph.value(graph.inputs[0]).shape[1:]]
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


class Stopped(KeyboardInterrupt):
    """Somebody pressed Ctrl-C."""


def stop_at(layer: int, how: type[BaseException] = Stopped) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, what: str) -> None:
        if done == layer:
            raise how

    return progress


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("make", [float_mlp, float_convnet])
@pytest.mark.parametrize("killed", [False, True])
def test_it_goes_on_to_the_same_network(
    name: str, make: Callable[[], Graph], killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowbit.write(make(), tmp_path / "net.onnx")
    graph = lowbit.read(tmp_path / "net.onnx")
    x, plan, target = samples_of(graph), PLANS[name], tmp_path / "low.circle"
    whole = quantize_file(tmp_path / "net.onnx", tmp_path / "whole.circle", x, plan, check=False)
    assert not list(tmp_path.glob("*.partial"))
    if killed:  # nobody writes at the end; what was written on the way is there
        monkeypatch.setattr(unfinished, "EVERY", 0.0)
    stopped = stop_at(1, RuntimeError if killed else Stopped)
    with pytest.raises((RuntimeError, Stopped)):
        quantize_file(tmp_path / "net.onnx", target, x, plan, check=False, progress=stopped)
    assert (tmp_path / "low.circle.partial").exists() and not target.exists()
    seen: list[str] = []
    found = quantize_file(
        tmp_path / "net.onnx",
        target,
        x,
        plan,
        check=False,
        progress=lambda done, total, what: seen.append(what),
    )
    assert to_text(lowbit.read(target)) == to_text(lowbit.read(tmp_path / "whole.circle"))
    assert target.read_bytes() == (tmp_path / "whole.circle").read_bytes()
    said = [(layer.name, layer.output_error, layer.weight_error) for layer in found.report.layers]
    assert said == [(layer.name, layer.output_error, layer.weight_error) for layer in whole.report.layers]
    assert whole.report.layers[0].name not in seen and "kept of an interrupted run" in "".join(found.notes)
    assert not (tmp_path / "low.circle.partial").exists()


@pytest.fixture
def interrupted(tmp_path: Path) -> tuple[Path, np.ndarray]:
    graph = float_mlp()
    lowbit.write(graph, tmp_path / "net.onnx")
    x = samples_of(graph)
    with pytest.raises(Stopped):
        quantize_file(
            tmp_path / "net.onnx",
            tmp_path / "low.circle",
            x,
            Plan("lq:2", "lq:2"),
            check=False,
            progress=stop_at(1),
        )
    return tmp_path, x


@pytest.mark.parametrize("changed", ["network", "plan", "samples"])
def test_what_is_of_something_else_is_refused_by_name(
    changed: str, interrupted: tuple[Path, np.ndarray]
) -> None:
    folder, x = interrupted
    plan = Plan("lq:2", "lq:3" if changed == "plan" else "lq:2")
    if changed == "network":
        graph = lowbit.read(folder / "net.onnx")
        name = next(node.inputs[1] for node in graph.nodes if len(node.inputs) > 1)
        graph.update(name, data=graph.constant(name) * np.float32(1.5))
        lowbit.write(graph, folder / "net.onnx")
    if changed == "samples":
        x = x.copy()
        x[3, 1] += 1
    before = (folder / "low.circle.partial").read_bytes()
    with pytest.raises(DataError, match=rf"found (another|other) {changed}\. Remove the file") as refused:
        quantize_file(folder / "net.onnx", folder / "low.circle", x, plan, check=False)
    assert "low.circle.partial" in str(refused.value)
    assert (folder / "low.circle.partial").read_bytes() == before


@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("how", ["cut", "changed"])
def test_a_damaged_file_is_refused(at: float, how: str, interrupted: tuple[Path, np.ndarray]) -> None:
    folder, x = interrupted
    path = folder / "low.circle.partial"
    content = bytearray(path.read_bytes())
    place = int(at * (len(content) - 2))
    if how == "cut":
        del content[place:]
    else:
        content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises((FileError, DataError), match="Remove the file"):
        quantize_file(folder / "net.onnx", folder / "low.circle", x, Plan("lq:2", "lq:2"), check=False)


def test_a_short_run_keeps_nothing_on_the_way(tmp_path: Path) -> None:
    graph = float_mlp()
    lowbit.write(graph, tmp_path / "net.onnx")
    seen = []

    def progress(done: int, total: int, what: str) -> None:
        seen.append((tmp_path / "low.circle.partial").exists())

    quantize_file(
        tmp_path / "net.onnx",
        tmp_path / "low.circle",
        samples_of(graph),
        PLANS["lq"],
        check=False,
        progress=progress,
    )
    assert seen and not any(seen)
