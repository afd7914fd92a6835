"""Blocks of outputs: sums of generated weights and rows, all bits and lengths, in one compiled file."""

import ctypes
import subprocess
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from lowbit.backends.c99 import compiler
from lowbit.c99.blocks import Walk, block_of
from lowbit.c99.packing import packed
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit
from lowbit.errors import EngineError

OUTPUTS, HIGHS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 17, 21), (1, 15, 30, 255)
SHAPES = ((1, 1), (1, 3), (2, 2), (1, 7), (3, 11), (1, 300), (5, 5), (3, 24), (2, 75))
"""Rows of a window, and taps side by side."""


def cases():
    """Return the largest entry, weights, and how a window lies in a map: None for a row of its own."""
    random = np.random.default_rng(5)
    shapes = cycle(SHAPES)
    for bits in (1, 2, 3, 4, 5, 6, 8):
        for outputs in OUTPUTS:
            rows, row = next(shapes)
            low, high = -(1 << bits - 1), (1 << bits) - (1 << bits - 1)
            weights = random.integers(low, high, (outputs, rows * row))
            weights.flat[:2] = low, high - 1
            walk = Walk(row, row + int(random.integers(0, 9))) if random.integers(0, 2) else None
            for entry in HIGHS[outputs % 2 :: 2]:
                yield entry, weights, walk
    for bits in (2, 3, 4):  # powers of two, and other levels that lie unevenly
        for outputs in OUTPUTS:
            rows, row = next(shapes)
            levels = np.r_[0, np.sort(random.permutation(np.arange(1, 60))[: (1 << bits) - 2]), -70]
            if outputs % 2:
                levels = np.r_[0, 1 << np.arange((1 << bits - 1) - 1), -(1 << np.arange((1 << bits - 1) - 1))]
            weights = random.choice(levels, (outputs, 8 * rows * row))
            weights[: len(levels)].flat[: len(levels)] = levels
            yield HIGHS[outputs % 4], weights, Walk(8 * row, 8 * row + 3)


@pytest.mark.parametrize("flags", [(), ("-DLOWBIT_NO_MULTIPLY",)], ids=["products", "shifts"])
def test_blocks_sum_what_products_are(flags):
    try:
        command = compiler()
    except EngineError:
        pytest.skip("no C compiler")
    random = np.random.default_rng(6)
    unit, calls, known = Unit(), [], []
    for number, (high, weights, walk) in enumerate(list(cases())[len(flags) :: 2]):
        unit.current = number
        form, (outputs, length) = packed(weights), weights.shape
        x = Stored(0, "bytes", length, low=0, high=high)
        looked_up = walk is not None and number % 3 == 0
        block = block_of(unit, replace(x, lookup="t") if looked_up else x, form, walk)
        if block is None:
            continue
        calls.append(call(number, block, outputs, length))
        known.append((number, high, weights, block, walk if block.walks else None, looked_up))
    assert len(known) > 75
    assert sum(each[4] is not None for each in known) > 30
    text = "\n\n".join(["#include <stdint.h>", *unit.functions.values(), *unit.constants.values(), *calls])
    library = built([*command, *flags], text)
    for number, high, weights, block, walk, looked_up in known:
        outputs, length = weights.shape
        looked_up = looked_up and walk is not None
        places = np.arange(length)
        if walk is not None:
            places = places // walk.row * walk.stride + places % walk.row
        entries = np.r_[random.permutation(high + 1), 0] if looked_up else np.arange(high + 1)
        maps = random.integers(0, high + 1, (4, places[-1] + 1)) * random.integers(0, 2, (4, places[-1] + 1))
        maps[0] = high
        for each in maps.astype(np.uint8):
            found, table = np.zeros(outputs + 1, np.int32), entries.astype(np.uint8)
            given = (array.ctypes.data_as(ctypes.c_void_p) for array in (each, found, table))
            library[f"run_{number}"](*given)
            row = entries[each[places]].astype(np.int64)
            assert found[-1] == (row.sum() if block.total else 0)
            sums = found[:-1] * block.step + block.start * row.sum()
            np.testing.assert_array_equal(sums, weights @ row, err_msg=f"{number} {weights.shape}")


@pytest.mark.parametrize("shape", [(12, 25), (10, 216)])
def test_weights_of_four_bits_take_half_a_byte_and_what_words_lack(shape):
    unit = Unit()
    form = packed(np.random.default_rng(0).integers(-8, 8, shape))
    block_of(unit, Stored(0, "bytes", shape[1], low=0, high=15), form)
    assert unit.weight_bytes <= -(-shape[1] // 4) * 4 * shape[0] // 2


def call(number, block, outputs, length):
    """Return a function of C that stores all sums of a row at `y`, and the row's own sum behind them."""
    declared = "\n".join(f"    {ctype} {name};" for ctype, name, _ in block.fields)
    values = ", ".join(["t", str(length), *(value for *_, value in block.fields)])
    total = f"y[{outputs}] = {block.total};" if block.total else ""
    return f"""void run_{number}(const uint8_t *x, int32_t *y, const uint8_t *t)
{{
  const struct {{
    const uint8_t *lookup;
    int32_t length;
{declared}
  }} fields = {{{values}}}, *l = &fields;
  const int32_t last = {outputs};
  int32_t sums[12], made = 0, taken = 0, o;
  const {block.ctype} *w = l->weights;
  for (o = 0; o < last; ++o) {{
    if (taken == made) {{
      {block.call};
      taken = 0;
      {total}
    }}
    y[o] = sums[taken++];
  }}
}}
"""


def built(command, text):
    """Return a library of some C, with every overflow and read beyond an array an end."""
    with TemporaryDirectory() as name:
        source, target = Path(name) / "blocks.c", Path(name) / "blocks.so"
        source.write_text(text)
        flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-unused-const-variable"]
        traps = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-fPIC", "-shared"]
        subprocess.run([*command, *flags, *traps, str(source), "-o", str(target)], check=True)
        return ctypes.CDLL(str(target))
