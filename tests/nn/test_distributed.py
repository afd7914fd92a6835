"""Two processes quantize as one does that sees all their samples."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

from lowbit.schemes.affine.train import AffineInput  # noqa: E402
from lowbit.schemes.learned_basis.train import LearnedBasisInput  # noqa: E402
from tests.nn.distributed_samples import batches  # noqa: E402

ROOT = Path(__file__).parents[2]


def test_statistics_are_those_of_all_processes(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.nn.distributed_child"]
    started = [
        subprocess.Popen(
            [*words, str(rank), str(tmp_path)], cwd=ROOT, env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
        )
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    found = load_file(tmp_path / "state.safetensors")

    basis, grid = LearnedBasisInput(2, offset=True).train(), AffineInput(4).train()
    for batch in batches():
        basis(batch)
        grid(batch)
    alone = {**basis.state_dict(prefix="basis."), **grid.state_dict(prefix="grid.")}
    assert alone.keys() == found.keys()
    for name, value in alone.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
