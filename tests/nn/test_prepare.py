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
    found = plan.by_layer(["conv1", "conv2", "fc1"])
    assert [entry.scheme for entry in found.values()] == ["float", "float", "binary"]
    assert found["conv2"].activations == "binary"


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


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.layer, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.layer(torch.tanh(self.layer(self.first(x))))))


class TwoNames(Twice):
    def __init__(self) -> None:
        super().__init__()
        self.other = self.layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.other(self.first(x))))


class SharedBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
        self.second = self.first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


class NeverCalled(Twice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(nn.functional.linear(self.first(x), self.layer.weight))


class DependsOnItsInput(Twice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x) if x.sum() > 0 else self.last(self.layer(x))


def hooked() -> nn.Module:
    model = Twice()
    model.layer.register_forward_hook(lambda module, inputs, output: output * 2)
    return model


def split() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].bias = nn.Parameter(torch.zeros(4, device="meta"))
    return model


REFUSED = {
    "a layer in two places": (Twice, "layer: it is used in 2 places"),
    "a layer under two names": (TwoNames, r"2 names: layer, other"),
    "a block under two names": (SharedBlock, r"2 names: first\.0, second\.0"),
    "a layer whose weights alone are used": (
        NeverCalled,
        "layer: it is not called, its weights are read by linear",
    ),
    "a forward that depends on its input": (DependsOnItsInput, "cannot be traced"),
    "hooks": (hooked, "layer: it has hooks"),
    "two devices": (split, "1: .*cpu, meta"),
    "bfloat16": (lambda: Twice().bfloat16(), "torch.autocast"),
    "float64": (lambda: Twice().double(), "not float32"),
    "layers of other kinds": (lambda: nn.Sequential(nn.Conv1d(1, 1, 1), nn.Bilinear(1, 1, 1)), "2 layers"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("form", ["lq:2", "binary", "affine:4"])
def test_what_cannot_be_prepared_is_named_and_left_as_it_was(kind: str, form: str) -> None:
    build, words = REFUSED[kind]
    model = build()
    modules = [(name, id(module), vars(module).keys()) for name, module in model.named_modules()]
    state = {name: (id(value), value.clone()) for name, value in model.state_dict(keep_vars=True).items()}
    with pytest.raises(UnsupportedError, match=words):
        prepare(model, Plan({"*": LayerPlan(form, form)}))
    assert modules == [(name, id(module), vars(module).keys()) for name, module in model.named_modules()]
    after = model.state_dict(keep_vars=True)
    assert list(after) == list(state)
    for name, (identity, value) in state.items():
        assert id(after[name]) == identity and (value.is_meta or torch.equal(after[name], value))


def test_a_layer_inside_a_module_of_torch_is_refused() -> None:
    model = nn.Sequential(nn.TransformerEncoderLayer(4, 1, 8, batch_first=True))
    with pytest.raises(UnsupportedError, match=r"0\.linear1: it is not called, its weights are read by 0"):
        prepare(model, Plan({"0.linear1": LayerPlan("lq:2", "lq:2")}))


def test_a_plan_can_be_corrected_after_an_error() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3, padding="same"))
    with pytest.raises(UnsupportedError, match="2: "):
        prepare(model, Plan({"*": LayerPlan("lq:2", "lq:2")}))
    assert list(prepare(model, Plan({"0": LayerPlan("lq:2", "lq:2")})).changed) == ["0"]


@pytest.mark.parametrize(
    "second", [Plan({"fc1": LayerPlan("lq:2", "lq:2")}), Plan({"*": BINARY}), ENDS_FLOAT]
)
def test_a_second_prepare_is_refused(second: Plan) -> None:
    model = Network(NETWORKS["lenet"], Plan({"conv2": LayerPlan("affine:4", "affine:4")}))
    before = [(name, id(module)) for name, module in model.named_modules()]
    with pytest.raises(PlanError, match=r"conv2: the model has low-bit layers already.*copy\.deepcopy"):
        prepare(model, second)
    assert before == [(name, id(module)) for name, module in model.named_modules()]


@pytest.mark.parametrize("form", ["binary", "lq:2", "pow2:3", "affine:4", "fixed:6.3"])
def test_what_is_new_lies_where_the_layer_lies(form: str) -> None:
    activation = "lq:2" if form == "pow2:3" else form
    model = Network(NETWORKS["lst1" if form == "fixed:6.3" else "lenet"]).to("meta")
    prepare(model, Plan({"*": LayerPlan(form, activation, before_sign="prelu")}))
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}
