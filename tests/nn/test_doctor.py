"""The doctor: planted faults are found and named, healthy runs stay as they are."""

import copy
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
datasets = pytest.importorskip("sklearn.datasets")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from lowbit.nn import Doctor, Finding, Plan, clamp_latents, parameter_groups, prepare, set_progress  # noqa: E402
from lowbit.nn.findings import REMEDIES  # noqa: E402

STEPS, BATCH = 8, 24
PLANS = {
    "binary": Plan("binary", "binary", layers={"first": Plan("float")}),
    "lq:2": Plan("lq:2", "lq:2", layers={"first": Plan("float")}),
    "affine:4": Plan("affine:4", "affine:4", layers={"first": Plan("float")}),
    "lsq+": Plan("affine:3", "affine:3", weight_gradient="lsq+", activation_gradient="lsq+"),
}
Optimizer = torch.optim.Optimizer


def network(plan: str) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU()),
        *(nn.Conv2d(6, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10)),
    )
    prepare(model, PLANS[plan])
    return model


def usual(model: nn.Module) -> Optimizer:
    return torch.optim.Adam(parameter_groups(model, 2e-3))


@cache
def digits() -> tuple[Tensor, Tensor]:
    data = datasets.load_digits()
    return torch.tensor(data.images, dtype=torch.float32)[:, None] / 16, torch.tensor(data.target)


def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    x, y = digits()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch))
    for start in range(0, STEPS * BATCH, BATCH):
        yield x[order[start : start + BATCH]], y[order[start : start + BATCH]]


def trained(
    model: nn.Module,
    optimizer: Optimizer,
    doctor: Doctor | None,
    epochs: int = 1,
    plant: Callable[[nn.Module], None] = lambda model: None,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
) -> list[Finding]:
    """Train, with a fault planted after the first epochs, and return what is said of the last one."""
    for epoch in range(epochs):
        if epoch + 1 == epochs:
            plant(model)
        for step, (x, y) in enumerate(doctor.watch(batches(epoch)) if doctor else batches(epoch)):
            set_progress(model, (epoch + step / STEPS) / epochs)
            error = loss(model(x), y)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            clamp_latents(model)
    return doctor.findings() if doctor else []


def kinds(findings: list[Finding], layer: str = "") -> set[str]:
    return {finding.kind for finding in findings if not layer or finding.layer == layer}


@pytest.mark.parametrize("plan", PLANS)
def test_a_healthy_run_is_quiet_and_the_same_number_for_number(plan: str) -> None:
    watched, plain = network(plan), network(plan)
    doctor = Doctor(watched)
    for epochs in (1, 2):
        assert trained(watched, usual(watched), doctor, epochs) == []
        trained(plain, usual(plain), None, epochs)
    for name, value in watched.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name]), name
    for module in watched.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert not any(parameter._backward_hooks for parameter in watched.parameters())


def test_a_channel_far_from_zero_has_a_dead_sign() -> None:
    model = network("binary")

    def plant(model: nn.Module) -> None:
        with torch.no_grad():
            model[1].bias[5] = 30

    found = trained(model, usual(model), Doctor(model), 1, plant)
    assert [(each.kind, each.layer) for each in found] == [("dead sign", "3")]
    assert "1 (5)" in found[0].found and "lq:1:offset" in str(found[0])


def test_behind_a_relu_all_signs_are_dead() -> None:
    model = network("binary")
    model[2] = nn.ReLU()
    assert "dead sign" in kinds(trained(model, usual(model), Doctor(model)), "3")


@pytest.mark.parametrize("plan", ["lq:2", "affine:4", "lsq+"])
def test_channels_that_give_nothing_are_dead(plan: str) -> None:
    model = network(plan)

    def plant(model: nn.Module) -> None:
        with torch.no_grad():
            model[1].bias[:2] = -30

    found = trained(model, usual(model), Doctor(model), 1, plant)
    assert ("dead channel", "3") in {(each.kind, each.layer) for each in found}


@pytest.mark.parametrize("plan", PLANS)
def test_an_output_without_weights_is_a_dead_channel(plan: str) -> None:
    model = network(plan)

    def plant(model: nn.Module) -> None:
        with torch.no_grad():
            model[3].weight[7] = 0
        model[3].weight.register_hook(lambda gradient: gradient * (torch.arange(16) != 7).view(-1, 1, 1, 1))

    found = trained(model, usual(model), Doctor(model), 1, plant)
    assert "of 16 outputs 1 (7)" in next(each.found for each in found if each.kind == "dead channel")


@pytest.mark.parametrize(
    "plan, layer", [("binary", 0), ("lq:2", 1), ("affine:4", 3), ("lsq+", 3), ("binary", 11)]
)
def test_the_first_layer_that_is_not_finite_is_named(plan: str, layer: int) -> None:
    model = network(plan)
    trained(model, usual(model), None)
    with torch.no_grad():
        model[layer].weight.view(-1)[0] = torch.nan
    doctor = Doctor(model)
    found = trained(model, usual(model), doctor)
    assert [(each.kind, each.layer) for each in found] == [("not finite", str(layer))]


@pytest.mark.parametrize("plan", ["affine:4", "lsq+"])
@pytest.mark.parametrize("part", ["weight_quantizer", "input_quantizer"])
@pytest.mark.parametrize("times, kind", [(5, "unused codes"), (-5, "clipped")])
def test_grids_that_do_not_fit(plan: str, part: str, times: int, kind: str) -> None:
    model = network(plan)

    def plant(model: nn.Module) -> None:
        getattr(model[3], part).start += times

    found = kinds(trained(model, usual(model), Doctor(model), 2, plant), "3")
    assert kind in found or (kind == "clipped" and part == "weight_quantizer")


def left_out(model: nn.Module, keep: Callable[[str], bool]) -> Optimizer:
    return torch.optim.Adam([each for name, each in model.named_parameters() if keep(name)], 2e-3)


@pytest.mark.parametrize("plan", ["affine:4", "lsq+"])
def test_steps_that_the_optimizer_does_not_have_are_at_rest(plan: str) -> None:
    model = network(plan)
    optimizer = left_out(model, lambda name: "quantizer" not in name)
    found = trained(model, optimizer, Doctor(model), 2)
    low_bit = {name for name, module in model.named_modules() if hasattr(module, "weight_quantizer")}
    assert {each.layer for each in found if each.kind == "at rest"} == low_bit


@pytest.mark.parametrize("plan", PLANS)
def test_weights_that_the_optimizer_does_not_have_are_at_rest(plan: str) -> None:
    model = network(plan)
    found = trained(model, left_out(model, lambda name: name != "3.weight"), Doctor(model))
    assert [(each.kind, each.layer) for each in found] == [("at rest", "3")] and "optimizer" in str(found[0])


@pytest.mark.parametrize("plan", PLANS)
def test_layers_that_no_gradient_reaches_are_at_rest(plan: str) -> None:
    model = network(plan)
    model[5].register_forward_hook(lambda module, given, output: output.detach())
    assert "at rest" in kinds(trained(model, usual(model), Doctor(model)), "3")


def test_weights_that_are_frozen_on_purpose_are_well() -> None:
    model = network("affine:4")
    model[3].requires_grad_(False)
    assert trained(model, usual(model), Doctor(model)) == []


@pytest.mark.parametrize("plan", ["affine:4", "lsq+"])
def test_steps_that_learn_too_fast_explode(plan: str) -> None:
    model = network(plan)
    optimizer = torch.optim.Adam(parameter_groups(model, 2e-3, quantizer_rate=0.7))
    assert "exploding" in kinds(trained(model, optimizer, Doctor(model)))


@pytest.mark.parametrize("plan", PLANS)
def test_weights_that_turn_back_at_every_step_oscillate(plan: str) -> None:
    model = network(plan)
    optimizer, sign = usual(model), [1.0]
    pattern = torch.randn(model[3].weight.shape).sign()

    def swing(gradient: Tensor) -> Tensor:  # as a rate far too high has it
        sign[0] = -sign[0]
        model[3].weight.data.add_(sign[0] * 0.3 * pattern)
        return gradient

    model[3].weight.register_hook(swing)
    found = trained(model, optimizer, Doctor(model))
    assert "oscillating" in kinds(found, "3") and "oscillating" not in kinds(found, "8")


@pytest.mark.parametrize("plan, fault", [("binary", "slow"), ("lq:2", "stale"), ("lsq+", "slow")])
def test_statistics_of_eval_mode_that_are_not_those_of_training(plan: str, fault: str) -> None:
    model = network(plan)
    model[4].num_batches_tracked += 30
    if fault == "slow":
        model[4].momentum = 1e-4

    def plant(model: nn.Module) -> None:
        if fault == "stale":
            model[4].momentum = 0.0
            model[4].running_var *= 100

    found = trained(model, usual(model), Doctor(model), 2, plant)
    assert [(each.kind, each.layer) for each in found] == [("train and eval", "4")]


def test_a_rule_that_nobody_tells_of_the_progress() -> None:
    model = network("binary")
    model.register_forward_pre_hook(lambda module, given: set_progress(module, 0.0))
    doctor = Doctor(model)
    assert "no progress" not in kinds(trained(model, usual(model), doctor))  # an epoch at 0 is the first one
    assert "no progress" in kinds(trained(model, usual(model), doctor), "3")


def test_a_loop_that_ends_early_leaves_no_hooks() -> None:
    model = network("binary")
    doctor = Doctor(model)
    for x, _ in doctor.watch(batches(0)):
        model(x)
        break
    with pytest.raises(ZeroDivisionError), doctor:
        model(next(batches(0))[0])
        raise ZeroDivisionError
    assert all(not module._forward_hooks for module in model.modules())
    other = copy.deepcopy(model)  # what was watched can be copied
    assert Doctor(other).findings() == []


def test_every_kind_has_a_remedy_and_a_planted_fault() -> None:
    source = Path(__file__).read_text()
    for kind, remedy in REMEDIES.items():
        assert remedy.endswith(".") and f'"{kind}"' in source
