"""The handwritten digits that scikit-learn carries: 1,797 pictures of 8x8, ten classes.

Pixels are counts from 0 to 16 and are divided by 16. The data have no split of their own; ours is the
first 1,297 and the last 500 of a permutation with a fixed seed, so it is the same everywhere.
"""

import numpy as np

from lowbit.data.dataset import Raw
from lowbit.errors import MissingExtra

TRAIN = 1297
SEED = 0
CLASSES = tuple("0123456789")


def read_digits(split: str) -> Raw:
    """Return samples ``[n, 64]`` in [0, 1], labels and notes.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingExtra("scikit-learn", "data") from error
    pixels, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(pixels))
    chosen = order[:TRAIN] if split == "train" else order[TRAIN:]
    note = f"{split}: {len(chosen)} of {len(pixels)} by a permutation of seed {SEED}, pixels divided by 16"
    return Raw((pixels[chosen] / 16).astype(np.float32), classes[chosen], (note,), "exact", CLASSES)
