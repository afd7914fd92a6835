"""Steps one by one: every step is there, and shares are of the peak that bounds it."""

from lowbit.bench import per_layer, random_sample
from lowbit.engine import Program
from lowbit.zoo import binary_graph, network


def test_every_step_has_its_time_and_its_share():
    program = Program(binary_graph(network("cnv")))
    result = per_layer(program, random_sample(program.input_shape, 1))
    units = [layer.step.unit for layer in result.layers]
    assert units[2] == "dot" and units.count("popcount") == 8
    assert abs(sum(layer.part for layer in result.layers) - 1) < 1e-9
    assert result.share > 0
    for layer in result.layers:
        assert layer.step.seconds > 0
        assert (layer.share is None) == (layer.step.unit not in result.peaks)
        assert layer.share is None or layer.share < 1.5


def test_work_counts_the_taps_inside_the_map():
    program = Program(binary_graph(network("vgg16")))
    (conv2,) = [
        s for s in program.profile(random_sample(program.input_shape, 1), 1) if s.value == "conv2.out"
    ]
    assert conv2.work == (3 * 32 - 2) ** 2 * 64 * 64
