"""What a quantizer begins with: zeros, NaN, large maps, other weights; and what moves it afterwards."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn  # noqa: E402

from lowbit.engine import Program  # noqa: E402
from lowbit.errors import NumericError  # noqa: E402
from lowbit.nn import Conv2d, LayerPlan, Linear, Plan, clamp_latents, prepare, to_graph  # noqa: E402
from lowbit.schemes.affine.train import AffineInput, AffineWeight  # noqa: E402
from lowbit.schemes.binary.train import BinaryInput, BinaryWeight  # noqa: E402
from lowbit.schemes.learned_basis.train import LearnedBasisInput, LearnedBasisWeight  # noqa: E402
from lowbit.schemes.power_of_two.train import PowerOfTwoWeight  # noqa: E402
from lowbit.schemes.training.gradients import signs  # noqa: E402
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer  # noqa: E402

WEIGHTS = (
    *(f"affine:{bits}" for bits in (2, 4, 8)),
    *("lq:1", "lq:2", "lq:3:offset", "pow2:2", "pow2:4", "binary", "fixed:4.4"),
)
INPUTS = ("affine:2", "affine:4", "affine:8", "lq:1", "lq:2", "lq:2:offset", "binary", "pixels", "fixed:4.4")


def quantizer_of(weight: str = "float", activation: str = "float", **settings: str) -> WeightQuantizer:
    layer = Linear(12, 5, weight=weight, activation=activation, **settings)
    found = layer.weight_quantizer or layer.input_quantizer
    assert found is not None
    return found


def learned_error(layer: Linear) -> float:
    """Return what is left, as a mean square, when a layer has learned random weights, all of it finite."""
    torch.manual_seed(0)
    wanted, x = torch.randn(5, 12), torch.randn(256, 12)
    optimizer, errors = torch.optim.SGD(layer.parameters(), 0.05, momentum=0.9), []
    for _ in range(150):
        loss = (layer(x) - x @ wanted.T).square().mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(weight.grad is None or weight.grad.isfinite().all() for weight in layer.parameters())
        optimizer.step()
        clamp_latents(layer)
        errors.append(loss.item())
    assert all(tensor.isfinite().all() for tensor in layer.state_dict().values())
    return float(np.mean(errors[-50:]))


@pytest.mark.parametrize("rows", ["all", "one", "pruned"])
@pytest.mark.parametrize("form", WEIGHTS)
def test_weights_of_zeros_learn_as_others_do(form: str, rows: str) -> None:
    torch.manual_seed(1)
    usual, layer = (Linear(12, 5, bias=False, weight=form) for _ in range(2))
    with torch.no_grad():
        layer.weight[{"all": slice(None), "one": slice(1), "pruned": slice(2, 4)}[rows]] = 0
    assert learned_error(layer) < 1.3 * learned_error(usual) + 0.1
    assert (layer.weight != 0).any(1).all()


@pytest.mark.parametrize("form", [form for form in WEIGHTS if form != "fixed:4.4"])
def test_rows_of_zeros_are_deployed_as_zeros(form: str) -> None:
    """A bias beside them stays what it is, in torch, the reference and the engine alike."""
    torch.manual_seed(1)
    activation = {"affine:8": "affine:8", "binary": "binary"}.get(form, "lq:2")
    model = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))
    with torch.no_grad():
        model[2].weight[3], model[2].bias[3] = 0, 0.4
        model[2].weight[5], model[2].bias[5] = 0, -300.0
    prepare(model, Plan({"2": LayerPlan(form, activation)}))
    model.train()(torch.randn(64, 16))
    model.eval()
    x = torch.randn(30, 16)
    with torch.no_grad():
        inner, wanted = model[:3](x), model(x)
    assert inner[:, 3].numpy() == pytest.approx(0.4, rel=1e-3)
    assert inner[:, 5].numpy() == pytest.approx(-300, rel=1e-3)
    found = Program(to_graph(model, (16,))).run(x.numpy())
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize("form", INPUTS)
def test_a_first_batch_of_zeros_decides_nothing(form: str) -> None:
    torch.manual_seed(2)
    quantizer, after = quantizer_of(activation=form), quantizer_of(activation=form)
    batch = torch.rand(64, 12)
    assert quantizer.train()(torch.zeros(64, 12)).isfinite().all()
    for each in (quantizer, after):
        for _ in range(60):
            x = batch.clone().requires_grad_()
            each.train()(x).sum().backward()
            assert x.grad.isfinite().all()
    errors = [float((each(batch) - batch).square().mean().detach()) for each in (quantizer, after)]
    assert errors[0] == pytest.approx(errors[1], rel=0.05)
    assert all(parameter.grad.isfinite().all() for parameter in quantizer.parameters())


@pytest.mark.parametrize("form", ["affine:4", "affine:8", "lq:2"])
def test_nothing_seen_is_no_scale(form: str) -> None:
    with pytest.raises(NumericError, match="has seen no values yet"):
        quantizer_of(activation=form).encoding()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_signs_of_special_numbers(dtype: torch.dtype, value: float) -> None:
    info = torch.finfo(dtype)
    least = info.smallest_normal * info.eps
    numbers = [value, 0.0, -0.0, least, -least, info.tiny, -info.tiny, info.max, info.min, 0.3, -0.3]
    wanted = [value if value != value else float(np.sign(value)), 1, 1, 1, -1, 1, -1, 1, -1, 1, -1]
    np.testing.assert_array_equal(signs(torch.tensor(numbers, dtype=dtype)).float().numpy(), wanted)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("form", INPUTS)
def test_nan_is_never_masked(form: str, train: bool) -> None:
    torch.manual_seed(3)
    layer, x = (
        Linear(12, 5, weight="fixed:4.4" if form[0] == "f" else "lq:2", activation=form),
        torch.rand(8, 12),
    )
    layer.train()(x)
    kept = {name: value.clone() for name, value in layer.state_dict().items()}
    good = layer.train(train)(x)
    layer.load_state_dict(kept)
    x[3, 7] = torch.nan
    found = layer(x)
    assert found[3].isnan().all() and not found[[0, 1, 2, 4, 5, 6, 7]].isnan().any()
    if not train:
        assert torch.equal(found[4:], good[4:])
    assert all(value.isfinite().all() for value in layer.state_dict().values())  # one batch spoils nothing


@pytest.mark.parametrize("form", ["affine:4", "affine:8", "lq:2", "lq:2:offset"])
def test_a_first_batch_of_nan_is_refused(form: str) -> None:
    x = torch.rand(8, 12)
    x[1, 1] = torch.nan
    layer = Linear(12, 5, activation=form)
    with pytest.raises(NumericError, match="not finite"):
        layer.train()(x)
    assert layer.train()(torch.rand(8, 12)).isfinite().all()


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(
    "shape", [(64, 16, 32, 32), (256, 64, 8, 8), (1 << 20,), (40, 3, 224), (7, 9, 33, 65)]
)
@pytest.mark.parametrize("bits", [2, 3])
def test_a_basis_is_that_of_the_whole_map(bits: int, shape: tuple[int, ...]) -> None:
    """Columns of a map differ, as borders and background do; a stride of a power of two sees one of them."""
    torch.manual_seed(bits)
    spread = torch.rand(shape[-1]).square() * 4 + 0.05
    x = torch.randn(shape).abs() * (spread if len(shape) > 1 else 1)
    chosen = x.flatten()[torch.randperm(x.numel())[:60_000]]
    for each in (x, x.to(memory_format=torch.channels_last) if x.ndim == 4 else x):
        quantizer, wanted = LearnedBasisInput(bits, True), LearnedBasisInput(bits, True)
        for _ in range(10):
            quantizer(each)
            wanted(chosen)
        errors = [relative(one.eval()(x).detach(), x) for one in (quantizer, wanted)]
        assert errors[0] < 1.03 * errors[1]


@pytest.mark.parametrize("bits", range(2, 9))
def test_the_gradient_of_an_input_s_step_is_that_of_the_formula(bits: int) -> None:
    torch.manual_seed(bits)
    quantizer, x, upstream = AffineInput(bits), torch.randn(6, 25), torch.randn(6, 25)
    quantizer(x)
    x.requires_grad_()
    quantizer(2 * x).backward(upstream)
    step, zero = torch.exp2(quantizer.logarithm().detach()), quantizer.zero_point
    ratio = 2 * x.detach() / step
    low, high = -zero, (1 << bits) - 1 - zero
    inside, q = (ratio >= low) & (ratio <= high), ratio.round().clamp(low, high)
    torch.testing.assert_close(x.grad, 2 * upstream * inside)
    slope = (torch.where(inside, q - ratio, q) * upstream).sum() / (25 * (2**bits - 1)) ** 0.5
    torch.testing.assert_close(quantizer.exponent.grad, (slope * step * float(np.log(2))).view(1))


@pytest.mark.parametrize("decay", [5e-4, 0.1, 10.0])
@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize(
    ("weight", "activation"), [("affine:4", "affine:4"), ("pow2:3", "affine:2"), ("affine:8", "affine:8")]
)
def test_weight_decay_does_not_move_a_learned_scale(
    weight: str, activation: str, make: type[torch.optim.Optimizer], decay: float
) -> None:
    """Scales after steps with a decay of all parameters are those after steps without."""
    found = []
    for chosen in (0.0, decay):
        torch.manual_seed(0)
        layer, x = Linear(12, 5, weight=weight, activation=activation), torch.rand(64, 12)
        scales = [each for each in (layer.weight_quantizer, layer.input_quantizer) if each is not None]
        weights = {"params": [layer.weight, layer.bias], "weight_decay": 0.0}
        learned = {"params": [each.exponent for each in scales], "weight_decay": chosen}
        optimizer = make([weights, learned], 0.05)
        for _ in range(40):
            optimizer.zero_grad()
            layer(x).square().mean().backward()
            optimizer.step()
        found.append(torch.cat([each.logarithm().detach() for each in scales]))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("rule", ["recu", "ede", "clip", "quadratic", "ste"])
def test_a_layer_of_zeros_becomes_other_signs(rule: str) -> None:
    torch.manual_seed(0)
    layer, x = Linear(16, 8, weight="binary", activation="binary", weight_gradient=rule), torch.randn(32, 16)
    torch.nn.init.zeros_(layer.weight)
    (layer(x) - torch.randn(32, 8)).square().mean().backward()
    assert layer.weight.grad.isfinite().all() and (layer.weight.grad != 0).all()


@pytest.mark.parametrize("form", [form for form in WEIGHTS if not form.startswith("fixed")])
def test_eval_mode_encodes_weights_once_and_again_where_anything_is_written(form: str) -> None:
    torch.manual_seed(0)
    layer, x = Linear(16, 8, weight=form, activation="affine:8"), torch.randn(32, 16)
    layer(x)
    before, calls = layer.eval()(x), []
    coded = layer.weight_quantizer.coded
    layer.weight_quantizer.coded = lambda weight: calls.append(1) or coded(weight)
    assert torch.equal(layer(x), before) and torch.equal(layer(x), before) and len(calls) <= 1
    for write in (lambda: layer.weight.data.neg_(), lambda: layer.weight.data.mul_(-1)):
        write()  # leaves no trace in the version of the parameter
        fresh = Linear(16, 8, weight=form, activation="affine:8").eval()
        fresh.load_state_dict(layer.state_dict())
        assert torch.equal(layer(x), fresh(x))
    assert torch.equal(layer(x), before)
    assert layer(torch.zeros(0, 16)).shape == (0, 8)


def test_a_moving_average_keeps_the_zero_point() -> None:
    torch.manual_seed(0)
    layer = Linear(12, 5, weight="affine:4", activation="affine:8")
    averaging = get_ema_multi_avg_fn(0.99)
    average = AveragedModel(layer, multi_avg_fn=averaging, use_buffers=True)
    optimizer = torch.optim.SGD(layer.parameters(), 0.01)
    for _ in range(50):
        layer(torch.randn(16, 12)).square().mean().backward()
        optimizer.step()
        average.update_parameters(layer)
    ours, theirs = layer.input_quantizer.encoding(), average.module.input_quantizer.encoding()
    assert ours.zero_point.tolist() == theirs.zero_point.tolist() and 100 < int(ours.zero_point[0]) < 156
    assert theirs.scale == pytest.approx(ours.scale, rel=0.1)


@pytest.mark.parametrize("form", ["affine:4", "affine:8", "lq:2", "lq:2:offset", "pow2:3"])
def test_weights_that_are_loaded_later_get_their_own_scales(form: str) -> None:
    """A float checkpoint after a first forward; a state of the low-bit layer keeps the scales that it has."""
    torch.manual_seed(0)
    activation = "lq:2" if form == "pow2:3" else form
    layers = [Linear(12, 5, weight=form, activation=activation) for _ in range(3)]
    large = {"weight": 50 * torch.randn(5, 12), "bias": torch.zeros(5)}
    x = torch.rand(64, 12)
    late, early, state = layers
    late.train()(0.01 * x)
    late.load_state_dict(large, strict=False)
    early.load_state_dict(large, strict=False)
    for layer in (late, early):
        layer.train()(x)
    assert torch.equal(late.eval()(x), early.eval()(x))
    state.train()(0.5 * x)
    state.load_state_dict(early.state_dict())
    assert torch.equal(state.eval()(x), early.eval()(x))


def test_a_state_of_an_earlier_lowbit_has_the_same_scales() -> None:
    torch.manual_seed(0)
    layer, x = Linear(12, 5, weight="affine:4", activation="affine:4"), torch.randn(64, 12)
    layer.train()(x)
    earlier = layer.state_dict()
    for name in ("weight_quantizer", "input_quantizer"):
        earlier[f"{name}.exponent"] = earlier.pop(f"{name}.start") + earlier[f"{name}.exponent"]
    earlier["input_quantizer.zero_point"] = earlier["input_quantizer.zero_point"].int()
    other = Linear(12, 5, weight="affine:4", activation="affine:4")
    other.load_state_dict(earlier)
    assert torch.equal(other.eval()(x), layer.eval()(x))


def test_every_kind_is_here() -> None:
    kinds = {type(quantizer_of(weight=form)) for form in WEIGHTS} | {
        type(quantizer_of(activation=f)) for f in INPUTS
    }
    weights = {AffineWeight, BinaryWeight, LearnedBasisWeight, PowerOfTwoWeight}
    assert weights | {AffineInput, BinaryInput, LearnedBasisInput} <= kinds
    assert issubclass(AffineInput, InputQuantizer) and not isinstance(Conv2d(1, 1, 1), Linear)
