"""Networks in memory give what their files give."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.errors import FileError, UnsupportedError
from lowbit.zoo import trained


def same(graph: lowbit.Graph, other: lowbit.Graph, samples: Any) -> bool:
    return np.array_equal(lowbit.load(graph).run(samples), lowbit.load(other).run(samples))


@pytest.mark.parametrize("suffix", [".onnx", ".circle", ".txt"])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_format(tmp_path: Path, suffix: str, kind: Any) -> None:
    path, samples = tmp_path / f"net{suffix}", np.random.default_rng(0).random((3, 64), np.float32)
    lowbit.write(trained("digits"), path)
    content = kind(path.read_bytes())
    assert same(lowbit.read(content), lowbit.read(path), samples)
    assert np.array_equal(lowbit.load(content).run(samples), lowbit.load(path).run(samples))


def test_a_model_of_onnx_stays_as_it_was(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path, samples = tmp_path / "net.onnx", np.random.default_rng(0).random((64, 64), np.float32)
    lowbit.write(trained("digits"), path)
    model = onnx.load(path)
    before = model.SerializeToString(deterministic=True)
    assert same(lowbit.read(model), lowbit.read(path), samples)
    small, _ = lowbit.quantize(model, samples, bits=2, check=False)
    assert any(node.domain == "lowbit" for node in small.nodes)
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"lowbit 9", b"....CIR0", b"....TFL3" + b"\xff" * 60])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises((FileError, UnsupportedError)) as caught:
        lowbit.read(content)
    assert caught.value.where.startswith("bytes")


def test_a_torch_module_by_its_exporter() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 5),
    )  # fmt: skip
    module.train()
    samples = np.random.default_rng(0).random((70, 1, 8, 8), np.float32)
    graph = lowbit.read(module, example=samples)
    assert module.training
    module.eval()
    expected = module(torch.as_tensor(samples)).detach().numpy()
    np.testing.assert_allclose(lowbit.load(graph).run(samples), expected, atol=1e-5)
    found = lowbit.load(module, example=torch.zeros(1, 1, 8, 8)).run(samples)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    small, _ = lowbit.quantize(module, samples, bits=4, check=False)
    assert any(node.domain == "lowbit" for node in small.nodes)


def test_what_torch_does_not_export_is_said() -> None:
    torch = pytest.importorskip("torch")

    class Odd(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            raise RuntimeError("no way")

    with pytest.raises(UnsupportedError, match="no way"):
        lowbit.read(Odd(), example=np.zeros((1, 3), np.float32))
