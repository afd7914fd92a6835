"""Handwritten digits that come with lowbit: 1,797 pictures of 8x8, ten classes.

They are the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998, UCI Machine
Learning Repository, CC BY 4.0), as scikit-learn has them too. Pixels are counts from 0 to 16 and are divided
by 16. The data have no split of their own; ours is the first 1,297 and the last 500 of a permutation with a
fixed seed, so it is the same everywhere.
"""

from pathlib import Path

import numpy as np

from lowbit.data.dataset import Raw

TRAIN = 1297
SEED = 0
CLASSES = tuple("0123456789")

_FILE = Path(__file__).with_name("digits.npz")  # made by recipes/zoo_digits.py


def read_digits(split: str) -> Raw:
    """Return samples ``[n, 64]`` in [0, 1], labels and notes."""
    with np.load(_FILE, allow_pickle=False) as arrays:
        pixels, classes = arrays["pixels"], arrays["classes"].astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(pixels))
    chosen = order[:TRAIN] if split == "train" else order[TRAIN:]
    note = f"{split}: {len(chosen)} of {len(pixels)} by a permutation of seed {SEED}, pixels divided by 16"
    return Raw((pixels[chosen] / 16).astype(np.float32), classes[chosen], (note,), "exact", CLASSES)
