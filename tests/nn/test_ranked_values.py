"""Values by rank: choices for few steps are those of a search, in any memory format, with equal gradients."""

import pytest

torch = pytest.importorskip("torch")

from lowbit.schemes.training.quantizer import FEW_STEPS, ranked_values  # noqa: E402


@pytest.mark.parametrize("steps", [1, 3, FEW_STEPS, FEW_STEPS + 1, 15])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_choices_and_search_agree(steps: int, layout: torch.memory_format) -> None:
    torch.manual_seed(20 + steps)
    borders = torch.randn(steps).sort().values
    borders[steps // 2] = borders[steps // 2 - 1] if steps > 1 else borders[0]  # equal steps, too
    values = torch.randn(steps + 1, requires_grad=True)
    x = torch.randn(2, 3, 5, 7).contiguous(memory_format=layout)
    x[0, 0, 0, :3] = torch.tensor([torch.inf, -torch.inf, float(borders[0])])
    found = ranked_values(x, borders, values)
    number = torch.stack([x > border for border in borders]).sum(0)
    assert torch.equal(found, values[number])
    assert found.is_contiguous(memory_format=layout)
    upstream = torch.randn_like(x)
    (got,) = torch.autograd.grad(found, values, upstream)
    (right,) = torch.autograd.grad(values[number], values, upstream)
    torch.testing.assert_close(got, right)
