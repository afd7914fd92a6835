"""From a waveform to switching activity: VCD (IEEE 1364) in, SAIF 2.0 (IEEE 1801, backward) out.

For every bit of every signal: T0, T1 and TX, how long it was 0, 1 and unknown, and TC, how often it changed.
A vendor's power report reads the file and knows what its wires weigh; here are counts, no joules.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from lowbit.version import __version__

_UNKNOWN = "x"


@dataclass
class _Signal:
    """A signal: its bits, the highest first, and how long and how often each was what."""

    width: int
    bits: str = ""
    since: list[int] = field(default_factory=list)
    lasted: list[dict[str, int]] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bits, self.since, self.changes = _UNKNOWN * self.width, [0] * self.width, [0] * self.width
        self.lasted = [{"0": 0, "1": 0, _UNKNOWN: 0} for _ in range(self.width)]

    def change(self, bits: str, now: int) -> None:
        """Take new bits; a change from or to the unknown does not count."""
        after = bits.lower().replace("z", _UNKNOWN)
        after = after.rjust(self.width, "0" if after[0] == "1" else after[0])
        for at, (old, new) in enumerate(zip(self.bits, after, strict=True)):
            if old != new:
                self.lasted[at][old] += now - self.since[at]
                self.since[at] = now
                self.changes[at] += _UNKNOWN not in (old, new)
        self.bits = after

    def end(self, now: int) -> None:
        """Count until the end."""
        for at, bit in enumerate(self.bits):
            self.lasted[at][bit] += now - self.since[at]


@dataclass
class _Scope:
    """An instance: names of signals with their ranges and codes, and the instances inside."""

    name: str
    signals: list[tuple[str, str]] = field(default_factory=list)
    scopes: list["_Scope"] = field(default_factory=list)


def vcd_to_saif(vcd: Path, saif: Path) -> int:
    """Write the activity of a waveform and return how often bits changed, each signal counted once.

    Args:
        vcd: as a simulator writes it.
        saif: where to.
    """
    with vcd.open() as lines:
        root, signals, scale = _header(lines)
        end = _changes(lines, signals)
    for signal in signals.values():
        signal.end(end)
    saif.write_text("\n".join(_written(root, signals, scale, end)) + "\n")
    return sum(sum(signal.changes) for signal in signals.values())


def _header(lines: TextIO) -> tuple[_Scope, dict[str, _Signal], str]:
    """Read the declarations: scopes, signals by code, unit of time."""
    root, signals, scale = _Scope(""), dict[str, _Signal](), "1 ns"
    path = [root]
    for words in _statements(lines):
        match words:
            case ["$timescale", *unit]:
                text = "".join(unit)
                number = text.rstrip("munpfs")
                scale = f"{number} {text[len(number) :]}"
            case ["$scope", _, *name]:
                path.append(_Scope(" ".join(name)))
                path[-2].scopes.append(path[-1])
            case ["$upscope"]:
                path.pop()
            case ["$var", _, width, code, name, *_]:
                path[-1].signals.append((name, code))
                signals.setdefault(code, _Signal(int(width)))
            case ["$enddefinitions"]:
                break
    return root, signals, scale


def _statements(lines: TextIO) -> Iterator[list[str]]:
    words: list[str] = []
    for line in lines:
        for word in line.split():
            if word == "$end":
                yield words
                words = []
            else:
                words.append(word)


def _changes(lines: TextIO, signals: dict[str, _Signal]) -> int:
    """Read the changes and return the time of the last."""
    now = 0
    for line in lines:
        kind = line[0]
        if kind == "#":
            now = int(line[1:])
        elif kind in "bB":
            bits, code = line[1:].split()
            signals[code].change(bits, now)
        elif kind in "01xXzZ":
            signals[line[1:].strip()].change(kind, now)
    return now


def _written(root: _Scope, signals: dict[str, _Signal], scale: str, end: int) -> Iterator[str]:
    yield from ("(SAIFILE", '(SAIFVERSION "2.0")', '(DIRECTION "backward")', "(DESIGN )", '(VENDOR "lowbit")')
    yield from ('(PROGRAM_NAME "lowbit hdl")', f'(VERSION "{__version__}")', "(DIVIDER / )")
    yield from (f"(TIMESCALE {scale})", f"(DURATION {end})")
    for scope in root.scopes:
        yield from _instance(scope, signals, 0)
    yield ")"


def _instance(scope: _Scope, signals: dict[str, _Signal], depth: int) -> Iterator[str]:
    """Yield an instance; a simulator's nameless top is passed over."""
    if not scope.name:
        for inner in scope.scopes:
            yield from _instance(inner, signals, depth)
        return
    space = "  " * depth
    yield f"{space}(INSTANCE {scope.name}"
    if scope.signals:
        yield f"{space}  (NET"
        for name, code in scope.signals:
            yield from (f"{space}    {line}" for line in _nets(name, signals[code]))
        yield f"{space}  )"
    for inner in scope.scopes:
        yield from _instance(inner, signals, depth + 1)
    yield f"{space})"


def _nets(name: str, signal: _Signal) -> Iterator[str]:
    """Yield a line per bit, the lowest first."""
    for bit in range(signal.width):
        at = signal.width - 1 - bit
        index, lasted = f"\\[{bit}\\]" if signal.width > 1 else "", signal.lasted[at]
        times = f"(T0 {lasted['0']}) (T1 {lasted['1']}) (TX {lasted[_UNKNOWN]})"
        yield f"({name}{index} {times} (TC {signal.changes[at]}) (IG 0))"
