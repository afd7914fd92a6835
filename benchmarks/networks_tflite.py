"""The networks of `networks.py` as int8 ``.tflite`` files of Keras, for LiteRT; needs no lowbit.

    python benchmarks/networks_tflite.py DIR

Writes ``DIR/NAME.int8.tflite``: random weights, ranges from random pictures, float32 in and out as every
contender has. Needs TensorFlow.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow
from keras import layers

Tensor = Any
SAMPLES = 4


def normed(x: Tensor, outputs: int, kernel: int | tuple[int, int], stride: int = 1) -> Tensor:
    x = layers.Conv2D(outputs, kernel, strides=stride, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def separable(x: Tensor, outputs: int, stride: int = 1) -> Tensor:
    x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x)
    return normed(layers.ReLU()(layers.BatchNormalization()(x)), outputs, 1)


def classified(first: Tensor, x: Tensor, classes: int) -> keras.Model:
    return keras.Model(first, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


def ds_cnn() -> keras.Model:
    first = keras.Input((49, 10, 1))
    x = normed(first, 64, (10, 4), 2)
    for _ in range(4):
        x = separable(x, 64)
    return classified(first, x, 12)


def block(x: Tensor, channels: int, stride: int) -> Tensor:
    y = layers.Conv2D(channels, 3, padding="same", use_bias=False)(normed(x, channels, 3, stride))
    y = layers.BatchNormalization()(y)
    if stride != 1 or x.shape[-1] != channels:
        x = layers.Conv2D(channels, 1, strides=stride, use_bias=False)(x)
        x = layers.BatchNormalization()(x)
    return layers.ReLU()(layers.Add()([x, y]))


def resnet8() -> keras.Model:
    first = keras.Input((32, 32, 3))
    x = normed(first, 16, 3)
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        x = block(x, channels, stride)
    return classified(first, x, 10)


def resnet18() -> keras.Model:
    first = keras.Input((224, 224, 3))
    x = layers.MaxPooling2D(3, 2, padding="same")(normed(first, 64, 7, 2))
    for channels in (64, 128, 256, 512):
        x = block(block(x, channels, 1 if channels == 64 else 2), channels, 1)
    return classified(first, x, 1000)


def mobilenet_v1_025() -> keras.Model:
    first = keras.Input((96, 96, 3))
    x = separable(normed(first, 8, 3, 2), 16)
    for outputs, stride in (
        (32, 2),
        (32, 1),
        (64, 2),
        (64, 1),
        (128, 2),
        *((128, 1),) * 5,
        (256, 2),
        (256, 1),
    ):
        x = separable(x, outputs, stride)
    return classified(first, x, 2)


def mobilenet_v2() -> keras.Model:
    return keras.applications.MobileNetV2((224, 224, 3), weights=None)


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    make.__name__: make for make in (mobilenet_v2, mobilenet_v1_025, ds_cnn, resnet18, resnet8)
}


def main() -> int:
    """Write every file."""
    for name, make in NETWORKS.items():
        keras.utils.set_random_seed(0)
        converter = tensorflow.lite.TFLiteConverter.from_keras_model(model := make())
        random = np.random.default_rng(0)

        def samples(
            shape: tuple[int, ...] = model.input_shape[1:], random: Any = random
        ) -> Iterator[list[Any]]:
            for _ in range(SAMPLES):
                yield [random.random((1, *shape), np.float32)]

        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        (Path(sys.argv[1]) / f"{name}.int8.tflite").write_bytes(converter.convert())
    return 0


if __name__ == "__main__":
    sys.exit(main())
