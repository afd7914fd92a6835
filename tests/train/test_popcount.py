"""A binary convolution that counts its signs learns as one that multiplies them."""

import copy

import pytest

torch = pytest.importorskip("torch")

from lowbit.nn import Conv2d  # noqa: E402
from lowbit.train.popcount import count_signs  # noqa: E402


def layer(**settings):
    torch.manual_seed(3)
    return Conv2d(24, 20, 3, weight="binary", activation="binary", **settings)


@pytest.mark.parametrize("settings", [{"padding": 1}, {"stride": 2, "bias": False}, {"dilation": 2}])
@pytest.mark.parametrize("scale", ["mean", "one", "learned"])
def test_outputs_and_gradients_are_those_of_torch(settings, scale):
    multiplies = layer(**settings, scale=scale)
    counts = copy.deepcopy(multiplies)
    assert count_signs(torch.nn.Sequential(counts)) == ["0"]
    x = torch.randn(5, 24, 9, 8)
    inputs = [x.clone().requires_grad_(), x.to(memory_format=torch.channels_last).requires_grad_()]
    results = [module(given) for module, given in zip((multiplies, counts), inputs, strict=True)]
    torch.testing.assert_close(*results, rtol=1e-6, atol=4e-6)  # processors add floats in orders of their own
    gradient = torch.randn_like(results[0])
    for result in results:
        result.backward(gradient)
    pairs = [inputs, *zip(multiplies.parameters(), counts.parameters(), strict=True)]
    for one, other in pairs:  # sums of floats, in another order
        assert (one.grad - other.grad).abs().max() <= 1e-5 * one.grad.abs().max()


def test_sums_do_not_round_in_bfloat16():
    wide = Conv2d(512, 8, 3, bias=False, weight="binary", activation="binary", scale="one")
    count_signs(torch.nn.Sequential(wide))
    x = torch.randn(2, 512, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        found = wide.product(torch.sign(x).bfloat16(), torch.sign(wide.weight))
    sums = torch.nn.functional.conv2d(torch.sign(x), torch.sign(wide.weight))
    assert torch.equal(found, sums.bfloat16())


def test_layers_that_are_not_binary_keep_their_product():
    others = torch.nn.Sequential(
        Conv2d(8, 8, 3, weight="lq:2", activation="binary"),
        Conv2d(8, 8, 3, weight="binary"),
        Conv2d(8, 8, 3, groups=2, weight="binary", activation="binary"),
    )
    assert count_signs(others) == []
