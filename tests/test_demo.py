"""The demo's job, as `scripts/demo` runs it: every row with its size, accuracy and latency."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parent.parent / "recipes" / "digits.py"


def test_the_demo_runs() -> None:
    for package in ("sklearn", "skl2onnx", "onnxruntime"):
        pytest.importorskip(package)
    done = subprocess.run([sys.executable, DEMO, "--json"], check=True, capture_output=True, text=True)
    rows = {row["network"]: row for row in json.loads(done.stdout.splitlines()[-1])}
    float_top1 = rows.pop("float")["top1"]
    lost = {name: float_top1 - row["top1"] for name, row in rows.items()}
    assert lost["lq 3 bits"] < 0.02 and lost["lq 2 bits"] < 0.04 and lost["lq 1 bit"] < 0.12
    assert lost["affine 8 bits"] < 0.01
    for row in rows.values():
        assert row["latency_us"] > 0 and "onnxruntime-fp32" in row["peers"]
