"""The trained DS-CNN and ResNet-8 of `results/networks` as Keras models, in float and int8 `.tflite`.

Needs tensorflow and keras, but not lowbit: weights and samples come in a `.npz` of `tiny_data.py` beside it.

    python benchmarks/boards/keras_tiny.py NPZ FOLDER
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L  # noqa: N812 (as its users write)


def ds_cnn(weights: Iterator[list[Any]]) -> Any:
    """Return DS-CNN for 49×10 features: the key words of MLPerf Tiny."""
    x = ends = keras.Input((49, 10, 1), batch_size=1)
    x = _conv(L.ZeroPadding2D(((5, 5), (1, 1)))(x), weights, 64, (10, 4), 2)
    for _ in range(4):
        x = _depthwise(x, weights)
        x = _conv(x, weights, 64, 1, 1)
    return keras.Model(ends, _classes(x, weights, 12))


def resnet8(weights: Iterator[list[Any]]) -> Any:
    """Return ResNet-8 for 32×32 colour pictures."""
    x = ends = keras.Input((32, 32, 3), batch_size=1)
    x = _conv(x, weights, 16, 3, 1)
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        padded = L.ZeroPadding2D(1)(x) if stride == 2 else x
        y = _conv(padded, weights, width, 3, stride, "same" if stride == 1 else "valid")
        y = _conv(y, weights, width, 3, 1, activation=None)
        if stride == 2:
            x = _conv(x, weights, width, 1, 2, activation=None)
        x = L.ReLU()(L.Add()([y, x]))
    return keras.Model(ends, _classes(x, weights, 10))


def _conv(
    x: Any, weights: Iterator[list[Any]], width: int, kernel: Any, stride: int, padding: str = "", **more: Any
) -> Any:
    padding = padding or ("valid" if stride == 2 else "same")
    layer = L.Conv2D(width, kernel, stride, padding=padding, **{"activation": "relu", **more})
    y = layer(x)
    weight, bias = next(weights)
    layer.set_weights([weight.transpose(2, 3, 1, 0), bias])
    return y


def _depthwise(x: Any, weights: Iterator[list[Any]]) -> Any:
    layer = L.DepthwiseConv2D(3, padding="same", activation="relu")
    y = layer(x)
    weight, bias = next(weights)
    layer.set_weights([weight.transpose(2, 3, 0, 1), bias])
    return y


def _classes(x: Any, weights: Iterator[list[Any]], count: int) -> Any:
    layer = L.Dense(count)
    y = layer(L.GlobalAveragePooling2D()(x))
    weight, bias = next(weights)
    layer.set_weights([weight.T, bias])
    return y


def main() -> int:
    """Write ``NAME.float.tflite`` and ``NAME.int8.tflite``."""
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    data = np.load(source)
    pairs = iter([data[f"w{index}"], data[f"b{index}"]] for index in range(10))
    model = {"ds_cnn": ds_cnn, "resnet8": resnet8}[source.stem](pairs)
    samples = data["calibrate"].transpose(0, 2, 3, 1)
    found = model.predict(data["x"].transpose(0, 2, 3, 1), batch_size=1, verbose=0)
    sys.stdout.write(f"{source.stem} in Keras: {(found.argmax(1) == data['y']).mean():.2%}\n")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / f"{source.stem}.float.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([each[None]] for each in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / f"{source.stem}.int8.tflite").write_bytes(converter.convert())
    return 0


if __name__ == "__main__":
    sys.exit(main())
