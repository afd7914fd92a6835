"""A module and data of somebody's own, as small as they can be."""

from pathlib import Path

import numpy as np

MODULE = """
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, width=4, classes=3, channels=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(x + self.conv2(x))
        return self.head(F.avg_pool2d(x, 4).mean((2, 3)).view(len(x), -1))


class Maps(nn.Module):
    def forward(self, x):
        return x


def line(width, /, *, classes=3):
    return nn.Sequential(
        nn.Conv1d(2, width, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, classes)
    )


def sense(width, classes=3):
    return line(width, classes=classes)


def number(width=1):
    return 5


def half():
    return Net().half()


def brain():
    return Net().bfloat16()


class Bad(nn.Module):
    def __init__(self):
        super().__init__()
        raise RuntimeError("no luck")


made = Net()
"""
CLASSES = ("ape", "bee", "cat")


def write_module(folder: Path, text: str = MODULE, name: str = "mynet.py") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def pictures(count: int = 45, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures uint8 ``[n, 8, 8]`` whose class is the place of what is bright."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    made = random.integers(0, 60, (count, 8, 8), np.uint8)
    for picture, label in zip(made, labels, strict=True):
        picture[:, 3 * label : 3 * label + 2] += 190
    return made, labels


def write_folder(root: Path, counts: dict[str, int], colour: bool = False) -> Path:
    """Write pictures into a folder of classes, below splits by name, or one without a name."""
    from PIL import Image

    for number, (split, count) in enumerate(counts.items()):
        for index, (picture, label) in enumerate(zip(*pictures(count, number), strict=True)):
            folder = root / split / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(picture)
            (image.convert("RGB") if colour else image).save(folder / f"{index:03d}.png")
    return root
