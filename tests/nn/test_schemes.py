"""Learned bases, powers of two and uniform grids: oracles, written-out gradients, codes after export."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from lowbit.errors import NumericError, PlanError  # noqa: E402
from lowbit.nn import Conv2d, Linear, clamp_latents, set_progress, to_graph  # noqa: E402
from lowbit.schemes import Affine, check_scheme, rank_encode  # noqa: E402
from lowbit.schemes.affine.train import AffineInput, AffineWeight  # noqa: E402
from lowbit.schemes.learned_basis.train import LearnedBasisInput, LearnedBasisWeight  # noqa: E402
from lowbit.schemes.pixels.train import PixelInput  # noqa: E402
from lowbit.schemes.power_of_two.train import PowerOfTwoWeight  # noqa: E402
from tests.nn.test_export import codes_of, graphs_of, logits_of, torch_codes, trained_like  # noqa: E402

WEIGHTS = ("binary", "ternary", "lq:1", "lq:2", "lq:3:offset", "lq:4", "pow2:4", "affine:3", "affine:7")
INPUTS = ("binary", "lq:1", "lq:2", "lq:4:offset", "affine:2", "affine:4", "pixels")


def test_one_bit_is_the_mean_magnitude() -> None:
    weight, quantizer = torch.randn(5, 33), LearnedBasisWeight(5, 1, offset=False)
    quantizer(weight)
    np.testing.assert_allclose(quantizer.learned.basis[:, 0], weight.abs().mean(1), rtol=1e-5)


def test_two_bits_reach_exact_two_means_of_magnitudes() -> None:
    torch.manual_seed(0)
    weight, quantizer = torch.randn(4, 300), LearnedBasisWeight(4, 2, offset=False)
    for _ in range(200):
        found = quantizer(weight)
    for row, levels in zip(weight, found.detach(), strict=True):
        magnitude = np.sort(row.abs().numpy().astype(np.float64))
        splits = (np.concatenate([p - p.mean() for p in np.split(magnitude, [c])]) for c in range(1, 300))
        assert float(((row - levels) ** 2).sum()) <= 1.001 * min((s * s).sum() for s in splits)


def test_an_activation_s_basis_follows_what_arrives() -> None:
    torch.manual_seed(0)
    quantizer = LearnedBasisInput(2, offset=True).train()
    levels = torch.tensor([0.1, 0.7, 1.3, 1.9])
    for shift in (0.0, 0.2):
        for _ in range(100):
            quantizer(levels[torch.randint(0, 4, (500,))] + shift)
        np.testing.assert_allclose(quantizer.learned.grid()[0][0], levels + shift, atol=1e-2)
    assert quantizer.encoding().bits == 2


def test_exact_gradient_of_a_basis_is_that_of_the_formula() -> None:
    torch.manual_seed(0)
    weight, quantizer = torch.randn(3, 50), LearnedBasisWeight(3, 2, offset=True, update="exact")
    upstream = torch.randn(3, 50)
    quantizer(weight).backward(upstream)
    basis, offset = quantizer.learned.basis, quantizer.learned.offset
    levels = (offset[:, None] + basis @ quantizer.learned.signs.T).detach()
    codes = (weight[:, :, None] - levels[:, None, :]).abs().argmin(2)
    signs = quantizer.learned.signs[codes]
    torch.testing.assert_close(basis.grad, torch.einsum("on,onk->ok", upstream, signs))
    torch.testing.assert_close(offset.grad, upstream.sum(1))


def test_a_basis_that_has_seen_nothing_says_so() -> None:
    layer = Linear(3, 2, weight="lq:2", activation="lq:2").eval()
    with pytest.raises(NumericError, match="training mode"):
        layer(torch.zeros(1, 3))


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_powers_of_two_with_a_learned_scale(bits: int) -> None:
    torch.manual_seed(bits)
    weight = torch.randn(3, 40, requires_grad=True)
    quantizer, upstream = PowerOfTwoWeight(3, bits), torch.randn(3, 40)
    quantizer(weight).backward(upstream)
    scale = torch.exp2(quantizer.logarithm().detach())[:, None]
    units = torch.tensor([0.0, *(s * 2.0**-j for s in (1, -1) for j in range(2 ** (bits - 1) - 1))])
    ratio = weight.detach() / scale
    level = units[(ratio[:, :, None] - units).abs().argmin(2)]
    inside = ratio.abs() <= 1
    torch.testing.assert_close(quantizer(weight).detach(), level * scale)
    torch.testing.assert_close(weight.grad, upstream * inside)
    slope = torch.where(inside, level - ratio, torch.sign(ratio)) * upstream / 40**0.5
    wanted = slope.sum(1) * scale[:, 0] * float(np.log(2))  # the scale is 2^e
    torch.testing.assert_close(quantizer.exponent.grad, wanted)


@pytest.mark.parametrize("gradient", ["blend", "staircase"])
def test_the_reconstructed_gradient(gradient: str) -> None:
    weight = torch.linspace(-1, 1, 41).reshape(1, 41).requires_grad_()
    quantizer = PowerOfTwoWeight(1, 3, gradient)
    for progress in (0.0, 0.5, 1.0):
        quantizer.set_progress(progress)
        share, weight.grad = 2 ** (progress - 1), None
        found = quantizer(weight)
        found.sum().backward()
        torch.testing.assert_close(weight.grad, torch.full_like(weight, 1 - share))
        deployed = torch.from_numpy(quantizer.coded(weight).values()).float()
        torch.testing.assert_close(found.detach(), (1 - share) * weight.detach() + share * deployed)


def test_the_authors_staircase() -> None:
    weight = torch.tensor([[2.0, -0.04, 0.05, -0.14, 0.15, -0.28, 0.3, 0.0]])
    found = PowerOfTwoWeight(1, 3, "staircase").coded(weight).values()
    assert found[0].tolist() == [1, 0, 0.25, -0.25, 0.5, -0.5, 1, 0]


def test_scales_can_be_powers_of_two() -> None:
    quantizer = PowerOfTwoWeight(6, 4, scale="power")
    scales = quantizer.coded(torch.randn(6, 30)).encoding.scale
    assert (np.exp2(np.rint(np.log2(scales))) == scales).all()


def test_blended_latents_are_clamped() -> None:
    layer = Linear(3, 2, weight="pow2:3", weight_gradient="blend")
    nn.init.constant_(layer.weight, -7.0)
    clamp_latents(layer)
    assert layer.weight.min() == -1


def test_learned_step_has_the_gradient_of_the_formula() -> None:
    torch.manual_seed(0)
    weight = (3 * torch.randn(4, 25)).requires_grad_()
    quantizer, upstream = AffineWeight(4, 3), torch.randn(4, 25)
    quantizer(weight).backward(upstream)
    step = torch.exp2(quantizer.logarithm().detach())[:, None]
    ratio = weight.detach() / step
    inside, q = (ratio >= -4) & (ratio <= 3), ratio.round().clamp(-4, 3)
    torch.testing.assert_close(weight.grad, upstream * inside)
    slope = (torch.where(inside, q - ratio, q) * upstream).sum(1) / (25 * 7) ** 0.5
    torch.testing.assert_close(quantizer.exponent.grad, slope * step[:, 0] * float(np.log(2)))


def test_the_zero_point_fits_the_first_batch() -> None:
    for low, high in ((0.0, 6.0), (-3.0, 3.0), (-1.0, 3.0)):
        quantizer = AffineInput(8)
        x = torch.linspace(low, high, 1000)
        assert (quantizer(x) - x).abs().max() <= (high - low) / 255
        check_scheme(quantizer.encoding())


def test_pixels_stay_as_they_are() -> None:
    pixels = (torch.arange(256) / 255)[None]
    assert torch.equal(PixelInput()(pixels), pixels)
    layer = Linear(256, 1, bias=False, weight="affine:6", activation="pixels")
    torch.testing.assert_close(layer.train()(pixels), layer.eval()(pixels))


@pytest.mark.parametrize("form", WEIGHTS)
def test_weights_in_eval_mode_are_the_levels_of_their_codes(form: str) -> None:
    torch.manual_seed(1)
    layer = Linear(65, 5, weight=form)
    layer.train()(torch.randn(2, 65))
    coded = layer.weight_quantizer.coded(layer.weight)
    check_scheme(coded.encoding)
    levels = layer.weight_quantizer.levels(layer.weight)
    np.testing.assert_allclose(coded.values(), levels, rtol=1e-6)  # an offset is rounded to float32 in files


@pytest.mark.parametrize("form", INPUTS)
def test_inputs_in_eval_mode_are_the_levels_of_their_codes(form: str) -> None:
    torch.manual_seed(2)
    layer, x = Linear(9, 2, activation=form), torch.randn(70, 9)
    layer.train()(x)
    reads, encoding = layer.input_quantizer, layer.input_quantizer.encoding()
    if isinstance(encoding, Affine):
        encoding = encoding.to_learned_basis()
    codes = rank_encode(x.numpy(), reads.thresholds()[None], encoding.code_of_rank())
    np.testing.assert_array_equal(reads.levels(x, encoding).numpy(), encoding.decode(codes))
    integers = encoding.integer_levels()[0][codes]
    np.testing.assert_array_equal(reads.integers(x, encoding).numpy(), integers)


@pytest.mark.parametrize(
    ("weight", "activation"), [("lq:2", "lq:2:offset"), ("ternary", "affine:4"), ("affine:8", "pixels")]
)
def test_the_state_is_all_there_is(weight: str, activation: str) -> None:
    model, other = shaped_network(weight, activation), shaped_network(weight, activation)
    for parameter in other.parameters():
        nn.init.uniform_(parameter, 0.1, 1)
    other.load_state_dict(model.state_dict())
    x = np.random.default_rng(0).random((5, 2, 7, 7), np.float32)
    np.testing.assert_array_equal(logits_of(other, x), logits_of(model, x))


def shaped_network(weight: str, activation: str) -> nn.Module:
    forms = {"weight": weight, "activation": activation}
    model = nn.Sequential(
        *(Conv2d(2, 5, 3, padding=1, **forms), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2)),
        *(Conv2d(5, 6, 3, padding=1, **forms), nn.BatchNorm2d(6), nn.Hardtanh(), nn.Flatten()),
        *(Linear(6 * 9, 7, **forms), nn.BatchNorm1d(7), nn.Tanh(), Linear(7, 3, **forms)),
    )
    torch.manual_seed(5)
    model.train()(torch.rand(50, 2, 7, 7))  # every quantizer sees values
    return trained_like(model, (2, 7, 7))


@pytest.mark.parametrize(
    ("weight", "activation"),
    [
        *((weight, "lq:2:offset") for weight in WEIGHTS),
        *(("lq:2", activation) for activation in INPUTS),
        *(("affine:8", activation) for activation in ("binary", "lq:2", "affine:4")),
        *((weight, "pixels") for weight in ("affine:7", "pow2:4")),
        *((weight, "affine:8") for weight in ("affine:6", "lq:4", "binary", "pow2:3")),
    ],
)
def test_codes_are_the_same_after_export(weight: str, activation: str, tmp_path: Path) -> None:
    model = shaped_network(weight, activation)
    graph, x = to_graph(model, (2, 7, 7)), np.random.default_rng(0).random((30, 2, 7, 7), np.float32)
    wanted, codes = logits_of(model, x), torch_codes(model, x)
    for layer, array in codes_of(graph, x).items():
        encoding = graph.value(next(n for n in graph.nodes if n.name == layer).inputs[0]).encoding
        assert (array == encoding.code_of_rank()[0][codes[layer]]).all(), layer
    for backend, found in graphs_of(graph, x, tmp_path):
        np.testing.assert_allclose(found, wanted, atol=2e-6 * np.abs(wanted).max(), err_msg=backend)


def test_eight_bit_layers_are_the_int8_layers_of_every_runtime(tmp_path: Path) -> None:
    model = shaped_network("affine:8", "affine:8")
    graph, x = to_graph(model, (2, 7, 7)), np.random.default_rng(0).random((30, 2, 7, 7), np.float32)
    assert {"Convolution", "Linear"} <= {node.op for node in graph.nodes}
    wanted = logits_of(model, x)
    for backend, found in graphs_of(graph, x, tmp_path):
        np.testing.assert_allclose(found, wanted, atol=2e-6 * np.abs(wanted).max(), err_msg=backend)


@pytest.mark.parametrize("kind", [Linear, Conv2d])
@pytest.mark.parametrize("weight", [*WEIGHTS, "affine:8"])
def test_rows_of_any_size_and_pruned_ones_are_exported_as_they_are(
    weight: str, kind: type, tmp_path: Path
) -> None:
    """A bias that does not fit beside weights of next to nothing widens the scale, in eval mode as well."""
    sizes = np.array([1e-12, 1e-7, 1e-3, 1.0, 1e6, 0.0, 0.0], np.float32)
    activation = "affine:8" if weight == "affine:8" else "affine:4"
    shape = (9, len(sizes)) if kind is Linear else (2, len(sizes), 3)
    torch.manual_seed(3)
    layer = kind(*shape, weight=weight, activation=activation)
    with torch.no_grad():
        layer.weight.mul_(torch.from_numpy(sizes).view(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.copy_(torch.tensor([1.0, 0.3, -2, 0.1, 3e3, 0.4, 0]))
    sample = (9,) if kind is Linear else (2, 5, 5)
    layer.train()(torch.rand(20, *sample))
    layer.eval()
    x = np.random.default_rng(0).random((6, *sample), np.float32)
    wanted = layer(torch.from_numpy(x)).detach().numpy()
    graph = to_graph(nn.Sequential(layer), sample)
    for backend, found in graphs_of(graph, x, tmp_path):
        np.testing.assert_array_equal(np.reshape(found, wanted.shape), wanted, err_msg=backend)
    bias = layer.bias.detach().numpy()
    empty = np.moveaxis(wanted, 1, 0)[-2].ravel()
    np.testing.assert_array_equal(empty, np.full(empty.shape, bias[-2]))


@pytest.mark.parametrize("half", ["weight", "activation"])
@pytest.mark.parametrize("form", ["lq:2", "affine:4"])
def test_weights_or_input_alone(form: str, half: str, tmp_path: Path) -> None:
    model = nn.Sequential(Conv2d(2, 3, 3, **{half: form}), nn.Flatten(), Linear(75, 4, **{half: form}))
    model.train()(torch.rand(9, 2, 7, 7))
    model.eval()
    graph, x = to_graph(model, (2, 7, 7)), np.random.default_rng(0).random((4, 2, 7, 7), np.float32)
    for backend, found in graphs_of(graph, x, tmp_path):
        np.testing.assert_allclose(found, logits_of(model, x), atol=1e-5, err_msg=backend)


@pytest.mark.parametrize(
    ("weight", "activation"), [("ternary", "binary"), ("lq:2", "lq:2:offset"), ("affine:4", "affine:4")]
)
def test_training_learns(weight: str, activation: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    labels = (x[:, 0] * x[:, 1] > 0).long()
    model = nn.Sequential(
        *(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.Tanh()),
        *(Linear(32, 32, weight=weight, activation=activation), nn.BatchNorm1d(32), nn.Tanh()),
        nn.Linear(32, 2),
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(100):
        set_progress(model, step / 100)
        loss = nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    classes = model.eval()(x).argmax(1)
    assert (classes == labels).float().mean() > 0.9
    for backend, found in graphs_of(to_graph(model, (8,)), x.numpy(), tmp_path):
        assert int((found.argmax(1) != classes.numpy()).sum()) == 0, backend


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weight": "lq:2", "weight_gradient": "clip"}, "qem or exact"),
        ({"weight": "pow2:2", "weight_gradient": "staircase"}, "3 bits"),
        ({"weight": "pow2:2", "scale": "mean"}, "learned or power"),
        ({"weight": "pixels"}, "weights cannot"),
        ({"activation": "pow2:3"}, "input cannot"),
        ({"weight": "lq:5"}, "lq:1 to lq:4"),
        ({"weight": "affine:4", "weight_gradient": "clip"}, "steps or lsq or"),
        ({"weight": "codebook:3", "weight_gradient": "clip"}, "no choice"),
    ],
)
def test_what_does_not_go_together(settings: dict[str, str], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        Linear(3, 2, **settings)
