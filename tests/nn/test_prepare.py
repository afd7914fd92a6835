"""A float module becomes a low-bit one; plans that do not fit say so."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from lowbit.errors import PlanError, UnsupportedError  # noqa: E402
from lowbit.nn import LayerPlan, Network, Plan, prepare, reestimate_batchnorm  # noqa: E402
from lowbit.zoo import NETWORKS, parameters  # noqa: E402

BINARY = LayerPlan("binary", "binary", before_sign="prelu")
ENDS_FLOAT = Plan({"*": BINARY, "first": LayerPlan(), "last": LayerPlan()})


def test_parameters_stay_the_same_objects_and_what_is_new_is_listed() -> None:
    model = Network(NETWORKS["lenet"])
    before = dict(model.named_parameters())
    done = prepare(model, ENDS_FLOAT)
    assert list(done.changed) == ["conv2", "fc1", "fc2", "act1", "act2", "act3"]
    assert done.new == ("act1.weight", "act2.weight", "act3.weight")
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    assert set(parameters(NETWORKS["lenet"])) | set(done.new) == set(model.state_dict())


def test_a_prelu_has_a_slope_per_channel_of_what_comes_before() -> None:
    model = Network(NETWORKS["vgg-fashion"], ENDS_FLOAT)
    assert [model.get_submodule(f"act{n}").weight.numel() for n in (1, 2, 4)] == [32, 32, 64]


def test_a_residual_stream_keeps_reals() -> None:
    model = Network(NETWORKS["resnet20-fashion"], ENDS_FLOAT)
    kinds = {name: type(module) for name, module in model.named_modules() if name.startswith("act")}
    assert kinds.pop(f"act{len(kinds)}") is nn.ReLU  # before the average, whose layer is float
    assert set(kinds.values()) == {nn.PReLU}


def test_the_last_pattern_that_fits_decides() -> None:
    plan = Plan.of(
        {"*": {"weight": "binary"}, "conv*": {"weight": "float"}, "conv2": {"activation": "binary"}}
    )
    found = plan.resolved(["conv1", "conv2", "fc1"])
    assert [entry.weight for entry in found.values()] == ["float", "float", "binary"]
    assert found["conv2"].activation == "binary"


def test_a_state_round_trip() -> None:
    model, other = (Network(NETWORKS["lenet"], ENDS_FLOAT) for _ in range(2))
    other.load_state_dict(model.state_dict())
    x = torch.rand(3, 1, 28, 28)
    assert torch.equal(model.eval()(x), other.eval()(x))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"conv9": {"weight": "binary"}}, "conv1"),
        ({"conv1": {"weigth": "binary"}}, "weight"),
        ({"conv1": {"weight": "binari"}}, "binary"),
        ({"conv1": {"weight": 1}}, "no text"),
        ({"conv2": {"activation": "binary", "before_sign": "gelu"}}, "prelu"),
        ({"conv2": {"weight": "binary", "weight_gradient": "quad"}}, "quadratic"),
    ],
)
def test_plans_that_do_not_fit(tables: dict[str, dict[str, str]], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        Network(NETWORKS["lenet"], Plan.of(tables))


@pytest.mark.parametrize(
    "layer",
    [nn.Conv1d(1, 1, 1), nn.Conv2d(1, 1, 3, padding="same"), nn.Conv2d(1, 1, 3, padding_mode="reflect")],
)
def test_layers_that_cannot_be_quantized_are_named(layer: nn.Module) -> None:
    with pytest.raises(UnsupportedError, match="strange"):
        prepare(nn.ModuleDict({"strange": layer}), Plan({"strange": LayerPlan("binary")}))


def test_convolutions_in_fixed_point_are_named_before_training() -> None:
    with pytest.raises(UnsupportedError, match="conv1"):
        Network(NETWORKS["lenet"], Plan({"*": LayerPlan("fixed:4.4", "fixed:4.4")}))


@pytest.mark.filterwarnings("ignore:.*autograd.function.Function.*:DeprecationWarning")  # torch's own
@pytest.mark.parametrize(
    ("name", "form"), [("lenet", "binary"), ("lenet", "lq:2"), ("lenet", "affine:4"), ("lst1", "fixed:6.3")]
)
def test_a_training_step_compiles(name: str, form: str) -> None:
    torch.manual_seed(0)
    model = Network(NETWORKS[name], Plan({"*": LayerPlan(form, form)}))
    x = torch.rand(2, 1, 28, 28)
    model(x)  # what follows the data has seen some
    torch.compile(model, backend="aot_eager", fullgraph=True)(x).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_batch_statistics_are_those_of_the_deployed_layers() -> None:
    torch.manual_seed(0)
    model = Network(NETWORKS["lenet"])
    model.add_module("extra", nn.BatchNorm2d(3))
    model.forward = model.extra.forward
    x = torch.randn(40, 3, 5, 5) * 2 + 1
    model.train()
    reestimate_batchnorm(model, x.split(20))
    assert model.training and model.extra.momentum == 0.1
    torch.testing.assert_close(model.extra.running_mean, x.mean((0, 2, 3)))
