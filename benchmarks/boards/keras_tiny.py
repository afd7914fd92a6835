"""Networks like those of MLPerf Tiny as Keras models, in float and int8 `.tflite`.

DS-CNN, ResNet-8 and MobileNetV1-0.25 have the weights of `results/networks`; the autoencoder is trained here.
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


def mobilenet_v1_025(weights: Iterator[list[Any]]) -> Any:
    """Return MobileNetV1-0.25 for 32×32 colour pictures."""
    x = ends = keras.Input((32, 32, 3), batch_size=1)
    x = _conv(x, weights, 8, 3, 1)
    widths = (16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256)
    for number, width in enumerate(widths):
        stride = 2 if number in (1, 3, 5, 11) else 1
        x = _depthwise(L.ZeroPadding2D(1)(x) if stride == 2 else x, weights, stride)
        x = _conv(x, weights, width, 1, 1)
    return keras.Model(ends, _classes(x, weights, 10))


def autoencoder(samples: Any) -> Any:
    """Return the autoencoder of MLPerf Tiny for 640 features, trained to give what it gets."""
    keras.utils.set_random_seed(0)
    x = ends = keras.Input((640,), batch_size=1)
    for width in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = L.Dense(width, activation="relu")(x)
    model = keras.Model(ends, L.Dense(640)(x))
    trained = keras.Model(model.inputs, model.outputs)
    trained.compile("adam", "mse")
    trained.fit(tf.data.Dataset.from_tensor_slices((samples, samples)).batch(1), epochs=2, verbose=0)
    return model


def _conv(
    x: Any, weights: Iterator[list[Any]], width: int, kernel: Any, stride: int, padding: str = "", **more: Any
) -> Any:
    padding = padding or ("valid" if stride == 2 else "same")
    layer = L.Conv2D(width, kernel, stride, padding=padding, **{"activation": "relu", **more})
    y = layer(x)
    weight, bias = next(weights)
    layer.set_weights([weight.transpose(2, 3, 1, 0), bias])
    return y


def _depthwise(x: Any, weights: Iterator[list[Any]], stride: int = 1) -> Any:
    layer = L.DepthwiseConv2D(3, stride, padding="valid" if stride == 2 else "same", activation="relu")
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
    if source.stem == "autoencoder":
        samples = data["calibrate"]
        model = autoencoder(samples)
    else:
        layers = sum(name.startswith("w") for name in data.files)
        pairs = iter([data[f"w{index}"], data[f"b{index}"]] for index in range(layers))
        model = {each.__name__: each for each in (ds_cnn, resnet8, mobilenet_v1_025)}[source.stem](pairs)
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
