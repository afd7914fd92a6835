"""How the files of the digits in the package were made; needs scikit-learn.

    python recipes/zoo_digits.py

Writes the pictures (`src/lowbit/data/digits.npz`) and the weights of the zoo's network of that name,
64-128-10, trained on the training split alone (`src/lowbit/zoo/digits.npz`).
"""

import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import lowbit
from lowbit.data import load
from lowbit.zoo import trained

PACKAGE = Path(lowbit.__file__).parent
HIDDEN = 128


def main() -> None:
    pixels, classes = load_digits(return_X_y=True)
    np.savez_compressed(PACKAGE / "data/digits.npz", pixels=np.uint8(pixels), classes=np.uint8(classes))
    train = load("digits", split="train")
    model = MLPClassifier((HIDDEN,), alpha=1e-3, max_iter=100, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 100 epochs are enough; it would rather go on
        model.fit(train.samples, train.labels)
    weights = {}
    for index, (matrix, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True), 1):
        weights |= {f"fc{index}.weight": np.float32(matrix.T), f"fc{index}.bias": np.float32(bias)}
    np.savez_compressed(PACKAGE / "zoo/digits.npz", **weights)
    print(lowbit.evaluate(trained("digits"), "digits"))


if __name__ == "__main__":
    main()
