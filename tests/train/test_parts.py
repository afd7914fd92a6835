"""Schedules, losses and augmentations, each against its formula."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
from torch.nn import functional  # noqa: E402

from lowbit.train.augmentation import augment  # noqa: E402
from lowbit.train.loss import loss_of  # noqa: E402
from lowbit.train.schedule import factor  # noqa: E402
from lowbit.train.settings import Augmentation, Loss, Schedule  # noqa: E402


def pictures(count: int = 64, side: int = 9) -> torch.Tensor:
    """Return pictures without zeros, no two of whose pixels are equal."""
    return torch.rand(count, 2, side, side, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1


def changed(settings: Augmentation, seed: int = 0) -> torch.Tensor:
    return augment(pictures(), settings, torch.Generator().manual_seed(seed))


def test_schedules_start_rise_and_fall() -> None:
    cosine, cycle = Schedule("cosine", warmup=0.2), Schedule("one-cycle", warmup=0.25)
    assert [factor(cosine, p) for p in (0, 0.1, 0.2)] == [0, 0.5, 1]
    assert factor(cosine, 0.6) == pytest.approx(0.5) and factor(cosine, 0.999) < 1e-4
    assert factor(cycle, 0) == pytest.approx(0.04) and factor(cycle, 0.125) == pytest.approx(0.52)
    assert factor(cycle, 0.25) == 1 and factor(cycle, 0.625) == pytest.approx(0.5)
    assert {factor(Schedule("constant"), p / 10) for p in range(10)} == {1.0}
    halving = Schedule("halving", halvings=3)
    assert [factor(halving, p) for p in (0, 0.24, 0.25, 0.5, 0.75, 0.99)] == [1, 1, 0.5, 0.25, 0.125, 0.125]


def test_one_cycle_is_torch_s() -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 1.0)
    steps = 400
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=steps, pct_start=0.25)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    ours = [factor(Schedule("one-cycle", warmup=0.25), step / steps) for step in range(steps)]
    np.testing.assert_allclose(ours, rates, atol=0.01)


def test_losses_are_their_formulas() -> None:
    random = torch.Generator().manual_seed(1)
    logits, taught = torch.randn(7, 10, generator=random), torch.randn(7, 10, generator=random)
    labels = torch.arange(7)
    log = torch.log_softmax(logits, 1)
    smooth = 0.9 * functional.one_hot(labels, 10) + 0.01
    assert loss_of(Loss(smoothing=0.1), logits, labels) == pytest.approx(-(smooth * log).sum(1).mean().item())
    signs = 2 * functional.one_hot(labels, 10) - 1
    hinge = (1 - signs * logits).clamp(min=0).square().mean().item()
    assert loss_of(Loss("squared-hinge"), logits, labels) == pytest.approx(hinge)
    wanted = torch.softmax(taught / 3, 1)
    divergence = (wanted * (wanted.log() - torch.log_softmax(logits / 3, 1))).sum(1).mean().item()
    distilled = Loss(teacher="t", distillation=0.7, temperature=3)
    expected = 0.3 * functional.cross_entropy(logits, labels).item() + 0.7 * 9 * divergence
    assert loss_of(distilled, logits, labels, taught) == pytest.approx(expected, rel=1e-5)


def test_flips_are_whole_and_about_half() -> None:
    before, after = pictures(), changed(Augmentation(flip=True))
    same, flipped = (after == before).all((1, 2, 3)), (after == before.flip(3)).all((1, 2, 3))
    assert (same ^ flipped).all() and 16 < same.sum() < 48


def test_crops_are_moved_pictures() -> None:
    before, after = functional.pad(pictures(), (2,) * 4), changed(Augmentation(crop=2))
    seen = set()
    for index in range(len(after)):
        moves = [(y, x) for y in range(5) for x in range(5)]
        fits = [(y, x) for y, x in moves if (before[index, :, y : y + 9, x : x + 9] == after[index]).all()]
        assert len(fits) == 1
        seen.update(fits)
    assert len(seen) > 15


def test_affine_moves_keep_within_their_bounds() -> None:
    still = changed(Augmentation(shift=1e-9))
    torch.testing.assert_close(still, pictures(), atol=1e-5, rtol=0)
    dot = torch.zeros(200, 1, 21, 21)
    dot[:, :, 10, 16] = 1
    settings = Augmentation(rotation=30, shift=1)
    moved = augment(dot, settings, torch.Generator().manual_seed(2))
    y, x = torch.meshgrid(torch.arange(21.0), torch.arange(21.0), indexing="ij")
    weight = moved.sum((1, 2, 3))
    y, x = ((moved[:, 0] * axis).sum((1, 2)) / weight - 10 for axis in (y, x))
    distance, angle = torch.hypot(x, y), torch.rad2deg(torch.atan2(y, x))
    assert 4.4 < distance.min() < 5.5 < 6.5 < distance.max() < 7.6
    assert -45 < angle.min() < -20 < 20 < angle.max() < 45


def test_cutouts_are_squares_of_zeros() -> None:
    after = changed(Augmentation(cutout=4))
    gone = after == 0
    assert (gone[:, 0] == gone[:, 1]).all() and (after[~gone] == pictures()[~gone]).all()
    for rows, columns in ((mask.any(1), mask.any(0)) for mask in gone[:, 0]):
        assert 2 <= rows.sum() <= 4 and 2 <= columns.sum() <= 4
    assert (gone[:, 0].sum((1, 2)) == 16).any()


def test_a_seed_decides_pictures_and_nothing_else_does() -> None:
    everything = Augmentation(flip=True, crop=1, rotation=5, shift=1, scale=0.1, shear=0.1, cutout=3)
    assert (changed(everything) == changed(everything)).all()
    assert (changed(everything) != changed(everything, seed=1)).any()
    assert (augment(pictures(), Augmentation(), torch.Generator()) == pictures()).all()
    assert math.isclose(float(pictures().min()), 0.1, abs_tol=1e-3)
