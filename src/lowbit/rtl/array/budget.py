"""Which folding: the cheapest for so many clocks per picture, or the fastest that fits a device.

Units work side by side, so the slowest decides, and every other one is folded as small as it may be without
being slower. What a folding costs is estimated here, from counts of synthesized units; what it really takes,
synthesis tells (`lowbit.rtl.synthesize`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from lowbit.errors import PlanError
from lowbit.rtl.array.network import ArrayNetwork
from lowbit.rtl.array.plan import ArrayPlan, plan_array
from lowbit.rtl.array.units.layer import Choice, Folding, LayerPlan, choices, estimate
from lowbit.rtl.array.units.unit import NOTHING, Budget
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
    "is_without_multipliers",
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

OF_FAMILY: Mapping[Target, tuple[str, ...]] = {
    "xc7": ("xc7z010", "xc7z020", "xc7z045"),
    "xcup": ("xczu3eg", "xczu9eg"),
    "ecp5": ("ecp5-45k", "ecp5-85k"),
    "ice40": ("ice40-up5k", "ice40-hx8k"),
    "gowin": ("gw1nr-9", "gw2a-18"),
    "generic": tuple(DEVICES),
}
"""The devices of a family, the smallest first."""

_MIDDLING = DEVICES["xc7z020"]
_SCARCE = 16
"""How much scarcer a resource is taken to be where it is what does not fit."""

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


def is_without_multipliers(budget: Budget | None) -> bool:
    """Return whether roundings are to be made of shifts and adders, because there is no DSP block."""
    return budget is not None and budget.dsp == 0


def folding_of(network: ArrayNetwork, words: Sequence[str]) -> dict[str, Folding]:
    """Return foldings written as ``conv1=16x3``; ``16x3b`` has its weights in block RAM.

    Raises:
        PlanError: no such layer, or no such form.
    """
    layers = [layer.name for layer in network.layers]
    found = {}
    for word in words:
        name, _, sizes = word.partition("=")
        parts = sizes.removesuffix("b").split("x")
        if name not in layers or len(parts) != 2 or not all(part.isdigit() for part in parts):
            raise PlanError(
                "no such folding",
                where="--fold",
                expected=f"LAYER=ELEMENTSxLANES (and a b for weights in block RAM) for {', '.join(layers)}",
                found=word,
            )
        found[name] = Folding(int(parts[0]), int(parts[1]), sizes.endswith("b"))
    return found


def fold_for_cycles(
    network: ArrayNetwork,
    cycles: int,
    target: Target = "xc7",
    kind: str | None = None,
    budget: Budget | None = None,
) -> dict[str, Folding]:
    """Return the cheapest folding of every layer with which a picture takes at most so many clocks.

    Args:
        network: the integers.
        cycles: clocks per picture.
        target: the family.
        kind: the element of all layers that it can run.
        budget: what it must fit, and whose resources are weighed against each other; any when None.

    Raises:
        PlanError: a layer cannot be that fast, or it does not fit; names it.
    """
    search = _Search(network, target, kind, budget)
    found = search.folding(cycles)
    if budget is not None:
        search.require(found, budget, f"of {cycles} clocks per picture")
    return found


def fold_for_budget(
    network: ArrayNetwork, budget: Budget, target: Target = "xc7", kind: str | None = None
) -> dict[str, Folding]:
    """Return the folding of every layer with which a picture takes the fewest clocks within a budget.

    Raises:
        PlanError: the smallest engine does not fit; names the layer that needs most, and what it needs.
    """
    search = _Search(network, target, kind, budget)
    found = search.slowest()
    search.require(found, budget, "that is smallest")
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

    def __init__(
        self, network: ArrayNetwork, target: Target, kind: str | None, budget: Budget | None
    ) -> None:
        self._network, self._target, self._kind = network, target, kind
        self._budget = budget
        self._choices = {layer.name: choices(layer, target, kind) for layer in network.layers}
        self._known: dict[tuple[str, Folding], LayerPlan] = {}
        self._plans: dict[frozenset[tuple[str, Folding]], ArrayPlan] = {}
        channels, rows, columns = network.shape
        self._least = channels * rows * columns

    @property
    def fastest_cycles(self) -> int:
        """Clocks per picture that no folding goes below: a byte comes in per clock."""
        fastest = (min(choice.cycles for choice in choices) for choices in self._choices.values())
        return max(self._least, *fastest)

    def slowest(self) -> dict[str, Folding]:
        """Return the smallest engine."""
        return self.folding(max(choice.cycles for found in self._choices.values() for choice in found))

    def folding(self, cycles: int) -> dict[str, Folding]:
        """Return the cheapest folding of each layer; see `fold_for_cycles`.

        What is cheap is a matter of what is scarce: of several weighings that is taken which fits best.
        """
        ways = [
            {name: self._cheapest(name, cycles, weighed).folding for name in self._choices}
            for weighed in self._weighings()
        ]
        budget = self._budget
        return ways[0] if budget is None else min(ways, key=lambda way: self.total(way).excess(budget))

    def _weighings(self) -> list[Budget]:
        """Return what resources are compared with: the budget, then each of them as if it were scarcer."""
        own = self._budget
        if own is None:
            return [_MIDDLING]
        scarce = [{field.name: -(-getattr(own, field.name) // _SCARCE)} for field in fields(Budget)]
        return [own, *(replace(own, **changed) for changed in scarce)]

    def _cheapest(self, name: str, cycles: int, weighed: Budget) -> Choice:
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
        return min(fast, key=lambda own: (own.cost.share(weighed), own.cost.share(_MIDDLING), own.cycles))

    def cycles(self, folding: Mapping[str, Folding]) -> int:
        """Return the clocks per picture of the slowest layer."""
        return max(self._least, *(self._choice(*item).cycles for item in folding.items()))

    def total(self, folding: Mapping[str, Folding]) -> Budget:
        """Return what the engine takes."""
        return self._plan(folding).cost

    def _plan(self, folding: Mapping[str, Folding]) -> ArrayPlan:
        """Return the plan of a folding; several weighings often agree on one, which is planned once."""
        shifts, key = is_without_multipliers(self._budget), frozenset(folding.items())
        if key not in self._plans:
            own = self._network, folding, self._target, self._kind, self._known
            self._plans[key] = plan_array(*own, shifts=shifts)
        return self._plans[key]

    def require(self, folding: Mapping[str, Folding], budget: Budget, which: str) -> None:
        """Refuse what does not fit."""
        costs = self._plan(folding).costs
        total = sum(costs.values(), NOTHING)
        if name := total.exceeded(budget):
            most = max(costs, key=lambda part: getattr(costs[part], name))
            need, limit, found = (getattr(own, name) for own in (costs[most], budget, total))
            raise PlanError(
                "the network does not fit the budget",
                where=most,
                expected=f"at most {limit} {name}",
                found=f"{found} {name}, {found - limit} too many, for the engine {which}, "
                f"{need} of them for this part",
                remedy=f"{_larger(total, self._target)} Or choose a smaller network.",
            )

    def _choice(self, name: str, folding: Folding) -> Choice:
        return next(choice for choice in self._choices[name] if choice.folding == folding)


def _larger(total: Budget, target: Target) -> str:
    """Return the smallest device of a family that has enough, or what would do."""
    own = [name for name in OF_FAMILY[target] if not total.exceeded(device(name))]
    if own:
        return f"--budget {own[0]} has enough."
    numbers = ",".join(f"{field.name}={getattr(total, field.name)}" for field in fields(total))
    return f"No {target} device that is known has enough; --budget {numbers} would be."
