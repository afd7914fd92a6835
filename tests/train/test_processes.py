"""Processes of their own: one that is killed goes on to the same numbers; two do what one does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning_fabric")

RECIPE = """
network = "{network}"
data = "{data}"
epochs = {epochs}
batch = 32
[optimizer]
name = "sgd"
rate = 0.02
[augmentation]
flip = true
crop = 2
[plan]
{plan}
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def written(folder: Path, network: str, epochs: int, plan: str = "", count: int = 256) -> list[str]:
    """Write data and recipe; return the words of the command."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (count + 40, 28, 28), np.uint8)
    labels = random.integers(0, 10, count + 40)
    data = folder / "data.npz"
    parts = {"train": slice(count), "test": slice(count, None)}
    inputs = {f"x_{name}": pictures[part] for name, part in parts.items()}
    np.savez(data, **inputs, **{f"y_{name}": labels[part] for name, part in parts.items()})
    recipe = folder / "made.toml"
    recipe.write_text(RECIPE.format(network=network, data=data, epochs=epochs, plan=plan))
    return ["-m", "lowbit", "train", str(recipe), "--device", "cpu", "--json"]


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())]


def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    words = [sys.executable, *written(tmp_path, "lenet", 12, count=1024)]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*words, "--out", whole], check=True, capture_output=True, env=ENVIRONMENT)
    child = subprocess.Popen([*words, "--out", killed], stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    patience = time.monotonic() + 60
    while not (killed / "metrics.jsonl").exists() and time.monotonic() < patience:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL and not (killed / "result.json").exists()
    subprocess.run([*words, "--out", killed], check=True, capture_output=True, env=ENVIRONMENT)
    assert losses(killed) == losses(whole)
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (whole, killed)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("network", "plan", "tolerance"),
    [
        ("mlp", "", 1e-5),
        ("lenet", 'conv2 = { weight = "lq:2", activation = "lq:2" }', 1e-4),
        pytest.param(
            "vgg-fashion",
            'conv2 = { weight = "binary", activation = "binary" }',
            0.05,
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_two_processes_do_what_one_does(tmp_path: Path, network: str, plan: str, tolerance: float) -> None:
    """The tolerance is relative.

    Codes near a threshold may differ after sums in another order; batch normalization sees half a batch.
    """
    words = written(tmp_path, network, 3, plan)
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run([sys.executable, *words, "--out", one], check=True, capture_output=True, env=ENVIRONMENT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*launch, *words, "--out", two], check=False, capture_output=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert json.loads(done.stdout)["settings"]["batch"] == 32  # one of them speaks
    np.testing.assert_allclose(losses(two), losses(one), rtol=tolerance)
