"""Do all that is done with files with those of the toy format; the folder to write in is the argument."""

import sys
from pathlib import Path

import numpy as np
from tests.ir.networks import float_mlp, lowbit_mlp

from lowbit.cli import app
from lowbit.errors import FileError, UnsupportedError
from lowbit.formats import SUFFIXES, check_target, read_model, write_model
from lowbit.ir import to_text

folder = Path(sys.argv[1])
assert ".toy" in SUFFIXES


def run(*words: object) -> None:
    app([str(word) for word in words], standalone_mode=False)


def refused(kind: type[Exception], expected: str, path: Path) -> None:
    try:
        read_model(path) if path.exists() else write_model(lowbit_mlp(), path)
    except kind as error:
        assert expected in str(error), error
    else:
        raise AssertionError(f"{path} is not refused")


for graph in (float_mlp(), lowbit_mlp()):
    check_target(graph, "net.toy")
    write_model(graph, folder / "net.toy")
    assert to_text(read_model(folder / "net.toy")) == to_text(graph)
    (folder / "other.bin").write_bytes((folder / "net.toy").read_bytes())
    assert to_text(read_model(folder / "other.bin")) == to_text(graph)
    (folder / "broken.toy").write_bytes((folder / "net.toy").read_bytes()[:-9])
    refused(FileError, "no toy", folder / "broken.toy")
    for suffix in (".onnx", ".circle", ".txt"):
        run("convert", folder / "net.toy", folder / f"net{suffix}")
        run("convert", folder / f"net{suffix}", folder / "again.toy")
        read_model(folder / "again.toy")
    run("inspect", folder / "other.bin", "--verify", "--graph")
(folder / "unknown.bin").write_bytes(b"nothing known")
refused(FileError, ".toy", folder / "unknown.bin")
refused(UnsupportedError, ".toy", folder / "net.unknown")

write_model(float_mlp(), folder / "net.toy")
np.save(folder / "x.npy", np.random.default_rng(1).normal(size=(64, 5)).astype(np.float32))
run("quantize", folder / "net.toy", "-o", folder / "small.toy", "--data", folder / "x.npy", "--bits", 2)
run("run", folder / "small.toy", "--data", folder / "x.npy", "-o", folder / "y.npz")
