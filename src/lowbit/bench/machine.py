"""What this machine can do at most: its roofline, measured.

Multiply-adds in registers alone, by unit and kernel level: `popcount` (binary, word by word), `pairs`
(binary, one popcount for two words), `dot` (bytes, by the widest product that the level has), `tiles`
(bytes, by a matrix unit), `float` (float32, a product and a sum in one instruction where the level has
one). And what a core reads from every cache and from memory. Every figure is the quickest of many
attempts of a millisecond, by the processor's time of the thread; the clock's time of that attempt stands
beside it, and is longer where the thread was interrupted.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from lowbit.engine import _core
from lowbit.provenance import machine

UNITS = ("popcount", "pairs", "dot", "tiles", "float")
"""Of multiply-adds, in the order of a table."""

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_BEYOND, _MOST = 4, 256 << 20  # memory: so many times the last cache, but no more bytes
_USUAL = {"L1": 32 << 10, "L2": 512 << 10, "L3": 8 << 20}
_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Speed:
    """A rate of the quickest attempt, and its times.

    Attributes:
        rate: multiply-adds, or bytes, in a second of the processor's time.
        cpu_us, wall_us: of that attempt, by the processor and by the clock.
    """

    rate: float
    cpu_us: float
    wall_us: float


@dataclass(frozen=True)
class Level:
    """A kernel level of this build.

    Attributes:
        missing: features that it needs and this machine lacks; empty where it runs.
        refused: whether the machine has them, but the system does not let this process use them.
        units: by unit, what was measured.
        absent: by unit, why it was not.
        reads: by cache, or "memory": bytes.
    """

    name: str
    missing: tuple[str, ...]
    refused: bool = False
    units: dict[str, Speed] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    reads: dict[str, Speed] = field(default_factory=dict)


@dataclass(frozen=True)
class Machine:
    """All levels, plainest first, and what caches hold.

    Attributes:
        name: of the processor, with the cores that this process may use.
        load: of the last minute; above the number of cores others use them too.
        caches: bytes of what is read from each cache and from memory: half of what it holds.
        assumed: caches whose size this system does not say.
        handing_us: what it takes at least to hand work to a second thread that spins, and to hear that it is
            done; None where no processor was free for it.
    """

    name: str
    cores: int
    load: float
    levels: tuple[Level, ...]
    caches: dict[str, int]
    assumed: tuple[str, ...]
    handing_us: float | None = None

    def fastest(self, unit: str) -> Speed | None:
        """Return the quickest level's rate of a unit."""
        found = [level.units[unit] for level in self.levels if unit in level.units]
        return max(found, key=lambda speed: speed.rate, default=None)

    @property
    def absent(self) -> dict[str, str]:
        """Return the units that no level has here, and why."""
        return {unit: self._why_absent(unit) for unit in UNITS if self.fastest(unit) is None}

    def _why_absent(self, unit: str) -> str:
        reasons = [f"{level.name}: {level.absent[unit]}" for level in self.levels if level.absent.get(unit)]
        return "; ".join(reasons) or "no kernel level of this build has it"


def measure_machine(seconds: float = 0.05) -> Machine:
    """Return what this machine can do, of all its kernel levels.

    Args:
        seconds: for each figure: of units, and of caches and memory where a level reads in its own way.
    """
    reads, assumed = _read_sizes()
    levels = tuple(
        _level(Level(name, tuple(missing), refused), reads, seconds)
        for name, missing, refused in _core.level_needs()
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = os.cpu_count() or 1
    handing = _core.measure_handing(2, seconds) * 1e6 if cores > 1 else inf
    return Machine(machine(), cores, load, levels, reads, assumed, handing if handing < inf else None)


def absent_levels() -> dict[str, str]:
    """Return the kernel levels of this build that do not run here, and why."""
    needs = _core.level_needs()
    return {level: _lacks(missing, refused=refused) for level, missing, refused in needs if missing}


def _lacks(missing: Sequence[str], *, refused: bool) -> str:
    who = "the system refuses" if refused else "this machine lacks"
    return f"needs {', '.join(missing)}, which {who}"


def cache_reads(seconds: float = 0.005) -> dict[str, tuple[int, float]]:
    """Return, of the best level, by cache or "memory": bytes that were read, and bytes in a second."""
    sizes, _ = _read_sizes()
    level = [of for unit, of, here in _core.units() if unit == "memory" and here][-1]
    speeds = {name: _speed(_core.measure_reading(level, size, seconds)) for name, size in sizes.items()}
    return {name: (sizes[name], speed.rate) for name, speed in speeds.items()}


def _read_sizes() -> tuple[dict[str, int], tuple[str, ...]]:
    """Return bytes to read from each cache, half of it, and from memory; and which caches are assumed."""
    sizes, assumed = cache_sizes()
    reads = {name: size // 2 for name, size in sizes.items()}
    return {**reads, "memory": min(_BEYOND * max(sizes.values()), _MOST)}, assumed


def _level(level: Level, sizes: Mapping[str, int], seconds: float) -> Level:
    """Measure the units of a level, and note why others are not measured."""
    name = level.name
    for unit, of, here in _core.units():
        if of != name:
            continue
        if not here:
            level.absent[unit] = _lacks(level.missing, refused=level.refused)
        elif unit == "memory":
            level.reads.update(
                {cache: _speed(_core.measure_reading(name, size, seconds)) for cache, size in sizes.items()}
            )
        elif (speed := _speed(_core.measure_unit(unit, name, seconds))).rate:
            level.units[unit] = speed
        else:
            level.absent[unit] = "this machine lacks the instruction"
    return level


def _speed(measured: tuple[float, float, float]) -> Speed:
    work, processor, clock = measured
    return Speed(work / processor if processor else 0.0, processor * 1e6, clock * 1e6)


def cache_sizes() -> tuple[dict[str, int], tuple[str, ...]]:
    """Return bytes of the first processor's caches of data, `L1` to `L3`, and which of them are assumed."""
    found = dict(_said_cache(folder) for folder in sorted(_CACHES.glob("index*")) if _holds_data(folder))
    if found:
        return dict(sorted(found.items())), ()
    return dict(_USUAL), tuple(_USUAL)


def _holds_data(folder: Path) -> bool:
    try:
        return (folder / "type").read_text().strip() != "Instruction"
    except OSError:
        return False


def _said_cache(folder: Path) -> tuple[str, int]:
    level, size = ((folder / name).read_text().strip() for name in ("level", "size"))
    unit = _SIZES.get(size[-1:], 1)
    return f"L{level}", int(size.rstrip("KMG")) * unit
