"""README says what results say, and its Python runs."""

import re
import subprocess
import sys
from pathlib import Path

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
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    lowbit.write(float_mlp((64, 20, 10)), "mlp.onnx")
    np.save("calibration.npy", np.random.default_rng(0).random((100, 64), np.float32))
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own text
    assert "'top1'" in capsys.readouterr().out
