"""Small networks in Keras, trained for a few steps on made-up classes, as TFLite in five forms and as ONNX.

Needs tensorflow and keras (and tf2onnx for ONNX), but not lowbit; what is there already stays.

usage: python -m tests.corpus.keras_networks FOLDER
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L  # noqa: N812 (as its users write)

FORMS = ("float", "fp16", "dynamic", "int8", "int8io")


def cnn() -> Any:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            L.Conv2D(8, 3, padding="same", activation="relu"),
            L.MaxPool2D(),
            L.Conv2D(16, 3, activation="relu"),
            L.BatchNormalization(),
            L.AveragePooling2D(2),
            L.Flatten(),
            L.Dense(32, activation="relu"),
            L.Dropout(0.2),
            L.Dense(10, activation="softmax"),
        ]
    )


def dscnn() -> Any:
    x = ends = keras.Input((49, 10, 1))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, (10, 4), 2, padding="same", use_bias=False)(x)))
    for _ in range(2):
        x = L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", use_bias=False)(x))
        x = L.Conv2D(16, 1, padding="same", use_bias=False)(L.ReLU(6.0)(x))
        x = L.ReLU()(L.BatchNormalization()(x))
    x = L.AveragePooling2D((int(x.shape[1]), int(x.shape[2])))(L.Dropout(0.4)(x))
    return keras.Model(ends, L.Dense(12, activation="softmax")(L.Flatten()(x)))


def resnet() -> Any:
    def block(x: Any, width: int, stride: int) -> Any:
        y = L.ReLU()(L.BatchNormalization()(L.Conv2D(width, 3, stride, padding="same")(x)))
        y = L.BatchNormalization()(L.Conv2D(width, 3, padding="same")(y))
        if stride > 1:
            x = L.Conv2D(width, 1, stride, padding="same")(x)
        return L.ReLU()(L.Add()([x, y]))

    x = ends = keras.Input((32, 32, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, padding="same")(x)))
    x = block(block(block(x, 16, 1), 32, 2), 64, 2)
    return keras.Model(ends, L.Dense(10, activation="softmax")(L.GlobalAveragePooling2D()(x)))


def conv1d() -> Any:
    x = ends = keras.Input((128, 9))
    x = L.MaxPooling1D(2)(L.Conv1D(16, 5, activation="relu")(x))
    x = L.Conv1D(24, 3, padding="same", activation="relu")(x)
    x = L.GlobalAveragePooling1D()(L.Conv1D(24, 3, strides=2, activation="relu")(x))
    return keras.Model(ends, L.Dense(6, activation="softmax")(x))


def conv1dflat() -> Any:
    x = ends = keras.Input((64, 3))
    x = L.AveragePooling1D(2)(L.Conv1D(8, 5, padding="same", activation="elu")(x))
    x = L.LeakyReLU()(L.Conv1D(8, 3, dilation_rate=2, padding="causal")(x))
    return keras.Model(ends, L.Dense(6)(L.Flatten()(x)))


def mlp() -> Any:
    hidden = [L.Dense(32, activation="relu"), L.BatchNormalization(), L.Dense(16, activation="tanh")]
    return keras.Sequential([keras.Input((20,)), *hidden, L.Dense(5, activation="softmax")])


def mobile() -> Any:
    def block(x: Any, wide: int, width: int, stride: int) -> Any:
        y = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(x.shape[-1] * wide, 1, use_bias=False)(x)))
        if stride > 1:
            y = L.ZeroPadding2D(((0, 1), (0, 1)))(y)
        kind = "same" if stride == 1 else "valid"
        y = L.BatchNormalization()(L.DepthwiseConv2D(3, stride, padding=kind, use_bias=False)(y))
        gate = L.Conv2D(8, 1, activation="relu")(L.GlobalAveragePooling2D(keepdims=True)(y))
        y = L.Multiply()([y, L.Conv2D(y.shape[-1], 1, activation="hard_sigmoid")(gate)])
        y = L.BatchNormalization()(L.Conv2D(width, 1, use_bias=False)(L.Activation("hard_silu")(y)))
        return L.Add()([x, y]) if stride == 1 and x.shape[-1] == width else y

    x = ends = keras.Input((32, 32, 3))
    x = L.ZeroPadding2D()(L.Rescaling(2.0, offset=-1.0)(x))
    x = L.BatchNormalization()(L.Conv2D(8, 3, 2, use_bias=False)(x))
    x = block(block(block(L.PReLU(shared_axes=[1, 2])(x), 4, 8, 1), 4, 16, 2), 4, 16, 1)
    return keras.Model(ends, L.Dense(10)(L.GlobalMaxPooling2D()(L.Conv2D(32, 1, activation="swish")(x))))


def dense_concat() -> Any:
    x = ends = keras.Input((16, 16, 3))
    first = L.Conv2D(8, 3, padding="same", activation="relu")(x)
    second = L.Conv2D(8, 5, padding="same", activation="sigmoid")(x)
    x = L.Concatenate()([first, second, L.MaxPool2D(3, 1, padding="same")(x)])
    x = L.AveragePooling2D(3, 2, padding="same")(L.Conv2D(8, 3, 2, padding="same", activation="tanh")(x))
    return keras.Model(ends, L.Dense(7, activation="softmax")(L.ReLU()(L.Dense(16)(L.Flatten()(x)))))


NETWORKS = {
    make.__name__: make for make in (cnn, dscnn, resnet, conv1d, conv1dflat, mlp, mobile, dense_concat)
}


def trained(network: Any, random: np.random.Generator) -> Any:
    """Train a network a little, so that its classes differ; return the samples."""
    for layer in network.layers:
        if isinstance(layer, L.BatchNormalization):
            count = layer.gamma.shape[0]
            spread = [random.uniform(0.5, 1.5, count), random.normal(size=count) * 0.2]
            layer.set_weights([*spread, random.normal(size=count) * 0.2, random.uniform(0.5, 1.5, count)])
    shape, classes = network.input_shape[1:], network.output_shape[-1]
    seen = (512, *shape)
    samples = random.uniform(0, 1, seen) if len(shape) > 1 else random.normal(size=seen)
    patterns, labels = random.normal(size=(classes, *shape)), random.integers(0, classes, 512)
    samples = (samples * 0.6 + 0.4 * (patterns[labels] > 0)).astype(np.float32)
    shares = getattr(network.layers[-1], "activation", None) is keras.activations.softmax
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=not shares))
    network.fit(samples, labels, epochs=4, batch_size=32, verbose=0)
    return samples


def converted(network: Any, form: str, samples: Any) -> bytes:
    """Return the ``.tflite`` of a network: float, float16, dynamic range, int8, or int8 with integer ends."""
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if form != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if form.startswith("int8"):

        def some() -> Iterator[list[Any]]:
            return ([sample[None]] for sample in samples[:100])

        converter.representative_dataset = some
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if form == "int8io":
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def main() -> None:
    """Export what is missing."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    for name, make in NETWORKS.items():
        network = make()
        samples = trained(network, random)
        for form in FORMS:
            path = folder / f"{name}.{form}.tflite"
            if not path.exists():
                path.write_bytes(converted(network, form, samples))
        if not (folder / f"{name}.onnx").exists():
            network.export(str(folder / f"{name}.onnx"), format="onnx", verbose=False)


if __name__ == "__main__":
    main()
