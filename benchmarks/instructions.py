"""Instructions per multiply-add of the innermost loops of kernels, counted from the binary.

    python benchmarks/instructions.py OBJECT… [--symbol NAME]… [--objdump PROGRAM] [--markdown] [--show]

Objects are of a build, as build/aarch64/CMakeFiles/lowbit_core.dir/cpp/kernels/neon_dot.cc.o. A symbol is a
part of a demangled name; none: all functions. Of every function the loop that holds most products is counted:
from the target of a branch that goes back to the branch, with none that goes back in between. Products of
several numbers (``sdot``, ``cnt``) count as `PRODUCTS` says. The limit is what the instruction set asks for:
one instruction for products, three for binary ones, which are compared, counted and summed.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Product(NamedTuple):
    """What multiplies: how many multiply-adds it does, and how many instructions these take at least."""

    pattern: str
    count: int
    limit: float


# Of the mnemonic and its operands. What comes first holds.
PRODUCTS = (
    Product(r"cnt\s+v\d+\.16b", 128, 3),
    Product(r"(us|s|u)mmla\s", 32, 1),
    Product(r"(us|su|s|u)dot\s", 16, 1),
    Product(r"smlal2?\s+v\d+\.4s", 4, 1),
    Product(r"sm(ul|la)l2?\s+v\d+\.8h", 8, 1),
    Product(r"tdpb(ss|su|us|uu)d\s", 16384, 1),
    Product(r"vpopcntd\s.*%zmm", 512, 3),
    Product(r"vpdpbusd\s.*%zmm", 64, 1),
    Product(r"vpdpwssd\s.*%zmm", 32, 1),
    Product(r"vpmaddubsw\s.*%ymm", 32, 1),
    Product(r"vpmaddwd\s.*%ymm", 16, 1),
)
_BACK = re.compile(r"(?:b|b\.\w+|cbn?z|tbn?z|j\w+)\s+(?:.*,\s*)?(?:0x)?([0-9a-f]+)\s+<")


@dataclass(frozen=True)
class Loop:
    """An innermost loop: instructions, and multiply-adds that one passage does."""

    symbol: str
    instructions: int
    multiply_adds: int
    per_multiply_add: float
    limit: float


def functions(text: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Yield names and instructions (address, text) of a disassembly."""
    for part in re.split(r"\n(?=[0-9a-f]+ <)", text):
        head = re.match(r"[0-9a-f]+ <(.*)>:", part)
        if head:
            lines = re.findall(r"^\s*([0-9a-f]+):\s+(.+)$", part, re.MULTILINE)
            yield head[1], [(int(address, 16), code) for address, code in lines]


def loops(code: list[tuple[int, str]]) -> Iterator[list[str]]:
    """Yield the bodies of innermost loops: nothing in them goes back but their last instruction."""
    place = {address: n for n, (address, _) in enumerate(code)}
    back = [
        (place[target], n)
        for n, (address, text) in enumerate(code)
        if (found := _BACK.match(text)) and (target := int(found[1], 16)) <= address and target in place
    ]
    for first, last in back:
        if not any(first <= other and end < last for other, end in back):
            yield [text for _, text in code[first : last + 1]]


def measured(symbol: str, body: list[str]) -> Loop | None:
    """Return what a loop does; None where it multiplies nothing."""
    found = [product for text in body if (product := _product(text))]
    total = sum(product.count for product in found)
    if total == 0:
        return None
    least = sum(product.limit for product in found)
    return Loop(symbol, len(body), total, len(body) / total, least / total)


def _product(text: str) -> Product | None:
    return next((product for product in PRODUCTS if re.match(product.pattern, text)), None)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("objects", nargs="+")
    parser.add_argument("--symbol", action="append", default=[])
    parser.add_argument("--objdump", default="aarch64-linux-gnu-objdump")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--show", action="store_true", help="print the loops, too")
    options = parser.parse_args()
    if options.markdown:
        print("| kernel | instructions | multiply-adds | instructions each | limit | of the limit |")
        print("|---|---|---|---|---|---|")
    for path in options.objects:
        command = [options.objdump, "--disassemble", "--no-show-raw-insn", "--demangle", path]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for name, code in functions(text):
            if options.symbol and not any(symbol in name for symbol in options.symbol):
                continue
            bodies = [(loop, body) for body in loops(code) if (loop := measured(name, body))]
            if bodies:
                loop, body = max(bodies, key=lambda pair: pair[0].multiply_adds)
                print(_row(loop, options.markdown), *(body if options.show else ()), sep="\n")
    return 0


def _row(loop: Loop, markdown: bool) -> str:
    name = re.sub(r"\(anonymous namespace\)::|lowbit::|^void |(?<=\d)ul", "", loop.symbol).partition("(")[0]
    rates = (f"{rate:.3g}" for rate in (loop.per_multiply_add, loop.limit))
    figures = (loop.instructions, loop.multiply_adds, *rates)
    ratio = f"{loop.per_multiply_add / loop.limit:.2f}"
    if markdown:
        return f"| `{name}` | {' | '.join(map(str, figures))} | {ratio} |"
    return "{:4} instructions {:5} multiply-adds {} limit {} ".format(*figures) + f"({ratio}) {name}"


if __name__ == "__main__":
    sys.exit(main())
