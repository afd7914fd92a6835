"""Digits and garments in colour on coloured backgrounds, with the class of every pixel."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

SIDE = 64
CLASSES = ("background", "digit", "garment")
_SEEN = 0.35  # of full brightness: what belongs to a thing


def scenes(count: int, seed: int, digits: Floats, garments: Floats) -> tuple[Floats, Integers]:
    """Return pictures [n, 3, 64, 64] in [0, 1] and the class of every pixel [n, 64, 64].

    Args:
        count: how many.
        seed: of all that is drawn.
        digits: [n, 28, 28] in [0, 1], to draw from.
        garments: the same.
    """
    random = np.random.default_rng(seed)
    pairs = [_scene(random, (digits, garments)) for _ in range(count)]
    return np.stack([picture for picture, _ in pairs]), np.stack([mask for _, mask in pairs])


def _scene(random: np.random.Generator, things: tuple[Floats, Floats]) -> tuple[Floats, Integers]:
    picture, mask = _background(random), np.zeros((SIDE, SIDE), np.int64)
    for _ in range(random.integers(1, 4)):
        kind = int(random.integers(2))
        thing = things[kind][random.integers(len(things[kind]))]
        y, x = random.integers(0, SIDE - 28, 2)
        colour = random.uniform(0, 1, (3, 1, 1)).astype(np.float32)
        seen = thing > _SEEN
        place = picture[:, y : y + 28, x : x + 28]
        shaded = colour * (0.5 + 0.5 * thing) if kind else colour * thing + place * (1 - thing)
        place[:] = np.where(seen, shaded, place)
        mask[y : y + 28, x : x + 28][seen] = kind + 1
    picture += random.normal(0, 0.04, picture.shape).astype(np.float32)
    return picture.clip(0, 1), mask


def _background(random: np.random.Generator) -> Floats:
    """Return a few coloured waves."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    picture = np.zeros((3, SIDE, SIDE), np.float32) + random.uniform(0.2, 0.8, (3, 1, 1)).astype(np.float32)
    for _ in range(3):
        ahead, aside, phase = random.uniform(-9, 9), random.uniform(-9, 9), random.uniform(0, 6.3)
        wave = np.sin(ahead * y + aside * x + phase)
        picture += random.uniform(-0.15, 0.15, (3, 1, 1)).astype(np.float32) * wave
    return picture
