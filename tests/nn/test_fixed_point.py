"""Fixed point in torch: the integers of the reference, for both roundings."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from lowbit.errors import PlanError, UnsupportedError  # noqa: E402
from lowbit.ir import evaluate  # noqa: E402
from lowbit.nn import LayerPlan, LearnedSeparableTransform, Linear, Network, Plan, prepare, to_graph  # noqa: E402
from lowbit.quantization import to_fixed_point  # noqa: E402
from lowbit.schemes import FixedPoint  # noqa: E402
from lowbit.schemes.fixed_point.train import on_grid  # noqa: E402
from lowbit.zoo import NETWORKS  # noqa: E402


def everywhere(form: str) -> Plan:
    return Plan({"*": LayerPlan(form, form)})


@pytest.mark.parametrize("form", ["6.7", "6.3", "6.1:floor", "8.8", "2.1", "4.12:floor", "1.7:floor"])
@pytest.mark.parametrize("name", ["lst1", "reslst", "mlp-784-12-10"])
def test_torch_gives_the_reference_s_integers(name: str, form: str) -> None:
    torch.manual_seed(1)
    model = Network(NETWORKS[name])
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.2)
    shape = NETWORKS[name].input_shape
    float_graph = to_graph(model, shape)
    prepare(model, everywhere(f"fixed:{form}"))
    x = torch.rand(20, *shape) * 2 - 1
    with torch.no_grad():
        wanted = model.eval()(x).numpy().astype(np.float32)
    trained = evaluate(to_graph(model, shape), {"x": x.numpy()})["logits"]
    np.testing.assert_array_equal(trained, wanted)
    bits, _, rounding = form.partition(":")
    m, n = map(int, bits.split("."))
    rounded = to_fixed_point(float_graph, m, n, rounding or "nearest")
    np.testing.assert_array_equal(evaluate(rounded, {"x": x.numpy()})["logits"], wanted)


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_the_gradient_passes_where_nothing_saturates(rounding: str) -> None:
    encoding = FixedPoint(2, 3, rounding)
    x = torch.tensor([-9.0, -2.0, -0.07, 0.0, 1.06, 1.875, 2.5], requires_grad=True)
    found = on_grid(x, encoding)
    found.sum().backward()
    np.testing.assert_array_equal(found.detach(), encoding.decode(encoding.encode(x.detach().numpy())))
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("form", ["float", "fixed:6.7"])
@pytest.mark.parametrize(("shape", "features"), [(28, 28), ((5, 9), 7), ((1, 3), 1)])
def test_the_separable_transform(shape: int | tuple[int, int], features: int, form: str) -> None:
    height, width = (shape, shape) if isinstance(shape, int) else shape
    layer = LearnedSeparableTransform(shape, features, weight=form, activation=form).eval()
    assert sum(p.numel() for p in layer.parameters()) == (height + 1) * features + (width + 1) * features
    x = torch.rand(4, 1, height, width)
    with torch.no_grad():
        wanted = layer(x).numpy()
    x64 = x[:, 0].double()
    w1, b1, w2, b2 = (p.detach().double() for p in layer.parameters())
    half = torch.tanh(x64 @ w1.T + b1).mT
    by_hand = torch.tanh(half @ w2.T + b2).mT[:, None].numpy()
    np.testing.assert_allclose(wanted, by_hand, atol=1e-6 if form == "float" else 0.05)
    graph = to_graph(nn.Sequential(layer), (1, height, width))
    found = evaluate(graph, {"x": x.numpy()})["logits"]
    np.testing.assert_allclose(found, wanted, atol=1e-6 if form == "float" else 0)


def test_training_on_a_coarse_grid_learns() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 6)
    labels = (x[:, 0] > x[:, 1]).long()
    form = {"weight": "fixed:3.2", "activation": "fixed:3.2"}
    model = nn.Sequential(Linear(6, 16, **form), nn.ReLU(), Linear(16, 2, **form))
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(100):
        loss = nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = evaluate(to_graph(model, (6,)), {"x": x.numpy()})["logits"]
    assert (found.argmax(1) == labels.numpy()).mean() > 0.9


def test_fixed_point_is_the_whole_network_s() -> None:
    mixed = nn.Sequential(Linear(4, 4, weight="fixed:2.2", activation="fixed:2.2"), nn.Linear(4, 2))
    with pytest.raises(UnsupportedError, match="one format"):
        to_graph(mixed, (4,))
    with pytest.raises(PlanError, match="goes with"):
        Linear(4, 4, weight="fixed:2.2", activation="binary")


def test_the_float_just_below_a_half_goes_down_in_eval_mode() -> None:
    encoding = FixedPoint(4, 4)
    x = torch.tensor([np.nextafter(np.float32(0.5), np.float32(0)) / 16])  # plus a half, float32 rounds to 1
    layer = Linear(1, 1, bias=False, weight="fixed:4.4", activation="fixed:4.4").eval()
    assert encoding.decode(encoding.encode(x.numpy())).item() == 0
    assert layer.input_quantizer.levels(x, encoding).item() == 0
