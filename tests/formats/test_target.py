"""What a file cannot carry is said before work is done for it, all of it at once."""

from pathlib import Path

import numpy as np
import pytest

from lowbit.api import quantize_file
from lowbit.errors import UnsupportedError
from lowbit.formats import check_target, write_model
from lowbit.formats.circle import check, writer
from lowbit.ir import Graph, Node, Value, infer
from lowbit.quantization import Plan
from tests.ir.channels_last import channels_last


def network() -> Graph:
    """Return a network with three operators that .circle does not have, of two kinds."""
    random = np.random.default_rng(0)
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 6, 6, 6))})
    for name, inputs in (("v", 3), ("w", 4)):
        graph.add_constant(name, random.normal(size=(4, inputs, 3, 3, 3)))
    graph.nodes = [
        Node("Conv", ("x", "v"), ("a",), {}, "first"),
        Node("Abs", ("a",), ("b",), {}, "size"),
        Node("Erf", ("b",), ("c",), {}, "soft"),
        Node("Conv", ("c", "w"), ("d",), {}, "second"),
        Node("Flatten", ("d",), ("y",), {}, "flat"),
    ]
    infer(graph)
    return graph


def test_all_operators_are_named_with_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "can_be_own", lambda *_: False)
    with pytest.raises(UnsupportedError, match=r"cannot carry 3 operators") as caught:
        check(network())
    assert "2 × Conv" in caught.value.found and "(first, second)" in caught.value.found
    assert "1 × Erf" in caught.value.found and ".onnx" in caught.value.remedy


def test_quantize_asks_before_it_reads_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "can_be_own", lambda *_: False)
    write_model(network(), tmp_path / "net.onnx")
    plan = Plan(weight_bits=2, activation_bits=2)
    with pytest.raises(UnsupportedError, match="cannot carry 3 operators"):
        quantize_file(tmp_path / "net.onnx", tmp_path / "out.circle", "no such data", plan)
    with pytest.raises(UnsupportedError, match="no model format"):
        quantize_file(tmp_path / "net.onnx", tmp_path / "out.model", "no such data", plan)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("suffix", [".circle", ".tflite", ".onnx", ".txt"])
def test_a_network_that_fits_passes(suffix: str) -> None:
    check_target(channels_last(3), f"out{suffix}")
    if suffix in (".onnx", ".txt"):
        check_target(network(), f"out{suffix}")
