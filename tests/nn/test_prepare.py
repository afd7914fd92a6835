"""A float module becomes a low-bit one; plans that do not fit say so."""

import copy

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from lowbit.engine import Program  # noqa: E402
from lowbit.errors import PlanError, UnsupportedError  # noqa: E402
from lowbit.nn import (  # noqa: E402
    LayerPlan,
    Linear,
    Network,
    Plan,
    prepare,
    reestimate_batchnorm,
    replan,
    to_graph,
)
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


@pytest.mark.parametrize("layer", [nn.Conv3d(1, 1, 1), nn.Bilinear(2, 2, 2)])
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


class DependsOnItsInput(Twice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x) if x.sum() > 0 else self.last(self.layer(x))


def split() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].bias = nn.Parameter(torch.zeros(4, device="meta"))
    return model


REFUSED = {
    "a forward that depends on its input": (DependsOnItsInput, "cannot be traced"),
    "two devices": (split, "1: .*cpu, meta"),
    "bfloat16": (lambda: Twice().bfloat16(), "torch.autocast"),
    "float64": (lambda: Twice().double(), "not float32"),
    "layers of other kinds": (lambda: nn.Sequential(nn.Conv3d(1, 1, 1), nn.Bilinear(1, 1, 1)), "2 layers"),
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


class Repeated(Twice):
    """Blocks and layers in several places and under several names, in a list that torch does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.other, self.kept = self.layer, [self.layer]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = 5 * torch.tanh(self.layer(self.first(x)))
        return self.last(torch.tanh(self.kept[0](0.1 * torch.tanh(self.other(x)))))


@pytest.mark.parametrize("traced", [False, True])
def test_every_place_of_a_layer_has_a_quantizer_of_its_own(traced: bool) -> None:
    torch.manual_seed(0)
    model, x = Repeated(), torch.randn(64, 4)
    prepare(model, Plan({"*": LayerPlan("lq:2", "lq:2")}), x if traced else None)
    assert model.other is model.layer is model.kept[0] and isinstance(model.layer, Linear)
    model.train()(x)
    steps = [float(each.learned.basis.max()) for each in model.layer.inputs()]
    assert len(steps) == 3 and steps[1] > 4 * steps[2]
    with torch.no_grad():
        wanted = model.eval()(x)
        model.layer(x)  # a call of a part alone does not count as one of the whole
        torch.testing.assert_close(model(x), wanted, rtol=0, atol=0)
    found = Program(to_graph(model, (4,))).run(x.numpy())
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-5, atol=1e-5)


def test_hooks_stay() -> None:
    model, x = Twice(), torch.randn(8, 4)
    model.last.register_forward_hook(lambda module, inputs, output: output * 0)
    prepare(model, Plan({"*": LayerPlan("lq:2", "lq:2")}))
    assert not model(x).any()


class Odd(nn.Module):
    """Layers without a low-bit form among others."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        super().__init__()
        made = {
            "volumes": nn.Conv3d(1, 2, 3),
            "pair": nn.Bilinear(8, 8, 8),
            "projected": nn.LSTM(8, 8, proj_size=4),
        }
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)
        self.odd = nn.ModuleDict({kind: made[kind] for kind in kinds})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(x))
        for kind, layer in self.odd.items():
            if kind == "volumes":
                x = layer(nn.functional.pad(x[:, None], (1,) * 6)).mean(1)
            elif kind == "pair":
                x = layer(x.transpose(1, 3).contiguous(), x.transpose(1, 3).contiguous()).transpose(1, 3)
            else:
                layer(x[:, :, 0].transpose(1, 2))
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("kinds", [("volumes",), ("pair", "projected"), ("projected", "volumes", "pair")])
@pytest.mark.parametrize("example", [None, torch.zeros(2, 3, 6, 6)])
def test_layers_without_a_low_bit_form_are_named_at_once_and_can_be_left(
    kinds: tuple[str, ...], example: torch.Tensor | None
) -> None:
    """The error says how; what it says works."""
    model, plan = Odd(kinds), Plan("affine:4", "affine:4")
    names = [f"odd.{kind}" for kind in kinds]
    with pytest.raises(UnsupportedError) as refused:
        prepare(model, plan, example)
    assert all(f"{name}: " in str(refused.value) for name in names)
    assert str(refused.value).endswith(f"plan.keeping({names}).")
    done = prepare(model, plan.keeping(names), example, exportable=False)
    assert list(done.changed) == ["conv", "fc"]


def test_a_plan_that_wants_one_module_to_be_two_is_refused() -> None:
    plan = Plan({"layer": LayerPlan("lq:2", "lq:2"), "other": LayerPlan("lq:3", "lq:2")})
    with pytest.raises(UnsupportedError, match="layer: it is one module under 2 names"):
        prepare(Repeated(), plan)


@pytest.mark.parametrize("before", ["binary", "lq:2", "affine:4"])
def test_a_model_can_be_planned_again(before: str) -> None:
    torch.manual_seed(0)
    float_model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    x = torch.randn(8, 1, 4, 4)
    model, twin = copy.deepcopy(float_model), copy.deepcopy(float_model)
    prepare(model, Plan({"*": LayerPlan(before, before)}), x)
    model.train()(x)
    with pytest.raises(PlanError, match="conv9"):
        replan(model, Plan({"conv9": LayerPlan("lq:3", "lq:2")}), x)
    assert isinstance(model[3], Linear) and str(model[3].activation) == before
    for each, call in ((model, replan), (twin, prepare)):
        call(each, Plan({"*": LayerPlan("lq:3", "lq:2")}), x)
    assert list(model.state_dict()) == list(twin.state_dict())
    torch.testing.assert_close(model.train()(x), twin.train()(x), rtol=0, atol=0)
    replan(model, Plan("float"))
    assert [type(each) for each in model.modules()] == [type(each) for each in float_model.modules()]
    assert list(model.state_dict()) == list(float_model.state_dict())


def test_what_cannot_be_exported_is_said_before_training_all_at_once() -> None:
    class Special(Twice):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(self.last(torch.special.i0(self.layer(x))))

    model = Special()
    before = {name: (type(each), list(vars(each))) for name, each in model.named_modules()}
    with pytest.raises(UnsupportedError, match=r"i0 .*bessel_j0|bessel_j0 .*i0"):
        prepare(model, Plan({"*": LayerPlan("lq:2", "lq:2")}), (4,))
    assert before == {name: (type(each), list(vars(each))) for name, each in model.named_modules()}
    prepare(model, Plan({"*": LayerPlan("lq:2", "lq:2")}), (4,), exportable=False)


def test_a_plan_can_be_corrected_after_an_error() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv3d(4, 2, 3))
    with pytest.raises(UnsupportedError, match="2: "):
        prepare(model, Plan({"*": LayerPlan("lq:2", "lq:2")}))
    assert list(prepare(model, Plan({"0": LayerPlan("lq:2", "lq:2")})).changed) == ["0"]


@pytest.mark.parametrize(
    "second", [Plan({"fc1": LayerPlan("lq:2", "lq:2")}), Plan({"*": BINARY}), ENDS_FLOAT]
)
def test_a_second_prepare_is_refused(second: Plan) -> None:
    model = Network(NETWORKS["lenet"], Plan({"conv2": LayerPlan("affine:4", "affine:4")}))
    before = [(name, id(module)) for name, module in model.named_modules()]
    with pytest.raises(PlanError, match=r"conv2: the model has low-bit layers already.*replan"):
        prepare(model, second)
    assert before == [(name, id(module)) for name, module in model.named_modules()]


@pytest.mark.parametrize("form", ["binary", "lq:2", "pow2:3", "affine:4", "fixed:6.3"])
def test_what_is_new_lies_where_the_layer_lies(form: str) -> None:
    activation = "lq:2" if form == "pow2:3" else form
    model = Network(NETWORKS["lst1" if form == "fixed:6.3" else "lenet"]).to("meta")
    prepare(model, Plan({"*": LayerPlan(form, activation, before_sign="prelu")}))
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}
