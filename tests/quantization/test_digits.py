"""Real data: the digits of scikit-learn, a tanh MLP, and accuracy that must stay."""

import warnings

import numpy as np
import pytest

from lowbit.ir import Graph, Node, Value, evaluate, infer
from lowbit.quantization import Plan, quantize

sklearn = pytest.importorskip("sklearn", reason="scikit-learn brings the digits")


@pytest.fixture(scope="module")
def digits():
    """Return the float network, training images, test images and test labels."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    model = MLPClassifier((128,), "tanh", max_iter=60, tol=0, n_iter_no_change=60, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops before it has converged, on purpose
        model.fit(images[:1200], labels[:1200])
    graph, source = Graph("digits", ("x",), ("p",)), "x"
    graph.add(Value("x", "float32", ("n", 64)))
    for index, (matrix, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True), 1):
        names = (graph.add_constant(f"w{index}", matrix.T), graph.add_constant(f"b{index}", bias))
        graph.nodes.append(Node("Gemm", (source, *names), (f"y{index}",), {"transB": 1}, f"fc{index}"))
        activation, source = (("Tanh", "h"), ("Softmax", "p"))[index - 1]
        graph.nodes.append(Node(activation, (f"y{index}",), (source,), {}, activation))
    infer(graph)
    return graph, images[:1200], images[1200:], labels[1200:]


def accuracy(graph, images, labels):
    return (evaluate(graph, {"x": images})["p"].argmax(1) == labels).mean()


@pytest.mark.parametrize(("bits", "loss"), [(4, 0.01), (3, 0.015), (2, 0.03), (1, 0.08)])
def test_learned_basis_keeps_accuracy(digits, bits, loss):
    graph, training, images, labels = digits
    low, _ = quantize(graph, training, Plan(weight_bits=bits, activation_bits=bits))
    assert accuracy(low, images, labels) >= accuracy(graph, images, labels) - loss


def test_the_published_method_collapses_at_one_bit_and_ours_does_not(digits):
    graph, training, images, labels = digits
    results = {}
    for method in ("plain", "restore"):
        low, _ = quantize(graph, training, Plan(weight_bits=1, activation_bits=1, method=method))
        results[method] = accuracy(low, images, labels)
    assert results["restore"] > results["plain"] + 0.1


@pytest.mark.parametrize(("bits", "loss"), [(8, 0.005), (4, 0.02)])
def test_affine_keeps_accuracy(digits, bits, loss):
    graph, training, images, labels = digits
    low, _ = quantize(graph, training, Plan(scheme="affine", weight_bits=bits, activation_bits=bits))
    assert accuracy(low, images, labels) >= accuracy(graph, images, labels) - loss
