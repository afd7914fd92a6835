"""Blocks of four outputs: sums of generated weights and rows, all bits and lengths, in one compiled file."""

import ctypes
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from lowbit.backends.c99 import compiler
from lowbit.c99.blocks import block_of
from lowbit.c99.packing import packed
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit
from lowbit.errors import EngineError

OUTPUTS, LENGTHS, HIGHS = (2, 3, 4, 5, 8, 10), (1, 3, 4, 7, 33, 300), (1, 15, 30, 255)


def cases():
    """Return the number of a case, largest entry, and weights."""
    random = np.random.default_rng(5)
    for bits in (1, 2, 3, 4, 6, 8):
        for outputs, length in zip(OUTPUTS, LENGTHS, strict=True):
            for high in HIGHS:
                weights = random.integers(-(1 << bits - 1), (1 << bits) - (1 << bits - 1), (outputs, length))
                weights.flat[:2] = -(1 << bits - 1), (1 << bits) - (1 << bits - 1) - 1
                yield high, weights


def test_blocks_sum_what_products_are():
    try:
        command = compiler()
    except EngineError:
        pytest.skip("no C compiler")
    unit, calls, known = Unit(), [], []
    for number, (high, weights) in enumerate(cases()):
        unit.current = number
        form = packed(weights)
        x = Stored(0, "bytes", weights.shape[1], low=0, high=high)
        block = block_of(unit, x, form)
        if block is None:
            continue
        outputs, length = weights.shape
        name = block.fields[0][2]
        calls.append(
            f"void run_{number}(const uint8_t *x, int32_t *y)\n{{\n  int32_t sums[4], o;\n"
            f"  const {block.ctype} *w = {name};\n  for (o = 0; o < {outputs}; ++o) {{\n"
            f"    if (!(o & 3)) w = {block.function}(x, w, {length}, {outputs} - o, sums);\n"
            "    y[o] = sums[o & 3];\n  }\n}\n"
        )
        known.append((number, high, form.codes))
    assert len(known) > 100
    text = "\n\n".join(["#include <stdint.h>", *unit.functions.values(), *unit.constants.values(), *calls])
    library = built(command, text)
    random = np.random.default_rng(6)
    for number, high, codes in known:
        outputs, length = codes.shape
        rows = random.integers(0, high + 1, (4, length)) * random.integers(0, 2, (4, length))
        rows[0] = high
        for row in rows.astype(np.uint8):
            found = np.zeros(outputs, np.int32)
            library[f"run_{number}"](
                row.ctypes.data_as(ctypes.c_void_p), found.ctypes.data_as(ctypes.c_void_p)
            )
            np.testing.assert_array_equal(
                found, codes @ row.astype(np.int64), err_msg=f"{number} {codes.shape}"
            )


def built(command, text):
    """Return a library of some C, with every overflow and read beyond an array an end."""
    with TemporaryDirectory() as name:
        source, target = Path(name) / "blocks.c", Path(name) / "blocks.so"
        source.write_text(text)
        flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-unused-const-variable"]
        traps = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-fPIC", "-shared"]
        subprocess.run([*command, *flags, *traps, str(source), "-o", str(target)], check=True)
        return ctypes.CDLL(str(target))
