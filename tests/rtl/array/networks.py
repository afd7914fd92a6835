"""Small binary networks for tests of the array engine, and what the reference says of pictures."""

import numpy as np
import numpy.typing as npt

from lowbit.api import quantize
from lowbit.ir import Graph
from lowbit.quantization import Plan
from lowbit.rtl.array.from_graph import from_graph, picture_shape
from lowbit.rtl.array.network import ArrayNetwork
from lowbit.rtl.pictures import reference_scores
from lowbit.rtl.report import Bench
from lowbit.zoo.architecture import (
    Activation,
    Architecture,
    BatchNormalization,
    Convolution,
    Flatten,
    Layer,
    Linear,
    Pool,
)
from lowbit.zoo.binary_graph import binary_graph
from lowbit.zoo.float_graph import float_graph


def conv(channels: int, kernel: int = 3, stride: int = 1, padding: int = 0) -> tuple[Layer, ...]:
    return (Convolution(channels, kernel, stride, padding), BatchNormalization(), Activation())


def dense(features: int) -> tuple[Layer, ...]:
    return (Linear(features, bias=False), BatchNormalization(), Activation())


def perceptron(inputs: int, *hidden: int, classes: int = 3, seed: int = 0) -> Graph:
    """Return a binary perceptron."""
    layers = sum(map(dense, hidden), ())
    return binary_graph(Architecture("mlp", (inputs,), (*layers, Linear(classes)), ""), seed=seed)


def convolutional(shape: tuple[int, int, int], *layers: Layer, classes: int = 3, seed: int = 0) -> Graph:
    """Return binary layers and a classifier."""
    parts = (*layers, Flatten(), Linear(classes))
    return binary_graph(Architecture("conv", shape, parts, ""), seed=seed)


def small(seed: int = 0) -> Graph:
    """Return two convolutions, one with padding, a pool, and two fully connected layers."""
    layers = (*conv(4, padding=1), *conv(6), Pool(), Flatten(), *dense(5))
    parts = (*layers, Linear(3))
    return binary_graph(Architecture("small", (3, 8, 7), parts, ""), seed=seed)


def quantized(plan: Plan, seed: int = 0) -> Graph:
    """Return two convolutions, one with padding, a pool, and two fully connected layers, at a few bits."""
    layers = (*conv(3, padding=1), *conv(4), Pool(), Flatten(), Linear(5), Activation(), Linear(3))
    graph = float_graph(Architecture("quantized", (2, 6, 5), layers, ""), seed=seed)
    samples = np.random.default_rng(seed).random((64, 2, 6, 5)).astype(np.float32)
    return quantize(graph, samples, plan=plan)[0]


def random_pictures(graph: Graph, count: int, seed: int = 1) -> npt.NDArray[np.uint8]:
    """Return pictures of noise, the first all black and the second all white."""
    channels, rows, columns = picture_shape(graph)
    pictures = np.random.default_rng(seed).integers(0, 256, (count, rows, columns, channels)).astype(np.uint8)
    pictures[0], pictures[1 % count] = 0, 255
    return pictures


def network_and_bench(graph: Graph, count: int) -> tuple[ArrayNetwork, Bench]:
    """Return the integers of a graph, and pictures with their scores by the reference evaluator."""
    pictures = random_pictures(graph, count)
    return from_graph(graph, None), Bench(pictures, reference_scores(graph, pictures, None))
