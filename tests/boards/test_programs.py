"""Emulated boards: a program of known work gives the outputs and the counts that it must."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.boards.machines import BOARDS
from benchmarks.boards.programs import KNOWN_LOOP, BoardError, generated, measured

HEADER = """#include <stdint.h>
#define net_INPUT_COUNT 4
typedef uint8_t net_input;
#define net_OUTPUT_COUNT 2
typedef int32_t net_output;
void net_run(const net_input input[net_INPUT_COUNT], net_output output[net_OUTPUT_COUNT]);
"""
TABLE = np.arange(256) * 7 % 251
SOURCE = f"""#include "net.h"
static int32_t calls = 7;
static const uint8_t table[256] = {{{", ".join(map(str, TABLE))}}};
static const int32_t weights[4] = {{3, -5, 70000, 1}};
void net_run(const uint8_t *x, int32_t *y)
{{
  volatile int32_t deep[64];
  int32_t sum = 0, i;
  for (i = 0; i < 64; ++i) deep[i] = x[0];
  for (i = 0; i < 4; ++i) sum += weights[i] * x[i];
  y[0] = sum;
  y[1] = deep[63] + ++calls + table[x[1]];
}}
"""


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_runs_a_program_and_counts(name: str, tmp_path: Path) -> None:
    board = BOARDS[name]
    if board.missing:
        pytest.skip(f"{' and '.join(board.missing)} not found")
    (tmp_path / "net.h").write_text(HEADER)
    (tmp_path / "net.c").write_text(SOURCE)
    program = generated(tmp_path / "net.c")
    samples = np.random.default_rng(3).integers(0, 256, (5, 4)).astype(np.uint8)
    sizes, ran = measured(program, board, samples)
    wanted = samples.astype(np.int64) @ [3, -5, 70000, 1]
    calls = 9 + np.arange(5)  # the first sample runs twice, once to see its stack
    other = samples[:, 0] + calls + TABLE[samples[:, 1]]
    np.testing.assert_array_equal(ran.outputs, np.stack([wanted, other], axis=1))
    assert ran.known_loop == pytest.approx(KNOWN_LOOP, abs=80)  # a unit of a board's clock
    assert 200 < ran.instructions < 2000 and ran.least <= ran.instructions <= ran.most
    assert 256 <= ran.stack < 512
    assert 40 < sizes.code < 400 and 256 <= sizes.constants <= 272 and sizes.ram == 4


def test_a_program_that_does_not_build_says_why(tmp_path: Path) -> None:
    board = BOARDS["m0"]
    if board.missing:
        pytest.skip(f"{' and '.join(board.missing)} not found")
    (tmp_path / "net.h").write_text(HEADER)
    (tmp_path / "net.c").write_text("#error no such network\n")
    with pytest.raises(BoardError, match="no such network"):
        measured(generated(tmp_path / "net.c"), board, np.zeros((1, 4), np.uint8))


def test_a_header_without_a_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.h").write_text("int other(void);\n")
    with pytest.raises(BoardError, match="NAME_run"):
        generated(tmp_path / "net.c")
