"""README says what results say, and its Python runs."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from tests.ir.networks import float_mlp

ROOT = Path(__file__).parent.parent


def test_tables_are_those_of_the_results() -> None:
    subprocess.run([sys.executable, ROOT / "benchmarks" / "readme.py", "--check"], check=True)


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    lowbit.write(float_mlp((64, 20, 10)), "mlp.onnx")
    np.save("calibration.npy", np.random.default_rng(0).random((100, 64), np.float32))
    run_example("lowbit.quantize")
    assert "'top1'" in capsys.readouterr().out


def test_the_training_example_runs() -> None:
    pytest.importorskip("torch")
    names = run_example("lowbit.nn")
    assert [node.op for node in names["graph"].nodes].count("LQConv") == 5


def run_example(about: str) -> dict[str, Any]:
    """Run the first example that mentions something and return its names."""
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(next(text for text in examples if about in text), "README.md", "exec"), names)  # noqa: S102
    return names
