"""Quantizers of papers against their formulas, which are written here anew; the groups of an optimizer."""

import re
from inspect import signature
from math import cos, inf, log, pi, sqrt
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

from lowbit.engine import Program  # noqa: E402
from lowbit.errors import NumericError, PlanError  # noqa: E402
from lowbit.formats import read_model, write_model  # noqa: E402
from lowbit.nn import (  # noqa: E402
    Linear,
    Plan,
    clamp_latents,
    parameter_groups,
    prepare,
    set_progress,
    specification,
    to_graph,
)
from lowbit.schemes.affine.published import BATCHES, LsqPlusInput, PactInput  # noqa: E402
from lowbit.schemes.affine.train import AffineInput, AffineWeight  # noqa: E402
from lowbit.schemes.registry import REGISTRY  # noqa: E402
from tests.nn import own_network  # noqa: E402

ROOT = Path(__file__).parent.parent.parent


def lsq(
    x: Tensor, step: Tensor, lowest: int, highest: int, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return values, and the gradients of x and of every single use of the step (LSQ, eq. 1 to 3 and 5)."""
    ratio = x / step
    value = torch.round(ratio.clamp(lowest, highest)) * step
    slope = torch.where(ratio <= lowest, float(lowest), torch.where(ratio >= highest, float(highest), 0.0))
    inside = (ratio > lowest) & (ratio < highest)
    slope = torch.where(inside, torch.round(ratio) - ratio, slope)
    return value, upstream * inside, slope * upstream


@pytest.mark.parametrize("bits", range(2, 9))
def test_lsq_of_weights(bits: int) -> None:
    torch.manual_seed(bits)
    weight, upstream = torch.randn(4, 3, 3, 3), torch.randn(4, 3, 3, 3)
    quantizer, most = AffineWeight(4, bits, "lsq"), 2 ** (bits - 1) - 1
    weight.requires_grad_()
    found = quantizer(weight)
    found.backward(upstream)
    step = 2 * weight.detach().abs().mean((1, 2, 3)) / sqrt(most)
    torch.testing.assert_close(torch.exp2(quantizer.logarithm()).detach(), step)
    value, of_weight, of_step = lsq(weight.detach(), step.view(4, 1, 1, 1), -most - 1, most, upstream)
    torch.testing.assert_close(found.detach(), value)
    torch.testing.assert_close(weight.grad, of_weight)
    wanted = of_step.sum((1, 2, 3)) / sqrt(27 * most) * step * log(2)  # the logarithm learns
    torch.testing.assert_close(quantizer.exponent.grad, wanted)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", range(2, 9))
def test_lsq_of_inputs(bits: int, signed: bool) -> None:
    torch.manual_seed(bits)
    x, upstream = torch.randn(6, 25), torch.randn(6, 25)
    x = (x if signed else x.abs()).requires_grad_()
    quantizer = AffineInput(bits, "lsq")
    found = quantizer(x)
    found.backward(upstream)
    most = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    step = 2 * x.detach().abs().mean() / sqrt(most)
    value, of_x, of_step = lsq(x.detach(), step, -most - 1 if signed else 0, most, upstream)
    torch.testing.assert_close(found.detach(), value)
    torch.testing.assert_close(x.grad, of_x)
    torch.testing.assert_close(
        quantizer.exponent.grad, (of_step.sum() / sqrt(25 * most) * step * log(2)).view(1)
    )


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_first_steps_of_weights_by_lsq_plus(bits: int) -> None:
    torch.manual_seed(bits)
    weight, upstream = torch.randn(4, 50) + 0.3, torch.randn(4, 50)
    quantizer, most = AffineWeight(4, bits, "lsq+"), 2 ** (bits - 1) - 1
    found = quantizer(weight)
    found.backward(upstream)
    spread = 3 * ((weight - weight.mean(1, keepdim=True)) ** 2).mean(1).sqrt()
    step = torch.maximum((weight.mean(1) - spread).abs(), (weight.mean(1) + spread).abs()) / 2 ** (bits - 1)
    value, _, of_step = lsq(weight, step.view(4, 1), -most - 1, most, upstream)
    torch.testing.assert_close(found.detach(), value)
    torch.testing.assert_close(quantizer.exponent.grad, of_step.sum(1) / sqrt(50 * most) * step * log(2))


def settled(bits: int, shift: float) -> LsqPlusInput:
    quantizer = LsqPlusInput(bits)
    for _ in range(BATCHES):
        quantizer(torch.randn(6, 25) + shift)
    return quantizer


@pytest.mark.parametrize("shift", [0.0, 1.5, -0.7, 9.0, -9.0])
@pytest.mark.parametrize("bits", range(2, 9))
def test_lsq_plus_of_inputs(bits: int, shift: float) -> None:
    torch.manual_seed(bits)
    quantizer, top = settled(bits, shift), 2**bits - 1
    with torch.no_grad():
        quantizer.offset += 0.3 * torch.exp2(quantizer.logarithm())  # learned: not a multiple of the step
        quantizer.offset.clamp_(max=0)
    step, upstream = torch.exp2(quantizer.logarithm()).detach(), torch.randn(6, 25)
    offset = step * torch.round(quantizer.offset.detach() / step)
    x = (3 * torch.randn(6, 25) + shift).requires_grad_()
    found = quantizer(x)
    found.backward(upstream)
    ratio = (x.detach() - offset) / step
    inside = (ratio >= 0) & (ratio <= top)
    q = torch.round(ratio.clamp(0, top))
    torch.testing.assert_close(found.detach(), q * step + offset)
    torch.testing.assert_close(x.grad, upstream * inside)
    factor = 1 / sqrt(25 * top)
    of_step = (torch.where(inside, q - ratio, q) * upstream).sum() * factor * step * log(2)
    torch.testing.assert_close(quantizer.exponent.grad, of_step, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(quantizer.offset.grad, (upstream * ~inside).sum().view(1) * factor)


@pytest.mark.parametrize("shape", ["relu", "normal", "shifted", "heavy"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_lsq_plus_begins_with_the_least_squares_of_several_batches(bits: int, shape: str) -> None:
    """A grid search of all values, finer than the quantizer's own, is better by at most a few percent."""
    torch.manual_seed(bits)
    batches = [torch.randn(32, 40) * (1 + number) for number in range(BATCHES)]
    change = {
        "relu": torch.relu,
        "normal": lambda x: x,
        "shifted": lambda x: x.clamp(min=-1.3),
        "heavy": lambda x: x * x.abs(),
    }
    batches = [change[shape](batch) for batch in batches]
    quantizer, top = LsqPlusInput(bits), 2**bits - 1
    for batch in batches:
        quantizer(batch)
    x = torch.cat(batches).flatten().sort().values

    def error(step: float, zero: int) -> float:
        return float(((x / step).round().clamp(-zero, top - zero) * step - x).square().mean())

    encoding = quantizer.encoding()
    found = error(float(encoding.scale[0]), int(encoding.zero_point[0]))
    width = float(x[-1] - x[0])
    steps = [width * part / 80 / top for part in range(3, 81)]
    zeros = range(0, top + 1, max(1, top // 32))
    best = min(error(step, zero) for step in steps for zero in zeros)
    assert found < 1.06 * best
    before = torch.exp2(quantizer.logarithm()).detach()
    quantizer(1000 * batches[0])
    assert torch.equal(torch.exp2(quantizer.logarithm()).detach(), before)


@pytest.mark.parametrize("bits", range(2, 9))
def test_pact(bits: int) -> None:
    torch.manual_seed(bits)
    first, x, upstream = torch.randn(6, 25), 2 * torch.randn(6, 25), torch.randn(6, 25)
    quantizer, top = PactInput(bits), 2**bits - 1
    quantizer(first)
    bound, _ = first.max(), x.requires_grad_()
    found = quantizer(x)
    found.backward(upstream)
    y = (x.detach().abs() - (x.detach() - bound).abs() + bound) / 2
    torch.testing.assert_close(found.detach(), torch.round(y * top / bound) * bound / top)
    torch.testing.assert_close(quantizer.bound.grad, (upstream * (x.detach() >= bound)).sum().view(1))
    torch.testing.assert_close(x.grad, upstream * (x.detach() > 0) * (x.detach() < bound))


@pytest.mark.parametrize("rule", ["steps", "lsq", "lsq+", "pact"])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rules_of_inputs_begin_with_what_decides_and_reach_the_engine(rule: str, bits: int) -> None:
    torch.manual_seed(bits)
    model = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    weights = rule if rule != "pact" else "lsq+"
    form = f"affine:{bits}"
    prepare(model, Plan(form, form, weight_gradient=weights, activation_gradient=rule))
    with pytest.raises(NumericError, match="has seen no values yet"):
        model[2].input_quantizer.encoding()
    model.train()(torch.zeros(4, 16))
    with pytest.raises(NumericError, match="not finite"):
        model(torch.full((4, 16), torch.nan))
    optimizer = torch.optim.SGD(parameter_groups(model, 0.02, weight_decay=1e-4))
    x = torch.randn(64, 16)
    for _ in range(20):
        loss = (model(x) - x[:, :4]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clamp_latents(model)
    bad = x.clone()
    bad[3, 5] = torch.nan
    assert model(bad)[3].isnan().all() and not model(bad)[4:].isnan().any()
    assert all(value.isfinite().all() for value in model.state_dict().values())
    model.eval()
    other = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    prepare(other, Plan(form, form, weight_gradient=weights, activation_gradient=rule))
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        wanted = model(x).numpy()
        assert torch.equal(other.eval()(x), model(x))
    assert abs(Program(to_graph(model, (16,))).run(x.numpy()) - wanted).max() < 2e-6


def test_the_bound_of_pact_decays_as_weights_do() -> None:
    layer = Linear(3, 2, weight="affine:4", activation="affine:4", activation_gradient="pact")
    groups = {group["name"]: group for group in parameter_groups(layer, 0.1, weight_decay=0.3)}
    assert groups["bounds"]["params"] == [layer.input_quantizer.bound]
    assert groups["bounds"]["weight_decay"] == 0.3 and groups["quantizers"]["weight_decay"] == 0.0


def swung(codes: list[int], total: int) -> int | None:
    """Return where a weight is frozen after one history of codes, as the paper's algorithm says."""
    m, f, last = 0.001, 0.0, 0
    frozen: int | None = None
    average = float(codes[0])
    for t, (before, now) in enumerate(zip([codes[0], *codes], codes, strict=False)):
        change = (now > before) - (now < before)
        f = m * (change * last == -1) + (1 - m) * f
        average = m * now + (1 - m) * average
        last = change or last
        part = (4 * t / total - 1) / 3  # of what follows the first quarter
        limit = 0.01 + 0.09 * (1 + cos(pi * part)) / 2 if part >= 0 else inf
        if f > limit:
            frozen = round(average)
            break
    return frozen


def test_weights_that_swing_are_frozen_where_they_mostly_are() -> None:
    """Histories of codes are played to a quantizer; the algorithm is written anew for a single weight."""
    draw = torch.Generator().manual_seed(0)
    histories = [[0, 1] * 200, [1, 1, 1, 0] * 100, [0] * 400, [-2, -1, 0, 1] * 100, [0, 0, 0, 0, 1] * 80]
    histories += [[-int(each < 0.3) for each in torch.rand(400, generator=draw)] for _ in range(20)]
    quantizer = AffineWeight(1, 3, "freeze")
    quantizer.shaped(torch.Size([1, len(histories)]))
    quantizer(torch.randn(1, len(histories)))
    step = torch.exp2(quantizer.logarithm()).detach()
    total = 400
    for t in range(total):
        weight = step * torch.tensor([[float(codes[t]) + 0.2 for codes in histories]])
        quantizer.set_progress(t / total)
        quantizer.clamp(weight)
    wanted = [swung(codes, total) for codes in histories]
    assert None in wanted and len({each for each in wanted if each is not None}) > 1
    found = quantizer.oscillations
    assert found.frozen[0].bool().tolist() == [each is not None for each in wanted]
    assert [int(code) for code, each in zip(found.codes[0], wanted, strict=True) if each is not None] == [
        each for each in wanted if each is not None
    ]
    frozen = found.frozen > 0
    weight = torch.randn(1, len(histories))
    kept = weight.clone()
    quantizer.clamp(weight)
    torch.testing.assert_close(weight[frozen], (step * found.codes)[frozen])
    assert torch.equal(weight[~frozen], kept[~frozen])


@pytest.mark.parametrize("make", ["depthwise", "transposed"])
def test_frozen_weights_stay_and_steps_learn(make: str) -> None:
    torch.manual_seed(0)
    kinds = {"depthwise": nn.Conv2d, "transposed": nn.ConvTranspose2d}
    model = nn.Sequential(kinds[make](4, 8, 3, groups=4), nn.ReLU(), nn.Conv2d(8, 2, 1))
    prepare(model, Plan("affine:2", "affine:4", weight_gradient="freeze", activation_gradient="lsq+"))
    optimizer = torch.optim.SGD(parameter_groups(model, 0.5, quantizer_rate=0.05), momentum=0.9)
    x, layer = torch.randn(16, 4, 6, 6), model[0]
    model(x)
    set_progress(model, 0.3)
    layer.weight_quantizer.oscillations.frequency[:2] = 1  # as if they had swung at every step
    clamp_latents(model)
    frozen = layer.weight_quantizer.oscillations.frozen > 0
    codes = layer.weight_quantizer.coded(layer.outputs_first(layer.weight)).codes.copy()
    step = torch.exp2(layer.weight_quantizer.logarithm()).detach()
    for _ in range(15):
        optimizer.zero_grad()
        (model(x) - 1).square().mean().backward()
        optimizer.step()
        clamp_latents(model)
    after = layer.weight_quantizer.coded(layer.outputs_first(layer.weight)).codes
    rows = frozen.flatten(1).numpy()
    assert (after == codes)[rows].all() and rows[:2].all() and not (after == codes).all()
    assert not torch.equal(torch.exp2(layer.weight_quantizer.logarithm()).detach(), step)
    other = nn.Sequential(kinds[make](4, 8, 3, groups=4), nn.ReLU(), nn.Conv2d(8, 2, 1))
    prepare(other, Plan("affine:2", "affine:4", weight_gradient="freeze", activation_gradient="lsq+"))
    other.load_state_dict(model.state_dict())
    assert torch.equal(
        other[0].weight_quantizer.oscillations.frozen > 0,
        frozen | (model[0].weight_quantizer.oscillations.frozen > 0),
    )


def blocks(shortcut: bool) -> nn.Module:
    """Return three convolutions; with a shortcut around the last one, as networks of signs have it."""
    torch.manual_seed(1)

    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
            self.middle = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
            self.pool = nn.MaxPool2d(2)
            self.last = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))

        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(self.middle(self.first(x)))
            return self.last(x) + x if shortcut else self.last(x)

    return Blocks()


@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize("before", ["rprelu", "prelu"])
def test_reactnet_is_equal_in_the_engine_and_folds_into_thresholds(before: str, shortcut: bool) -> None:
    """Shifts of either sign, slopes from 0.01 to 1, normalizations of either sign."""
    model, x = blocks(shortcut), torch.randn(24, 2, 12, 12)
    ends = {"first": Plan("float")}
    prepare(model, Plan("binary", "binary", activation_gradient="rsign", before_sign=before, layers=ends), x)
    model(x).square().mean().backward()
    assert float(model.middle[0].input_quantizer.threshold.grad.abs().sum()) > 0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("threshold", "before", "after", ".1.")):
                parameter.normal_(0, 0.4)
            elif name.endswith("2.weight") or "prelu" in name:
                parameter.uniform_(0.01, 1)
    model.eval()
    graph = to_graph(model, x)
    found = own_network._compared(model, (x,), graph)
    assert (found.wrong, found.where, found.layers) == (0, [], 2) and found.error < 1e-4
    operators = [node.op for node in graph.nodes]
    if not shortcut:  # nothing but codes between the layers of signs
        first = operators.index("Encode")
        assert (
            operators[first + 1 : -1].count("Convolution") + operators.count("MaxPool")
            == len(operators[first:]) - 2
        )


@pytest.mark.parametrize(
    "form, rule, side",
    [
        ("lq:1:offset", "adabin", "both"),
        ("ternary", "ttq", "weights"),
        ("binary", "recu", "both"),
        ("binary", "rsign", "activations"),
    ],
)
def test_rules_of_papers_reach_the_engine(form: str, rule: str, side: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = blocks(False), torch.randn(24, 2, 12, 12)
    sides = {
        "weights": form if side != "activations" else "binary",
        "activations": form if side != "weights" else "lq:2",
        "weight_gradient": rule if side != "activations" else "",
        "activation_gradient": rule if side != "weights" else "",
    }
    prepare(model, Plan(**sides, layers={"first": Plan("float")}), x)
    model.eval()
    if side == "both" and form != "binary":
        with pytest.raises(NumericError, match="has seen no values yet"):
            model(x)
    model.train()
    optimizer = torch.optim.SGD(parameter_groups(model, 0.05))
    losses = []
    for step in range(12):
        set_progress(model, step / 12)
        loss = (model(x) - x[:, :1, :5, :5]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clamp_latents(model)
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < sum(losses[:3])
    bad = x.clone()
    bad[3, 0, 5, 5] = torch.nan
    assert model.eval()(bad)[3].isnan().any() and not model(bad)[4:].isnan().any()
    write_model(to_graph(model, x), tmp_path / "model.circle")
    found = own_network._compared(model, (x,), read_model(tmp_path / "model.circle"))
    assert (found.wrong, found.where) == (0, []) and found.layers == 2 and found.error < 1e-4


@pytest.mark.parametrize(
    "settings",
    [
        {"weights": "lq:2:offset", "weight_gradient": "adabin"},
        {"weights": "lq:1", "weight_gradient": "adabin"},
        {"activations": "lq:1", "activation_gradient": "adabin"},
        {"weights": "pow2:3", "weight_gradient": "ttq"},
    ],
)
def test_rules_of_other_bits_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(PlanError, match=r"lq:1:offset|pow2:2"):
        prepare(nn.Sequential(nn.Linear(4, 3)), Plan(**settings))


def test_weights_of_many_bits_are_not_frozen() -> None:
    with pytest.raises(PlanError, match="affine:2 to affine:4"):
        Linear(3, 2, weight="affine:5", weight_gradient="freeze")


def test_the_page_lists_the_rules_of_every_scheme() -> None:
    """Each row has the names that a plan may say, the scheme's own first."""
    rows: dict[tuple[str, str], list[str]] = {}
    side = ""
    for line in (ROOT / "docs/training-rules.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0] in ("weights", "inputs"):
            side = cells[0]
        elif cells and cells[0].startswith("`"):
            rows[side, cells[0][1:].split(":")[0].rstrip("`")] = re.findall(r"`([^`]+)`", cells[1])
    for name, scheme in REGISTRY.items():
        for make, said in (("weights", scheme.weights), ("inputs", scheme.activations)):
            found = None if said is None or not scheme.folder else getattr(scheme.train, make, None)
            setting = None if found is None else signature(found).parameters.get("gradient")
            if setting is None:
                continue
            listed = rows[make, name]
            assert listed[0] == setting.default
            form = specification(f"{name}:3" if name != "binary" else name)
            bad = {"weights": (form, 2), "inputs": (form,)}[make]
            with pytest.raises(PlanError) as error:
                found(*bad, gradient="nothing")
            assert set(str(error.value.expected).split(" or ")) == set(listed)


def test_an_unknown_rule_is_refused_with_the_known() -> None:
    with pytest.raises(PlanError, match=r"lsq or lsq"):
        Linear(3, 2, weight="affine:4", weight_gradient="lsqq")


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)
    )


@pytest.mark.parametrize("weights", ["affine:4", "binary", "codebook:2", "lq:2", "pow2:3", "float"])
def test_groups_have_every_parameter_once(weights: str) -> None:
    settings = {"binary": {"scale": "learned"}, "lq:2": {"weight_gradient": "exact"}}.get(weights, {})
    model = network()
    prepare(model, Plan(weights, "float" if weights == "float" else "affine:4", **settings))
    model[1].bias.requires_grad_(False)
    groups = {
        group["name"]: group for group in parameter_groups(model, 0.1, weight_decay=0.3, quantizer_rate=0.01)
    }
    found = [id(parameter) for group in groups.values() for parameter in group["params"]]
    assert sorted(found) == sorted(id(each) for each in model.parameters() if each.requires_grad)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    said = {name: {names[id(each)] for each in group["params"]} for name, group in groups.items()}
    assert said["weights"] == {"0.weight", "3.weight", "5.weight"}
    assert said["others"] == {"0.bias", "1.weight", "2.weight", "3.bias", "5.bias"}
    assert [groups["weights"]["lr"], groups["weights"]["weight_decay"]] == [0.1, 0.3]
    assert [groups["others"]["lr"], groups["others"]["weight_decay"]] == [0.1, 0.0]
    if weights == "float":
        assert "quantizers" not in groups
    else:
        assert all("quantizer" in name for name in said["quantizers"])
        assert [groups["quantizers"]["lr"], groups["quantizers"]["weight_decay"]] == [0.01, 0.0]
    torch.optim.SGD(list(groups.values()), 1.0)
