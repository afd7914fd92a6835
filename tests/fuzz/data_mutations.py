"""Mutated data files of every format, each read in a child: samples or an error of ours, never more memory.

    python -m tests.fuzz.data_mutations --count 2000 [--format npz …]

A child reads files one after the other and says the number of each before it starts, so what kills it or
makes it hang is known; the next child goes on behind. Its peak memory is the system's own figure.
"""

import argparse
import gzip
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import traceback
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

BUDGET = 1 << 26
MARGIN = 3 << 25  # for the file itself, and what libraries take once
EXTREMES = (0, 1, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1)
SECONDS = 20  # that one file may take


def _npz(compressed: bool) -> bytes:
    buffer, generator = io.BytesIO(), np.random.default_rng(0)
    save = np.savez_compressed if compressed else np.savez
    save(buffer, x=generator.integers(0, 9, (30, 6, 5)).astype(np.uint8), y=np.arange(30) % 3)
    return buffer.getvalue()


def _zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    return buffer.getvalue()


def _checksummed(content: bytes) -> bytes:
    """Return a PNG whose checksums are right, as far as its chunks go."""
    fixed, at = bytearray(content), 8
    while at + 12 <= len(fixed):
        end = at + 8 + int.from_bytes(fixed[at : at + 4], "big")
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = zlib.crc32(fixed[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(fixed)


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(0).random((9, 6)))
    return buffer.getvalue()


def _idx() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 9, (30, 6, 5)).astype(np.uint8)
    return bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in pixels.shape) + pixels.tobytes()


def _hdf5(**options: object) -> bytes:
    import h5py

    buffer, generator = io.BytesIO(), np.random.default_rng(0)
    with h5py.File(buffer, "w") as file:
        for index in range(4):
            values = generator.integers(0, 9, (1, 6, 5)).astype(np.float32)
            file.create_group(f"value/{index}").create_dataset("input", data=values, **options)
        file.create_dataset("label", data=np.arange(4))
    return buffer.getvalue()


def picture(kind: str, side: int = 12) -> bytes:
    from PIL import Image

    buffer, pixels = io.BytesIO(), np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def _parquet(compression: str = "snappy") -> bytes:
    import pyarrow
    from pyarrow import parquet

    rows = [{"bytes": picture("PNG"), "path": f"{index}.png"} for index in range(12)]
    table = pyarrow.table({"img": rows, "label": pyarrow.array([index % 3 for index in range(12)])})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression=compression)
    return buffer.getvalue()


def _batch() -> bytes:
    from tests.data.cifar10_files import CLASSES, PIXELS, batch

    return batch(PIXELS[:1], CLASSES[:1])


def _same(content: bytes) -> bytes:
    return content


PACKED = {"chunks": (1, 3, 5), "compression": "gzip", "shuffle": True, "fletcher32": True}
IDX = "folder/train-images-idx3-ubyte"
FORMATS: dict[str, tuple[str, Callable[[], bytes], Callable[[bytes], bytes]]] = {
    "npz": ("a.npz", lambda: _npz(compressed=False), _same),
    "npz-deflated": ("a.npz", lambda: _npz(compressed=True), _same),
    "npz-member": ("a.npz", _npy, _zipped),
    "npy": ("a.npy", _npy, _same),
    "idx": (IDX, _idx, _same),
    "idx-gz": (f"{IDX}.gz", lambda: gzip.compress(_idx(), mtime=0), _same),
    "idx-member": (f"{IDX}.gz", _idx, lambda content: gzip.compress(content, mtime=0)),
    "hdf5": ("a.h5", _hdf5, _same),
    "hdf5-deflated": ("a.h5", lambda: _hdf5(**PACKED), _same),
    "hdf5-lzf": ("a.h5", lambda: _hdf5(chunks=(1, 3, 5), compression="lzf"), _same),
    "parquet": ("a.parquet", _parquet, _same),
    "parquet-zstd": ("a.parquet", lambda: _parquet("zstd"), _same),
    "cifar10": ("folder/data_batch_1", _batch, _same),
    "png": ("folder/train/cat/a.png", lambda: picture("PNG"), _same),
    "png-chunks": ("folder/train/cat/a.png", lambda: picture("PNG"), _checksummed),
    "jpeg": ("folder/train/cat/a.jpg", lambda: picture("JPEG"), _same),
    "bmp": ("folder/train/cat/a.bmp", lambda: picture("BMP"), _same),
    "ppm": ("folder/train/cat/a.ppm", lambda: picture("PPM"), _same),
}
"""By name: the file to write, good content, and what is done to content after it was mutated."""


@dataclass
class Outcome:
    """What became of the mutated files of a format.

    Attributes:
        read, refused: how many, and how many with an error of ours.
        raw: what was raised that is no error of ours, by text, with the number of a file that does it.
        killed: numbers of files that ended the child, with its exit code, or made it hang (0).
        peak: the most memory of a child beyond what it had before it read anything, in bytes.
    """

    read: int = 0
    refused: int = 0
    raw: dict[str, int] = field(default_factory=dict)
    killed: dict[int, int] = field(default_factory=dict)
    peak: int = 0

    def __str__(self) -> str:
        bad = "".join(f"\n  file {number}: {text}" for text, number in self.raw.items())
        bad += "".join(f"\n  file {number}: exit code {code}" for number, code in self.killed.items())
        found = f"{self.read} read, {self.refused} refused, {len(self.raw)} kinds of raw exceptions"
        return f"{found}, {len(self.killed)} crashes or hangs, {self.peak >> 20} MiB at most{bad}"


def mutated(good: bytes, number: int) -> bytes:
    """Return a file: bytes changed, cut, repeated, or numbers put to their limits; by its number alone."""
    generator, content = random.Random(number), bytearray(good)  # noqa: S311
    for _ in range(generator.choice((1, 1, 2, 4, 16))):
        at = generator.randrange(len(content) or 1)
        kind = generator.randrange(7)
        if kind <= 1 and content:
            content[at] = generator.randrange(256)
        elif kind == 2 and content:
            content[at] ^= 1 << generator.randrange(8)
        elif kind == 3:
            width, most = generator.choice((1, 2, 4, 8)), generator.choice(EXTREMES)
            extreme = (most if generator.random() < 0.7 else 1 << generator.randrange(40)) % 256**width
            content[at : at + width] = extreme.to_bytes(
                width, "little" if generator.random() < 0.5 else "big"
            )
        elif kind == 4:
            del content[at : at + generator.randrange(1, 40)]
        elif kind == 5:
            content[at:at] = content[at : at + generator.randrange(1, 60)]
        else:
            del content[
                generator.randrange(len(content) or 1) if generator.random() < 0.2 else len(content) :
            ]
    return bytes(content)


def run(name: str, count: int, first: int = 0) -> Outcome:
    """Read mutated files of a format in children and return what became of them."""
    outcome, number = Outcome(), first
    environment = {**os.environ, "LOWBIT_MEMORY": str(BUDGET), "OMP_NUM_THREADS": "1"}
    while number < first + count:
        words = ["-m", "tests.fuzz.data_mutations", "--child", name, str(number), str(first + count)]
        with tempfile.TemporaryFile() as said:
            try:
                limit = SECONDS + 0.2 * (first + count - number)
                child = subprocess.run([sys.executable, *words], stdout=said, timeout=limit, env=environment)
                status = child.returncode
            except subprocess.TimeoutExpired:
                status = 0
            said.seek(0)
            lines = [json.loads(line) for line in said.read().splitlines() if line.endswith(b"}")]
        assert lines, f"the good file of {name} is not read"
        done = [line for line in lines if "kind" in line]
        for line in done:
            outcome.read += line["kind"] == "read"
            outcome.refused += line["kind"] == "refused"
            if line["kind"] == "raw":
                outcome.raw.setdefault(line["text"], line["number"])
            outcome.peak = max(outcome.peak, line["peak"])
        number = number + len(done)
        if number < first + count:
            outcome.killed[number] = status
            number += 1
    return outcome


def _child(name: str, first: int, end: int) -> None:
    """Read files and say of each what became of it, and the memory that this took."""
    from lowbit.data import load
    from lowbit.errors import LowbitError

    target, make, wrap = FORMATS[name]
    good = make()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / target
        path.parent.mkdir(parents=True, exist_ok=True)
        source = Path(folder) / target.split("/")[0]
        path.write_bytes(wrap(good))
        assert len(load(source)), "the good file is read, and its libraries are loaded"
        before = _peak()
        sys.stdout.write("{}\n")
        for number in range(first, end):
            path.write_bytes(wrap(mutated(good, number)))
            text = ""
            try:
                load(source)
                kind = "read"
            except LowbitError as error:
                assert str(error)
                kind = "refused"
            except BaseException:
                kind, text = "raw", " | ".join(traceback.format_exc().splitlines()[-3:])[:300]
            said = {"number": number, "kind": kind, "text": text, "peak": _peak() - before}
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Run all that is asked for and return how many formats failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--format", nargs="*", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--child", nargs=3)
    options = parser.parse_args()
    if options.child:
        _child(options.child[0], int(options.child[1]), int(options.child[2]))
        return 0
    failed = 0
    for name in options.format:
        outcome = run(name, options.count, options.first)
        bad = bool(outcome.raw or outcome.killed or outcome.peak > BUDGET + MARGIN)
        failed += bad
        sys.stdout.write(f"{name}: {outcome}{' FAILED' if bad else ''}\n")
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
