"""Steps one by one, with shares of the peak that bounds them; and the peer that we write ourselves."""

import numpy as np
import pytest

from lowbit.backends.litert import interpreter as interpreter_of
from lowbit.bench import per_layer, random_inputs
from lowbit.bench.litert_int8 import chain, int8_tflite
from lowbit.engine import Program
from lowbit.ir import evaluate
from lowbit.zoo import binary_graph, float_graph, network


def test_every_step_has_its_time_and_its_share():
    program = Program(binary_graph(network("cnv")))
    result = per_layer(program, *random_inputs(program, 1))
    units = [layer.step.unit for layer in result.layers]
    assert units[2] == "dot" and units.count("popcount") == 8
    assert abs(sum(layer.part for layer in result.layers) - 1) < 1e-9
    assert result.share > 0
    for layer in result.layers:
        assert layer.step.seconds > 0
        assert (layer.share is None) == (layer.step.unit not in result.peaks)
        assert layer.share is None or layer.share < 3  # in pairs, one popcount for two words


def test_work_counts_the_taps_inside_the_map():
    program = Program(binary_graph(network("vgg16")))
    (conv2,) = [s for s in program.profile(*random_inputs(program, 1), repeats=1) if s.value == "conv2.out"]
    assert conv2.work == (3 * 32 - 2) ** 2 * 64 * 64


def test_the_int8_peer_of_a_convolutional_network_agrees_with_it():
    pytest.importorskip("ai_edge_litert.interpreter")
    graph = float_graph(network("vgg-fashion"))
    x = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
    content = int8_tflite(chain(graph), x)
    session = interpreter_of(content)
    session.allocate_tensors()
    session.set_tensor(session.get_input_details()[0]["index"], x[:1])
    session.invoke()
    found = session.get_tensor(session.get_output_details()[0]["index"])
    expected = evaluate(graph, {graph.inputs[0]: x[:1].transpose(0, 3, 1, 2)})[graph.outputs[0]]
    assert np.abs(found - expected).max() < 0.1 * np.ptp(expected)
