"""Which folding: the cheapest for so many clocks per picture, or the fastest that fits a device.

Units work side by side, so the slowest decides, and every other one is folded as small as it may be without
being slower. What a folding costs is estimated here, from counts of synthesized units; what it really takes,
synthesis tells (`lowbit.rtl.synthesize`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from lowbit.errors import PlanError
from lowbit.rtl.array.network import ArrayNetwork
from lowbit.rtl.array.units.layer import Choice, Folding, choices, estimate
from lowbit.rtl.array.units.unit import UNIT_LUT, Budget
from lowbit.rtl.primitives.target import Target

__all__ = [
    "DEVICES",
    "MIDDLING",
    "Budget",
    "device",
    "estimate",
    "fold_for_budget",
    "fold_for_cycles",
    "folding_of",
]

DEVICES: Mapping[str, Budget] = {
    "xc7z010": Budget(17_600, 80, 120),
    "xc7z020": Budget(53_200, 220, 280),
    "xc7z045": Budget(218_600, 900, 1090),
    "xczu3eg": Budget(70_560, 360, 432),
    "xczu9eg": Budget(274_080, 2520, 1824),
    "ecp5-45k": Budget(43_848, 72, 108),
    "ecp5-85k": Budget(83_640, 156, 208),
    "ice40-hx8k": Budget(7_680, 0, 8),
    "ice40-up5k": Budget(5_280, 8, 7),
    "gw1nr-9": Budget(8_640, 20, 26),
    "gw2a-18": Budget(20_736, 48, 46),
}
"""Resources of devices, of their data sheets (of ECP5, LUT4 and memories of 18 Kbit)."""

MIDDLING: Mapping[Target, str] = {
    "xc7": "xc7z020",
    "xcup": "xczu3eg",
    "ecp5": "ecp5-85k",
    "ice40": "ice40-hx8k",
    "gowin": "gw2a-18",
    "generic": "xc7z020",
}
"""What is planned for where no device is named."""

_FILL = 0.8
"""Part of a device's look-up tables that is planned for: a full device is not placed."""


def device(name: str) -> Budget:
    """Return the budget of a device, or one written as ``lut=20000,dsp=0,ramb18=100``.

    A resource that is not named is there as in the largest device of 7-series here.

    Raises:
        PlanError: no such device or resource; names those there are.
    """
    if name in DEVICES:
        found = DEVICES[name]
        return Budget(int(found.lut * _FILL), found.dsp, found.ramb18)
    given = dict(part.partition("=")[::2] for part in name.split(","))
    allowed = {field.name for field in fields(Budget)}
    if not set(given) <= allowed or not all(value.isdigit() for value in given.values()):
        raise PlanError(
            "no such budget",
            where="--budget",
            expected=", ".join(DEVICES) + ", or numbers as in lut=20000,dsp=0,ramb18=100",
            found=name,
        )
    most = DEVICES["xc7z045"]
    return Budget(**{key: int(given[key]) if key in given else getattr(most, key) for key in allowed})


def folding_of(network: ArrayNetwork, words: Sequence[str]) -> dict[str, Folding]:
    """Return foldings written as ``conv1=16x3``.

    Raises:
        PlanError: no such layer, or no such form.
    """
    layers = [layer.name for layer in network.layers]
    found = {}
    for word in words:
        name, _, sizes = word.partition("=")
        parts = sizes.split("x")
        if name not in layers or len(parts) != 2 or not all(part.isdigit() for part in parts):
            raise PlanError(
                "no such folding",
                where="--fold",
                expected=f"LAYER=ELEMENTSxLANES for {', '.join(layers)}",
                found=word,
            )
        found[name] = Folding(int(parts[0]), int(parts[1]))
    return found


def fold_for_cycles(
    network: ArrayNetwork, cycles: int, target: Target = "xc7", kind: str | None = None
) -> dict[str, Folding]:
    """Return the cheapest folding of every layer with which a picture takes at most so many clocks.

    Raises:
        PlanError: a layer cannot be that fast; names it.
    """
    return _Search(network, target, kind).folding(cycles)


def fold_for_budget(
    network: ArrayNetwork, budget: Budget, target: Target = "xc7", kind: str | None = None
) -> dict[str, Folding]:
    """Return the folding of every layer with which a picture takes the fewest clocks within a budget.

    Raises:
        PlanError: the smallest engine does not fit; names the layer that needs most, and what it needs.
    """
    search = _Search(network, target, kind)
    found = search.slowest()
    search.require(found, budget)
    low, high = search.fastest_cycles, search.cycles(found)
    while low <= high:
        middle = (low + high) // 2
        folding = search.folding(middle)
        if search.total(folding).exceeded(budget):
            low = middle + 1
        else:
            found, high = folding, min(middle, search.cycles(folding)) - 1
    return found


class _Search:
    """All foldings of all layers."""

    def __init__(self, network: ArrayNetwork, target: Target, kind: str | None) -> None:
        self._choices = {layer.name: choices(layer, target, kind) for layer in network.layers}
        self._fixed = Budget(2 * UNIT_LUT, 0, 0)
        channels, rows, columns = network.shape
        self._least = channels * rows * columns

    @property
    def fastest_cycles(self) -> int:
        """Clocks per picture that no folding goes below: a byte comes in per clock."""
        fastest = (min(choice.cycles for choice in choices) for choices in self._choices.values())
        return max(self._least, *fastest)

    def slowest(self) -> dict[str, Folding]:
        """Return the smallest engine."""
        return {name: min(found, key=_size).folding for name, found in self._choices.items()}

    def folding(self, cycles: int) -> dict[str, Folding]:
        """Return the cheapest folding of each layer; see `fold_for_cycles`."""
        return {name: self._cheapest(name, cycles).folding for name in self._choices}

    def _cheapest(self, name: str, cycles: int) -> Choice:
        fast = [choice for choice in self._choices[name] if choice.cycles <= cycles]
        if not fast:
            least = min(choice.cycles for choice in self._choices[name])
            raise PlanError(
                "the layer cannot be that fast",
                where=name,
                expected=f"at most {cycles} clocks per picture",
                found=f"{least} clocks with all its outputs and channels side by side",
                remedy=f"Allow {least} clocks with --cycles.",
            )
        return min(fast, key=lambda choice: (_size(choice), choice.cycles))

    def cycles(self, folding: Mapping[str, Folding]) -> int:
        """Return the clocks per picture of the slowest layer."""
        return max(self._least, *(choice.cycles for choice in self._chosen(folding)))

    def total(self, folding: Mapping[str, Folding]) -> Budget:
        """Return what the engine takes."""
        return sum((choice.cost for choice in self._chosen(folding)), self._fixed)

    def require(self, folding: Mapping[str, Folding], budget: Budget) -> None:
        """Refuse what does not fit."""
        total = self.total(folding)
        if name := total.exceeded(budget):
            most = max(folding, key=lambda layer: getattr(self._cost(layer, folding), name))
            need = getattr(self._cost(most, folding), name)
            raise PlanError(
                "the network does not fit the budget",
                where=most,
                expected=f"at most {getattr(budget, name)} {name}",
                found=f"{getattr(total, name)} {name} for the smallest engine, {need} of them for this layer",
                remedy="Choose a larger device, or a smaller network.",
            )

    def _chosen(self, folding: Mapping[str, Folding]) -> Iterator[Choice]:
        for name, found in folding.items():
            yield next(choice for choice in self._choices[name] if choice.folding == found)

    def _cost(self, name: str, folding: Mapping[str, Folding]) -> Budget:
        return next(choice.cost for choice in self._choices[name] if choice.folding == folding[name])


def _size(choice: Choice) -> float:
    """Return the part of a middling device that a choice takes."""
    device = DEVICES["xc7z020"]
    cost = choice.cost
    return cost.lut / device.lut + cost.dsp / device.dsp + cost.ramb18 / device.ramb18
