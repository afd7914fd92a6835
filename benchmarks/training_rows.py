"""What becomes today of every fault that a study of training found in November 2026 (version fdb13dd).

    python benchmarks/training_rows.py [--json results/training-rows.json] [--page results/training-rows.md]

Every fault is planted anew, in as many forms as it had, and its figure is printed. A row is `well`, or says
what is left.
"""

import argparse
import copy
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from tests.nn import own_network
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lowbit.data import load
from lowbit.errors import LowbitError
from lowbit.nn import Doctor, Linear, Plan, clamp_latents, prepare, replan, to_graph
from lowbit.nn.low_bit import LowBit
from lowbit.provenance import provenance
from lowbit.schemes.affine.train import AffineInput
from lowbit.schemes.learned_basis.train import LearnedBasisInput
from lowbit.train import Recipe, Splits
from lowbit.train.judging import held_out, judged_splits

BINARY = Plan("binary", "binary", layers={"first": Plan("float")})
SCHEMES = ("binary", "lq:2", "lq:1:offset", "affine:4", "affine:8", "pow2:3", "codebook:3")
ROWS: list[tuple[int, str, Callable[[], tuple[str, bool]]]] = []


@dataclass
class Row:
    """A fault of the study, and what becomes of it."""

    number: int
    fault: str
    found: str
    well: bool
    cpu_s: float


def row(number: int, fault: str) -> Callable[[Callable[[], tuple[str, bool]]], None]:
    """Add a function that tries the fault of a number."""

    def add(function: Callable[[], tuple[str, bool]]) -> None:
        ROWS.append((number, fault, function))

    return add


class Net(nn.Module):
    """A convolution, a function, and a layer of low bits behind it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.function = function
        self.second, self.last = nn.Conv2d(16, 16, 3, padding=1), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        return self.last(self.second(self.function(self.first(x))).mean((2, 3)))


def mlp(width: int = 16) -> nn.Sequential:
    """Return three layers with functions between them."""
    return nn.Sequential(
        *(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4))
    )


def inputs_of(layer: Any) -> list[Tensor]:
    """Return a list that gets what the layer's input becomes in every call."""
    seen: list[Tensor] = []
    layer.input_quantizer.register_forward_hook(lambda module, given, output: seen.append(output.detach()))
    return seen


def counted(tries: dict[str, Callable[[], bool]]) -> tuple[str, bool]:
    """Return how many tries went well, and the names of those that did not."""
    bad = []
    for name, attempt in tries.items():
        try:
            well = attempt()
        except (LowbitError, RuntimeError, ValueError) as error:
            well, name = False, f"{name} ({str(error)[:80]})"
        bad += [] if well else [name]
    return f"{len(tries) - len(bad)} of {len(tries)}" + (f"; not: {', '.join(bad)}" if bad else ""), not bad


FUNCTIONS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "Sigmoid": nn.Sigmoid,
    "Softplus": nn.Softplus,
    "F.relu": lambda: functional.relu,
    "torch.relu": lambda: torch.relu,
    "x.clamp": lambda: lambda x: x.clamp(0, 4),
    "AvgPool2d": lambda: nn.Sequential(nn.ReLU(), nn.AvgPool2d(2)),
    "AdaptiveAvgPool2d": lambda: nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(4)),
    "Dropout2d": lambda: nn.Sequential(nn.ReLU(), nn.Dropout2d(0.2)),
    "Identity": lambda: nn.Sequential(nn.ReLU(), nn.Identity()),
    "abs": lambda: torch.abs,
}


@row(1, "dead signs: all but an `nn.ReLU` right before a binary input made every code +1")
def dead_signs() -> tuple[str, bool]:
    """Return the shares of positive codes behind all kinds of functions."""
    shares = {}
    for name, function in FUNCTIONS.items():
        torch.manual_seed(0)
        model, x = Net(function()), torch.randn(16, 3, 8, 8)
        prepare(model, BINARY, x)
        seen = inputs_of(model.second)
        model(x)
        shares[name] = float((seen[0] > seen[0].mean()).float().mean())
    low, high = min(shares.values()), max(shares.values())
    return (
        f"{len(shares)} functions: {low:.2f} to {high:.2f} of the codes are the upper one",
        0.1 < low <= high < 0.9,
    )


@row(
    2,
    "a learned basis saw one column of a map: error over that of a random sample 3.9, 5.5 (2, 3 bits)",
)
def columns() -> tuple[str, bool]:
    """Return relative errors of bases that saw maps whose columns differ, over those of a random sample."""
    torch.manual_seed(0)
    x = torch.randn(64, 64, 32, 32).abs() * torch.logspace(-1, 1, 32)
    sample = x.flatten()[torch.randint(x.numel(), (1 << 16,))]

    def error(bits: int, values: Tensor) -> float:
        quantizer = LearnedBasisInput(bits, False)
        for _ in range(10):
            quantizer(values)
        found = quantizer(sample).detach()
        return float((found - sample).square().sum() / sample.square().sum())

    ratios = {bits: error(bits, x) / error(bits, sample) for bits in (2, 3)}
    return ", ".join(f"{bits} bits {each:.3f}" for bits, each in ratios.items()), max(ratios.values()) < 1.05


def folder_of_classes() -> Any:
    """Return samples that are sorted by class, as a folder of pictures is read."""
    random = np.random.default_rng(0)
    return load((random.integers(0, 255, (300, 8, 8), np.uint8), np.repeat(np.arange(30), 10)))


@row(3, "`--validation N` took the last N: classes of a folder were never learned")
def validation() -> tuple[str, bool]:
    """Return how many classes are learned, and judged."""
    found = held_out(folder_of_classes(), 60)
    classes = [len(np.unique(each.labels)) for each in (found.train, found.test)]
    return f"of 30 classes {classes[0]} are learned and {classes[1]} judge", classes == [30, 30]


@row(4, "a folder without train and test: the training set was the test set, and nothing said so")
def flat_folder() -> tuple[str, bool]:
    """Return what becomes of samples that are both."""
    data = folder_of_classes()
    recipe = {"network": "lenet", "data": "x", "epochs": 1}
    try:
        judged_splits(Recipe.of(recipe, "x"), Splits(data, data))
    except LowbitError as error:
        said = judged_splits(Recipe.of({**recipe, "judge": "training"}, "x"), Splits(data, data))[1]
        return f"refused ({error.message}); by --judge training the result says {said!r}", True
    return "taken", False


def exported(function: Callable[[Tensor], Tensor], plan: Plan | None = None) -> bool:
    """Return whether a network with a function trains, exports and runs with no wrong code."""
    torch.manual_seed(0)
    model, x = Net(function), torch.randn(16, 3, 8, 8)
    prepare(model, plan or Plan("lq:2", "lq:2"), x)
    model(x).square().mean().backward()
    model.eval()
    found = own_network._compared(model, (x,), to_graph(model, x))
    return not found.wrong and not found.where


@row(5, "`F.relu` never exported")
def f_relu() -> tuple[str, bool]:
    """Return whether ways of writing a ReLU reach the engine."""
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "F.relu(x)": functional.relu,
        "F.relu(x, inplace=True)": lambda x: functional.relu(x, inplace=True),
        "x.relu()": lambda x: x.relu(),
        "torch.relu_": lambda x: torch.relu_(x.clone()),
    }
    return counted({name: (lambda way=way: exported(way)) for name, way in ways.items()})


@row(6, "`to_graph` was far narrower than the reader of ONNX files")
def narrow() -> tuple[str, bool]:
    """Return how many of the study's functions reach the engine; tests/nn/networks.py has whole networks."""
    kinds: dict[str, Callable[[Tensor], Tensor]] = {
        "AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d(4),
        "SiLU": nn.SiLU(),
        "GELU": nn.GELU(),
        "Hardswish": nn.Hardswish(),
        "LeakyReLU": nn.LeakyReLU(0.1),
        "ELU": nn.ELU(),
        "GroupNorm": nn.GroupNorm(4, 16),
        "LayerNorm": nn.LayerNorm([16, 8, 8]),
        "padded MaxPool2d": nn.MaxPool2d(3, 2, 1),
        "view": lambda x: x.view(x.size(0), 16, -1).view(x.shape),
        "clamp": lambda x: torch.clamp(x, 0, 6),
        "a factor": lambda x: x * 2,
    }
    return counted({name: (lambda kind=kind: exported(kind)) for name, kind in kinds.items()})


@row(7, "one shared ReLU was replaced for all its uses, and crashed where channels differ")
def shared_relu() -> tuple[str, bool]:
    """Return whether torchvision's idiom trains and exports, with the ReLU that a float layer reads kept."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()
            self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
            self.c, self.last = nn.Conv2d(16, 8, 3, padding=1), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.relu(self.b(self.relu(self.a(x))))
            return self.last(self.relu(self.c(x)).mean((2, 3)))

    def tried(before: str) -> bool:
        torch.manual_seed(0)
        model, x = Shared(), torch.randn(16, 3, 8, 8)
        ends = {"first": Plan("float"), "last": Plan("float")}
        prepare(model, Plan("binary", "binary", before_sign=before, layers=ends), x)
        read: list[Tensor] = []
        model.last.register_forward_pre_hook(lambda module, given: read.append(given[0].detach()))
        model(x).square().mean().backward()
        model.eval()
        found = own_network._compared(model, (x,), to_graph(model, x))
        return not found.wrong and not found.where and float(read[0].min()) >= 0

    ways = ("identity", "hardtanh", "prelu", "rprelu")
    return counted({name: (lambda name=name: tried(name)) for name in ways})


@row(8, "a layer of zeros or a first batch of zeros became NaN; binary never left zero")
def zeros() -> tuple[str, bool]:
    """Return whether every scheme learns from zeros."""

    def tried(form: str) -> bool:
        torch.manual_seed(0)
        model, x = mlp(), torch.randn(32, 16)
        nn.init.zeros_(model[2].weight)
        inputs = form if form not in ("pow2:3", "codebook:3") else "lq:2"
        prepare(model, Plan(form, inputs, layers={"first": Plan("float")}), (16,))
        model(torch.zeros(32, 16))
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(20):
            loss = (model(x) - x[:, :4]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        finite = all(value.isfinite().all() for value in model.state_dict().values())
        return bool(finite and model[2].weight.abs().max() > 1e-3 and model.eval()(x).isfinite().all())

    return counted({form: (lambda form=form: tried(form)) for form in SCHEMES})


@row(9, "the gradient of an input's step was 0.11, 0.17, 0.24 of what was stated, at 2, 3, 4 bits")
def gradient_of_steps() -> tuple[str, bool]:
    """Return gradients over those that LSQ's formula gives, for inputs behind a ReLU."""
    ratios = {}
    for rule in ("steps", "lsq"):
        for bits in (2, 3, 4):
            torch.manual_seed(bits)
            x, g, top = torch.randn(64, 25).relu(), torch.randn(64, 25), (1 << bits) - 1
            quantizer = AffineInput(bits, rule)
            quantizer(x).backward(g)
            step = torch.exp2(quantizer.logarithm().detach())
            ratio = x / step
            slope = torch.where(ratio < top, ratio.round() - ratio, float(top))
            wanted = (g * slope).sum() / (25 * top) ** 0.5 * step * np.log(2)
            ratios[f"{rule} {bits}"] = float(quantizer.exponent.grad / wanted)
    found = ", ".join(f"{name} bits {each:.4f}" for name, each in ratios.items())
    return found, all(abs(each - 1) < 1e-3 for each in ratios.values())


@row(10, "under SGD with decay 5e-4 on all parameters the step drifted until 5 of 16 codes were used")
def decay() -> tuple[str, bool]:
    """Return codes used by an input of 4 bits after 8,000 steps with decay and without it."""
    found = []
    for weight_decay in (5e-4, 0.0):
        torch.manual_seed(0)
        layer = Linear(16, 8, weight="affine:4", activation="affine:4")
        optimizer = torch.optim.SGD(layer.parameters(), 0.05, momentum=0.9, weight_decay=weight_decay)
        x, target = torch.randn(64, 16), torch.randn(64, 8)
        for _ in range(8000):
            optimizer.zero_grad()
            (layer(x) - target).square().mean().backward()
            optimizer.step()
        encoding = layer.input_quantizer.encoding()
        found.append(len(np.unique(encoding.encode(x.numpy().reshape(1, -1)))))
    return f"{found[0]} of 16 codes with decay, {found[1]} without", found[0] >= found[1] - 2 and found[0] > 8


@row(11, "`prepare` after `.cuda()` left new parameters on the CPU")
def devices() -> tuple[str, bool]:
    """Return where parameters of a prepared model are, seen with the meta device."""

    def tried(form: str) -> bool:
        model = mlp().to("meta")
        inputs = form if form not in ("pow2:3", "codebook:3") else "lq:2"
        prepare(model, Plan(form, inputs, layers={"first": Plan("float")}))
        tensors = [*model.parameters(), *model.buffers()]
        return {each.device.type for each in tensors} == {"meta"}

    return counted({form: (lambda form=form: tried(form)) for form in SCHEMES})


@row(12, "of a module under two names one path was quantized, the other float")
def two_names() -> tuple[str, bool]:
    """Return whether both names are the one low-bit layer, and whether two plans for it are refused."""

    def made() -> nn.Module:
        model = nn.Module()
        model.a = nn.Linear(8, 8)
        model.b = nn.Sequential(model.a, nn.ReLU())
        model.forward = lambda x: model.b(model.a(x))
        return model

    def alike() -> bool:
        model = made()
        prepare(model, Plan("lq:2", "lq:2"), (8,))
        return isinstance(model.a, LowBit) and model.a is model.b[0]

    def apart() -> bool:
        model = made()
        try:
            prepare(model, Plan("lq:2", "lq:2", layers={"b.0": Plan("float")}), (8,))
        except LowbitError as error:
            return "two names" in str(error) or "2 names" in str(error)
        return False

    return counted({"both are low-bit": alike, "different plans are refused": apart})


@row(13, "`prepare` was neither whole nor repeatable")
def repeatable() -> tuple[str, bool]:
    """Return whether a model is as it was after an error, and can be planned again."""

    def whole() -> bool:
        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Bilinear(8, 8, 4))
        before = {name: type(module) for name, module in model.named_modules()}
        try:
            prepare(model, Plan("lq:2", "lq:2", layers={"2": Plan("affine:4", "affine:4")}))
        except LowbitError:
            return before == {name: type(module) for name, module in model.named_modules()}
        return False

    def again() -> bool:
        model, x = mlp(), torch.randn(8, 16)
        prepare(model, Plan("lq:4", "lq:4"), x)
        model(x)
        weight = model[2].weight.clone()
        replan(model, Plan("lq:2", "lq:2"), x)
        return str(model[2].weight_specification) == "lq:2" and torch.equal(model[2].weight, weight)

    return counted({"as it was after an error": whole, "planned again": again})


@row(14, "NaN was masked: codes and logits were finite")
def nan() -> tuple[str, bool]:
    """Return whether NaN of a sample is NaN in its outputs, and only there, training and deployed."""

    def tried(form: str) -> bool:
        torch.manual_seed(0)
        model, x = mlp(), torch.randn(16, 16)
        inputs = form if form not in ("pow2:3", "codebook:3") else "lq:2"
        prepare(model, Plan(form, inputs, layers={"first": Plan("float")}), (16,))
        model(x)
        x[3, 2] = torch.nan
        outputs = [model(x), model.eval()(x)]
        return all(
            bool(each[3].isnan().all()) and not each[torch.arange(16) != 3].isnan().any() for each in outputs
        )

    return counted({form: (lambda form=form: tried(form)) for form in SCHEMES})


@row(15, "`.half()`, `.bfloat16()`, `.double()` failed in various places")
def types() -> tuple[str, bool]:
    """Return whether layers of such a model say that autocast is the way, and whether it works."""

    def refused(how: str) -> bool:
        model = mlp()
        prepare(model, Plan("lq:2", "lq:2", layers={"first": Plan("float")}), (16,))
        model = getattr(model, how)()
        x = getattr(torch.randn(4, 16), how)()
        try:
            model(x)
        except LowbitError as error:
            return "autocast" in str(error)
        return False

    def autocast() -> bool:
        model = mlp()
        prepare(model, Plan("lq:2", "lq:2"), (16,))
        with torch.autocast("cpu", torch.bfloat16):
            model(torch.randn(8, 16)).float().square().mean().backward()
        return all(bool(each.grad.isfinite().all()) for each in model.parameters() if each.grad is not None)

    kinds: dict[str, Callable[[], bool]] = {
        how: (lambda how=how: refused(how)) for how in ("half", "bfloat16", "double")
    }
    return counted({**kinds, "autocast": autocast})


@row(16, "an empty batch crashed, hooks were lost, subclasses and other layers refused; one failed `*`")
def layers() -> tuple[str, bool]:
    """Return which of them are well; eval mode has no gradient, since it computes integers."""

    class Own(nn.Linear):
        pass

    def trains(module: nn.Module, x: Tensor) -> bool:
        prepare(module, Plan("lq:2", "lq:2"), x)
        module(x).square().mean().backward()
        module.eval()
        found = own_network._compared(module, (x,), to_graph(module, x))
        return not found.wrong and not found.where

    def hooks() -> bool:
        model, called = mlp(), list[int]()
        model[2].register_forward_hook(lambda *_: called.append(1))
        prepare(model, Plan("lq:2", "lq:2"), (16,))
        called.clear()
        model(torch.randn(4, 16))
        return len(called) == 1

    def empty() -> bool:
        model = mlp()
        prepare(model, Plan("lq:2", "lq:2"), (16,))
        model(torch.randn(4, 16))
        return all(each(torch.zeros(0, 16)).shape == (0, 4) for each in (model.train(), model.eval()))

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    def named() -> bool:
        try:
            prepare(nn.Sequential(nn.Linear(8, 8), nn.Bilinear(8, 8, 4)), Plan({"*": Plan("lq:2", "lq:2")}))
        except LowbitError as error:
            return "plan.keeping(['1'])" in str(error)
        return False

    line, maps = torch.randn(8, 4, 12), torch.randn(8, 4, 7, 7)
    return counted(
        {
            "subclass": lambda: trains(nn.Sequential(Own(8, 8)), torch.randn(8, 8)),
            "Conv1d": lambda: trains(nn.Sequential(nn.Conv1d(4, 6, 3)), line),
            "padding same": lambda: trains(nn.Sequential(nn.Conv2d(4, 6, 3, padding="same")), maps),
            "ConvTranspose2d": lambda: trains(nn.Sequential(nn.ConvTranspose2d(4, 6, 3, 2)), maps),
            "attention": lambda: trains(Attention(), torch.randn(8, 5, 8)),
            "hooks": hooks,
            "empty batch": empty,
            "an unsupported layer is named": named,
        }
    )


@row(17, "a float checkpoint loaded after one forward kept the old steps: 81 % relative weight error")
def checkpoint() -> tuple[str, bool]:
    """Return relative errors of weights that are loaded after a first forward."""
    errors = {}
    for form in SCHEMES:
        torch.manual_seed(0)
        inputs = form if form not in ("pow2:3", "codebook:3") else "lq:2"
        layer, fresh = (Linear(64, 16, weight=form, activation=inputs) for _ in range(2))
        large = {"weight": 50 * torch.randn(16, 64), "bias": torch.zeros(16)}
        layer(torch.randn(8, 64))
        for each in (layer, fresh):
            each.load_state_dict(large, strict=False)
            each(torch.randn(8, 64))
        found = [each.weight_quantizer.levels(each.weight) for each in (layer, fresh)]
        errors[form] = float((found[0] - found[1]).norm() / found[1].norm())
    worst = max(errors.values())
    return f"weights differ from those of a layer that begins with them by {worst:.1%} at most", worst < 1e-6


@row(
    18,
    "a moving average cut the zero point; 6 graph breaks at the first step; eval encoded weights every time",
)
def small_things() -> tuple[str, bool]:
    """Return a zero point, graph breaks, what eval mode does again, and who says of progress."""
    torch.manual_seed(0)
    layer = Linear(12, 5, weight="affine:4", activation="affine:8")
    average = AveragedModel(layer, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)
    for _ in range(50):
        layer(torch.randn(16, 12))
        average.update_parameters(layer)
    zeros = [int(each.input_quantizer.encoding().zero_point[0]) for each in (layer, average.module)]
    again = encoded_again()
    breaks = graph_breaks()
    model, doctor = mlp(), Doctor(nn.Identity())
    prepare(model, BINARY, (16,))
    for _ in range(2):
        doctor = Doctor(model) if doctor._model is not model else doctor
        for _ in doctor.watch(range(3)):
            model(torch.randn(16, 16))
            clamp_latents(model)
    said = any(finding.kind == "no progress" for finding in doctor.findings())
    found = (
        f"zero point {zeros[1]}, the layer's {zeros[0]}; {breaks} graph breaks in a step behind the first; "
        f"eval encodes weights {again} times in 5 forwards; "
        f"set_progress forgotten is {'found' if said else 'not found'} by the doctor"
    )
    return found, zeros[0] == zeros[1] and again == 1 and said and breaks == 0


def encoded_again() -> int:
    """Return how often five forwards of eval mode encode weights."""
    layer, calls = Linear(12, 5, weight="affine:4", activation="affine:4"), list[int]()
    layer(torch.randn(16, 12))
    layer.eval()
    quantizer: Any = layer.weight_quantizer
    plain = quantizer.coded
    quantizer.coded = lambda weight: calls.append(1) or plain(weight)
    for _ in range(5):
        layer(torch.randn(16, 12))
    return len(calls)


def graph_breaks() -> int:
    """Return the most graph breaks in a training step among the schemes."""
    found = []
    for form in ("binary", "lq:2", "affine:4"):
        model = mlp()
        prepare(model, Plan(form, form, layers={"first": Plan("float")}), (16,))
        model(torch.randn(16, 16))
        torch._dynamo.reset()
        found.append(int(torch._dynamo.explain(copy.deepcopy(model))(torch.randn(16, 16)).graph_break_count))
    return max(found)


def tried() -> Iterator[Row]:
    """Yield every row, tried."""
    for number, fault, function in ROWS:
        start = time.process_time()
        found, well = function()
        yield Row(number, fault, found, well, round(time.process_time() - start, 1))


def page(rows: list[Row]) -> str:
    """Return the page."""
    lines = [
        "# The faults that a study of training found, tried again",
        "",
        "Of 2026-11-29, version fdb13dd: 41 small networks of a user's own by six plans, of which 20 %",
        "reached the engine. What whole networks do now: [own-networks.md](own-networks.md). Here every",
        "single fault, planted anew.",
        "",
        "| # | fault then | now | well |",
        "|---|---|---|---|",
        *(
            f"| {each.number} | {each.fault} | {each.found} | {'yes' if each.well else 'no'} |"
            for each in rows
        ),
        "",
        "`python benchmarks/training_rows.py --json results/training-rows.json --page FILE`.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Try all, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    for each in tried():
        rows.append(each)
        print(
            each.number, "well" if each.well else "NOT WELL", each.found, f"({each.cpu_s} CPU s)", flush=True
        )
    if given.json:
        facts = provenance("python benchmarks/training_rows.py --json FILE --page FILE")
        given.json.write_text(json.dumps({**facts, "rows": [asdict(each) for each in rows]}, indent=1) + "\n")
    if given.page:
        given.page.write_text(page(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
