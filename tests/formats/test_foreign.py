"""Formats of other runtimes: what quantization leaves real there, and what is said of operators of ours."""

from pathlib import Path

import numpy as np

from lowbit.api import quantize_file
from lowbit.formats import is_foreign, own_operators, write_model
from lowbit.plan import Plan
from tests.quantization.test_sums import residual_network, samples


def test_sums_are_real_in_files_of_other_runtimes(tmp_path: Path) -> None:
    source = tmp_path / "net.onnx"
    write_model(residual_network(), source)
    for suffix, fixed in ((".tflite", False), (".qdq.onnx", False), (".circle", True)):
        plan = Plan("affine:8", "affine:8", method="rtn")
        found = quantize_file(source, tmp_path / f"low{suffix}", samples(), plan, check=False)
        assert bool(found.report.sums) is fixed


def test_a_file_that_litert_does_not_run_says_so(tmp_path: Path) -> None:
    source = tmp_path / "net.onnx"
    write_model(residual_network(), source)
    plan = Plan("lq:2", "lq:2", restarts=1)
    found = quantize_file(source, tmp_path / "low.tflite", np.asarray(samples()), plan, check=False)
    assert any("stock LiteRT does not run this file" in note for note in found.notes)


def test_only_formats_of_others_are_asked() -> None:
    graph = residual_network()
    assert [is_foreign(f"net{suffix}") for suffix in (".tflite", ".circle", ".onnx", ".qdq.onnx")] == [
        True,
        False,
        False,
        True,
    ]
    assert own_operators(graph, "net.tflite") == own_operators(graph, "net.onnx") == ""
