"""From Amaranth to plain Verilog that can be read: one file, whole names, a header that says what it is."""

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from lowbit.rtl.names import plain_names, printable
from lowbit.rtl.tools import run_tool

_ATTRIBUTE = re.compile(r"^ *\(\* (?!r[ao]m_style)[^\n]* \*\)\n", re.MULTILINE)
"""Of the attributes only those stay that tell a synthesizer what a memory becomes."""

_NAME = re.compile(r"\\([A-Za-z_]\S*)")
"""A name in RTLIL that is not the tool's own."""

_ZEROED = re.compile(
    r"^(?P<indent> +)initial begin\n +(?P<name>\w+)\[0\] = (?P<width>\d+)'h0+;\n"
    r"(?: +(?P=name)\[\d+\] = \d+'h0+;\n)*(?P=indent)end\n",
    re.MULTILINE,
)
"""What Yosys writes of a memory that begins with zeros."""

_PASSES = "proc; opt -full; opt_clean -purge; memory_collect"


class Clocked(wiring.Component):
    """A component with the vendor's names for clock and reset (active low), all other ports as they are."""

    def __init__(self, inner: wiring.Component) -> None:
        self._inner = inner
        super().__init__({"ap_clk": In(1), "ap_rst_n": In(1), **dict(inner.signature.members)})

    def elaborate(self, platform: Any) -> Module:
        """Return the component in a domain of its own."""
        m = Module()
        m.domains.sync = ClockDomain(local=True)
        m.d.comb += [ClockSignal().eq(self.ap_clk), ResetSignal().eq(~self.ap_rst_n)]
        m.submodules.engine = self._inner
        for name, member in self._inner.signature.members.items():
            outer, inner = getattr(self, name), getattr(self._inner, name)
            m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        return m


def to_verilog(component: wiring.Component, name: str, header: Sequence[str]) -> str:
    """Return a component, clock and reset added, as Verilog.

    Args:
        component: an Amaranth component in the domain ``sync``.
        name: of the top module; the modules below are called ``name_part``.
        header: lines of the comment at the top; a hash of what follows is added.
    """
    with TemporaryDirectory() as folder:
        return _headed(_translate(component, name, Path(folder), "-norename"), header, ())


def write_verilog(component: wiring.Component, name: str, header: Sequence[str], folder: Path) -> None:
    """Write a component as ``NAME.v``, the contents of its memories as ``NAME-1.mem`` and so on.

    Tools read large memories much faster from files than from the text. See `to_verilog` for the arguments.
    """
    with TemporaryDirectory() as made:
        text = _translate(component, name, Path(made), "-norename -extmem")
        contents = sorted(Path(made).glob(f"{name}-*.mem"))
        for content in contents:
            shutil.copy(content, folder)
        hashed = tuple(content.read_bytes() for content in contents)
        (folder / f"{name}.v").write_text(_headed(text, header, hashed))


def _translate(component: wiring.Component, name: str, folder: Path, options: str) -> str:
    """Return Verilog as it is read; files beside it lie in the folder."""
    intermediate = _plain_names(rtlil.convert(Clocked(component), name=name, emit_src=False))
    (folder / "design.il").write_text(intermediate)
    script = f"read_rtlil design.il; {_PASSES}; write_verilog {options} {name}.v"
    run_tool("yosys", ["-q", "-p", script], folder)
    return _tidy((folder / f"{name}.v").read_text())


def _headed(body: str, header: Sequence[str], files: Sequence[bytes]) -> str:
    digest = hashlib.sha256(body.encode() + b"".join(files)).hexdigest()
    what = "what follows, and of the memories" if files else "what follows"
    comment = "\n".join(
        f"// {printable(line)}".rstrip() for line in (*header, f"SHA-256 of {what}: {digest}")
    )
    return f"{comment}\n\n{body}"


def _plain_names(text: str) -> str:
    """Return RTLIL whose public names need no escape: ``engine.core`` and ``pixel$7`` become words."""
    strings_apart = re.split(r'("(?:[^"\\]|\\.)*")', text)
    names = plain_names(name for part in strings_apart[::2] for name in _NAME.findall(part))
    strings_apart[::2] = [_NAME.sub(lambda name: f"\\{names[name[1]]}", part) for part in strings_apart[::2]]
    # A string that is a name is that of a memory.
    strings_apart[1::2] = [
        f'"\\\\{names[part[3:-1]]}"' if part.startswith('"\\\\') else part for part in strings_apart[1::2]
    ]
    return "".join(strings_apart)


def _zeroed(match: re.Match[str]) -> str:
    """Return a loop that fills a memory with zeros; 4-state simulators would begin with unknown words."""
    indent, name, width, count = match["indent"], match["name"], match["width"], match[0].count("=")
    return (
        f"{indent}integer {name}_word;\n{indent}initial\n"
        f"{indent}  for ({name}_word = 0; {name}_word < {count}; {name}_word = {name}_word + 1)\n"
        f"{indent}    {name}[{name}_word] = {width}'d0;\n"
    )


def _tidy(text: str) -> str:
    """Return Verilog without the tool's banner, with short names for what has none, and zeros in one line."""
    text = _ATTRIBUTE.sub("", text)
    text = text[text.index("\nmodule ") + 1 :]
    text = _ZEROED.sub(_zeroed, text)
    numbers: dict[str, str] = {}
    return re.sub(r"\\\$\S+ ", lambda match: numbers.setdefault(match[0], f"n{len(numbers)}"), text)
