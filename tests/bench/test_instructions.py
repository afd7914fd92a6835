"""Instructions of inner loops, of a disassembly that is written here."""

import importlib.util
from pathlib import Path
from types import ModuleType

TEXT = """
0000000000000000 <lowbit::neon::(anonymous namespace)::count<4ul>(int)>:
   0:	ld1r	{v0.4s}, [x1], #4
   4:	cnt	v1.16b, v0.16b
   8:	add	v2.16b, v2.16b, v1.16b
   c:	cmp	x1, x2
  10:	b.ne	0 <lowbit::neon::(anonymous namespace)::count<4ul>(int)>  // b.any
  14:	smmla	v3.4s, v0.16b, v1.16b
  18:	cbnz	x3, 0 <lowbit::neon::(anonymous namespace)::count<4ul>(int)>
  1c:	ret

0000000000000020 <lowbit::neon::copy(int)>:
  20:	ldr	q0, [x1], #16
  24:	b.ne	20 <lowbit::neon::copy(int)>
"""


def script() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/instructions.py"
    spec = importlib.util.spec_from_file_location("instructions", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_innermost_loop_is_counted() -> None:
    made = script()
    (count, code), (copy, other) = made.functions(TEXT)
    (body,), (moves,) = list(made.loops(code)), list(made.loops(other))
    assert [line.split()[0] for line in body] == ["ld1r", "cnt", "add", "cmp", "b.ne"]
    found = made.measured(count, body)
    assert (found.instructions, found.multiply_adds) == (5, 128)
    assert (found.per_multiply_add, found.limit) == (5 / 128, 3 / 128)
    assert made.measured(copy, moves) is None
