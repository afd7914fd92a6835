"""What an interrupted calibration leaves beside its output, so that the same command goes on with it.

The file holds the network as it has become: its nodes and values as text, and the constants that the float
network does not have. It says of which network, plan and samples it is, by their hashes, and is refused where
one of them is another. It is written whole, every few seconds, and taken away in the end.
"""

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.errors import DataError, ModelFormatError
from lowbit.ir import Graph
from lowbit.ir.text import from_text, to_text
from lowbit.quantization.plan import Plan
from lowbit.quantization.report import LayerReport
from lowbit.state import canonical, digest, entry, parsed
from lowbit.untrusted import read_file, write_atomic

Mask = npt.NDArray[np.bool_]

SUFFIX = ".partial"
EVERY = 5.0
"""Seconds between two writes, and before the first: what takes less is not kept."""

_WHAT = "kept part of a calibration"
_REMEDY = "Remove the file to begin anew."


@dataclass
class Progressed:
    """How far a calibration is.

    Attributes:
        low: the network quantized so far.
        done: names of the layers that are done with, in order.
        reports: of those that were quantized.
        encoded: names of codes by what they are codes of.
        ranges: of outputs of 8-bit layers.
        usual: which samples are like the others in every batch, by value, in the order they were seen in.
    """

    low: Graph
    done: list[str]
    reports: list[LayerReport]
    encoded: dict[tuple[object, ...], str]
    ranges: dict[str, tuple[float, float]]
    usual: dict[str, list[Mask]]


class Unfinished:
    """The file in which a calibration is kept.

    Args:
        target: the output, beside which it lies.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + SUFFIX)
        self._about: dict[str, str] = {}
        self._constants: dict[str, Any] = {}
        self._written = time.monotonic()
        self._last: Progressed | None = None
        self.resumed = 0

    def begin(self, network: Graph, plan: Plan, samples: Mapping[str, npt.NDArray[Any]]) -> Progressed | None:
        """Return how far an interrupted calibration of these came, or None where there is none.

        Raises:
            DataError: what is kept is of another network, plan or samples, which are named.
            FileError, ModelFormatError: the file cannot be read, or is damaged.
        """
        data = (part for name, array in samples.items() for part in _content(name, array))
        self._about = {
            "network": digest(to_text(network, constants=False)),
            "plan": str(plan),
            "samples": digest(*data),
        }
        self._original = network
        if not self.path.exists():
            return None
        made = parsed(read_file(self.path), str(self.path), _WHAT, _REMEDY)
        changed = [name for name, value in self._about.items() if made.get(name) != value]
        if changed:
            raise DataError(
                "an interrupted calibration is kept here, of something else",
                where=str(self.path),
                expected="the same network, plan and samples",
                found=f"another {' and '.join(changed)}".replace("another samples", "other samples"),
                remedy=f"{_REMEDY} Or say again what it was begun with.",
            )
        found = self._read(made)
        self.resumed = len(found.done)
        return found

    def after(self, progressed: Progressed) -> None:
        """Keep how far it is, where it is time to."""
        self._last = progressed
        for name, value in progressed.low.values.items():
            before = self._original.values.get(name)
            if value.data is not None and (before is None or value.data is not before.data):
                self._constants[name] = value
        if time.monotonic() - self._written >= EVERY:
            self.write()

    def write(self) -> bool:
        """Write the file; return whether something is kept."""
        if self._last is None:
            return self.path.exists()
        write_atomic(self.path, canonical(self._made(self._last)))
        self._written = time.monotonic()
        return True

    def remove(self) -> None:
        """Take the file away: all is done."""
        self.path.unlink(missing_ok=True)

    def _made(self, progressed: Progressed) -> dict[str, Any]:
        low, bare = progressed.low, progressed.low.copy()
        bare.values = {name: replace(value, data=None) for name, value in low.values.items()}
        changed = Graph(
            "constants", (), (), values={n: v for n, v in self._constants.items() if n in low.values}
        )
        made = {
            **self._about,
            "done": progressed.done,
            "reports": [asdict(report) for report in progressed.reports],
            "encoded": [[list(key), name] for key, name in progressed.encoded.items()],
            "ranges": {name: [low.hex() for low in ends] for name, ends in progressed.ranges.items()},
            "usual": [[name, *map(_text_of, masks)] for name, masks in progressed.usual.items()],
            "graph": to_text(bare),
            "constants": to_text(changed),
        }
        return {**made, "sha256": digest(made)}

    def _read(self, made: dict[str, Any]) -> Progressed:
        where = str(self.path)
        claimed = made.pop("sha256", None)
        if claimed != digest(made):
            raise ModelFormatError(f"this {_WHAT} is damaged", where=where, remedy=_REMEDY)
        try:
            low = from_text(entry(made, "graph", str, where), where)
            self._constants = dict(from_text(entry(made, "constants", str, where), where).values)
            for name, value in low.values.items():
                stored = self._constants.get(name) or self._original.values.get(name)
                if stored is not None and stored.data is not None and low.producer(name) is None:
                    low.values[name] = replace(value, data=stored.data)
            ranges = {name: _ends(ends) for name, ends in made["ranges"].items()}
            return Progressed(
                low,
                [str(name) for name in made["done"]],
                [LayerReport(**report) for report in made["reports"]],
                {tuple(key): str(name) for key, name in made["encoded"]},
                ranges,
                {str(name): [_mask_of(*text) for text in masks] for name, *masks in made["usual"]},
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelFormatError(
                f"this {_WHAT} is damaged", where=where, found=str(error)[:80], remedy=_REMEDY
            ) from error


def _ends(ends: Sequence[str]) -> tuple[float, float]:
    low, high = map(float.fromhex, ends)
    return low, high


def _content(name: str, array: npt.NDArray[Any]) -> tuple[object, ...]:
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return name, str(array.dtype), list(array.shape), content


def _text_of(mask: Mask) -> tuple[int, str]:
    return len(mask), base64.b64encode(np.packbits(mask).tobytes()).decode()


def _mask_of(count: int, text: str) -> Mask:
    packed = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    return np.unpackbits(packed, count=count).astype(np.bool_)
