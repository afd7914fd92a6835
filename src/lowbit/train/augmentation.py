"""Pictures that differ a little from those of the data set: whole batches of tensors, no loops over pictures.

Order: flip, crop, affine, cutout. Every picture has its own draw. Draws come from a generator on the CPU,
so that a seed means the same pictures on every device.
"""

from math import pi

import torch
from torch import Tensor
from torch.nn import functional

from lowbit.train.settings import Augmentation


def augment(pictures: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    """Return other pictures, where outside is zero.

    Args:
        pictures: float32 `[n, c, h, w]`.
        settings: what may happen.
        random: on the CPU.
    """
    if settings.flip:
        pictures = _flip(pictures, random)
    if settings.crop:
        pictures = _crop(pictures, settings.crop, random)
    if settings.shift or settings.rotation or settings.scale or settings.shear:
        pictures = _affine(pictures, settings, random)
    if settings.cutout:
        pictures = _cutout(pictures, settings.cutout, random)
    return pictures


def _flip(pictures: Tensor, random: torch.Generator) -> Tensor:
    chosen = torch.rand(len(pictures), 1, 1, 1, generator=random).to(pictures.device) < 0.5
    return torch.where(chosen, pictures.flip(3), pictures)


def _crop(pictures: Tensor, border: int, random: torch.Generator) -> Tensor:
    count, _, height, width = pictures.shape
    start = torch.randint(0, 2 * border + 1, (2, count, 1), generator=random).to(pictures.device)
    place = torch.arange(max(height, width), device=pictures.device)
    rows, columns = start[0] + place[:height], start[1] + place[:width]
    padded = functional.pad(pictures, (border,) * 4)
    batch = torch.arange(count, device=pictures.device)[:, None, None]
    return padded[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _affine(pictures: Tensor, settings: Augmentation, random: torch.Generator) -> Tensor:
    """Turn, scale, shear and move by bilinear interpolation."""
    count, _, height, width = pictures.shape
    draw = torch.rand(6, count, generator=random).mul_(2).sub_(1)
    angle = draw[0] * (settings.rotation * pi / 180)
    size, lean = 1 + draw[1] * settings.scale, draw[2] * settings.shear
    right, down = draw[3] * (2 * settings.shift / width), draw[4] * (2 * settings.shift / height)
    cosine, sine = torch.cos(angle) * size, torch.sin(angle) * size
    rows = torch.stack((cosine, lean - sine, right, sine, cosine, down)).to(pictures.device)
    matrix = rows.view(2, 3, count, 1, 1)
    x, y = _middles(width, pictures), _middles(height, pictures)[:, None]
    # As affine_grid has it, without its product of thin matrices.
    grid = matrix[:, 0] * x + matrix[:, 1] * y + matrix[:, 2]
    return functional.grid_sample(pictures, grid.permute(1, 2, 3, 0), align_corners=False)


def _middles(length: int, like: Tensor) -> Tensor:
    """Return the places of pixels, from -1 to 1 over the picture's edges."""
    return (torch.arange(length, device=like.device) * 2 + 1) / length - 1


def _cutout(pictures: Tensor, side: int, random: torch.Generator) -> Tensor:
    """Zero a square around a random pixel (DeVries & Taylor 2017)."""
    count, _, height, width = pictures.shape
    draw = torch.rand(2, count, 1, generator=random).to(pictures.device)
    place = torch.arange(max(height, width), device=pictures.device)
    rows = (place[:height] - (draw[0] * height).floor() + side // 2).div(side, rounding_mode="floor") == 0
    columns = (place[:width] - (draw[1] * width).floor() + side // 2).div(side, rounding_mode="floor") == 0
    return pictures.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)
