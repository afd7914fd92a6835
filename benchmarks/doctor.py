"""How often the doctor finds something in runs that are well: on digits, and with networks of many kinds.

    python benchmarks/doctor.py [--digits 2] [--families 1] [--from 0] [--json results/doctor.json]

Digits (8 x 8, of scikit-learn): five networks by eight plans, four epochs of Adam. Networks of
`tests/nn/networks.py` by six plans: the float network teaches its low-bit copy for 48 steps. A run is well
when it learns (85 % of the digits, 30 % of what the teacher's outputs differ by); what the doctor says of it
at the beginning of an epoch is a false alarm.
"""

import argparse
import copy
import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from sklearn.datasets import load_digits
from tests.nn.networks import FAMILIES, draw
from tests.nn.own_network import PLANS
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import _pytree

from lowbit.errors import LowbitError
from lowbit.nn import Doctor, Plan, clamp_latents, parameter_groups, prepare, set_progress
from lowbit.provenance import provenance

BATCH, EPOCHS, TAUGHT = 32, 4, 48
LEARNED = 0.85
"""Share of the last epoch's samples that a run on digits has right when it is well."""

LEAST_EXPLAINED = 0.3
"""Share of what its teacher's outputs differ by among samples that a network explains when it is well."""

FIRST = {"first": Plan("float")}
DIGIT_PLANS = {
    "binary": Plan("binary", "binary", layers=FIRST),
    "binary prelu": Plan("binary", "binary", before_sign="prelu", layers=FIRST),
    "lq:2": Plan("lq:2", "lq:2"),
    "ternary": Plan("ternary", "lq:3:offset"),
    "affine:2 lsq+": Plan("affine:2", "affine:2", weight_gradient="lsq+", activation_gradient="lsq+"),
    "affine:4 lsq": Plan("affine:4", "affine:4", weight_gradient="lsq", activation_gradient="lsq"),
    "affine:4 freeze": Plan("affine:4", "affine:4", weight_gradient="freeze", activation_gradient="pact"),
    "affine:8": Plan("affine:8", "affine:8"),
}


class Residual(nn.Module):
    """A convolution, and two around which a shortcut goes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.inner = nn.Sequential(
            *(nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)),
            *(nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        x = self.stem(x)
        return self.head(functional.relu(x + self.inner(x)))  # type: ignore[no-any-return]


def _block(inputs: int, outputs: int, groups: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups), nn.BatchNorm2d(outputs), nn.ReLU()]


def _mlp(norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in ((64, 64), (64, 48)):
        layers += [nn.Linear(inputs, outputs), *([nn.BatchNorm1d(outputs)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(48, 10))


def digit_networks() -> dict[str, nn.Module]:
    """Return five networks with weights of the present seed."""
    end = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)]
    wide = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10)]
    return {
        "plain": nn.Sequential(*_block(1, 16), *_block(16, 16), *end),
        "depthwise": nn.Sequential(*_block(1, 16), *_block(16, 16, 16), *_block(16, 32), *wide),
        "residual": Residual(),
        "mlp": _mlp(True),
        "mlp without norm": _mlp(False),
    }


def on_digits(model: nn.Module, plan: Plan, seed: int) -> tuple[bool, list[str]]:
    """Return whether a run went well, and what the doctor said."""
    data = load_digits()
    x, y = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16, torch.tensor(data.target)
    prepare(model, plan, (1, 8, 8))
    optimizer = torch.optim.Adam(parameter_groups(model, 2e-3))
    doctor, steps, said, right = Doctor(model), len(x) // BATCH, list[str](), 0
    for epoch in range(EPOCHS):
        order, right = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed + epoch)), 0
        for index in doctor.watch(range(steps)):
            chosen = order[index * BATCH : (index + 1) * BATCH]
            set_progress(model, (epoch + index / steps) / EPOCHS)
            scores = model(x[chosen])
            _step(model, optimizer, functional.cross_entropy(scores, y[chosen]))
            right += int((scores.argmax(1) == y[chosen]).sum())
        said += [f"epoch {epoch + 1}: {finding}" for finding in doctor.findings()]
    return right > LEARNED * steps * BATCH, said


def taught(family: str, plan: Plan, seed: int) -> tuple[bool, list[str]] | None:
    """Return the same of a network that its float copy teaches; None where there is no such run."""
    torch.manual_seed(seed)
    drawn = draw(family, seed)
    model, teacher = drawn.module, copy.deepcopy(drawn.module)
    try:
        prepare(model, plan, drawn.inputs)
        optimizer = torch.optim.Adam(parameter_groups(model, 1e-3))
        doctor, explained, said = Doctor(model), 0.0, list[str]()
        for epoch in range(2):
            for index in doctor.watch(range(TAUGHT // 2)):
                set_progress(model, epoch / 2 + index / TAUGHT)
                inputs = [_other(each) for each in drawn.inputs]
                with torch.no_grad():
                    wanted = list(_tensors(teacher(*inputs)))
                pairs = zip(_tensors(model(*inputs)), wanted, strict=True)
                loss = torch.stack([functional.mse_loss(mine, theirs) for mine, theirs in pairs]).sum()
                _step(model, optimizer, loss)
                apart = torch.stack([(each - each.mean(0)).square().mean() for each in wanted]).sum()
                explained = 0.9 * explained + 0.1 * float(1 - loss.detach() / apart)
            said += [f"epoch {epoch + 1}: {finding}" for finding in doctor.findings()]
    except (LowbitError, RuntimeError):  # what cannot be prepared, or what torch cannot train
        return None
    return explained > LEAST_EXPLAINED, said


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    clamp_latents(model)


def _other(given: Tensor) -> Tensor:
    return given.flatten()[torch.randperm(given.numel())].view(given.shape)


def _tensors(given: Any) -> Iterator[Tensor]:
    return (each for each in _pytree.tree_leaves(given) if isinstance(each, Tensor))


def runs(digits: int, families: int, first: int) -> Iterator[dict[str, Any]]:
    """Yield what became of every run, of so many seeds each."""
    for seed, network, (name, plan) in product(
        range(first, first + digits), digit_networks(), DIGIT_PLANS.items()
    ):
        torch.manual_seed(seed)
        well, said = on_digits(digit_networks()[network], plan, seed)
        facts = {"of": "digits", "network": network, "plan": name, "seed": seed}
        yield facts | {"well": well, "said": said}
    for seed, family, (name, plan) in product(range(first, first + families), FAMILIES, PLANS.items()):
        found = taught(family, plan, 7000 + seed)
        if found is not None:
            facts = {"of": "families", "network": family, "plan": name, "seed": seed}
            yield facts | {"well": found[0], "said": found[1]}


def main() -> int:
    """Run all, and print or write what was said of those that were well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digits", type=int, default=2)
    parser.add_argument("--families", type=int, default=1)
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for row in runs(given.digits, given.families, given.first):
        rows.append(row)
        print(
            row["of"],
            row["network"],
            row["plan"],
            row["seed"],
            "well" if row["well"] else "unwell",
            flush=True,
        )
        print(*(f"    {line}" for line in row["said"]), sep="\n", flush=True)
    well = [row for row in rows if row["well"]]
    alarms = [row for row in well if row["said"]]
    kinds = Counter(line.split(": ")[2] for row in alarms for line in row["said"])
    summary = {"runs": len(rows), "well": len(well), "alarms": len(alarms), "kinds": dict(kinds)}
    print(summary)
    if given.json:
        asked = f"--digits {given.digits} --families {given.families} --from {given.first}"
        facts = provenance(f"python benchmarks/doctor.py {asked}") | summary | {"rows": rows}
        given.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
