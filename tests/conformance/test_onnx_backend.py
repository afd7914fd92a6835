"""ONNX's own backend tests: a counted number passes, the others are refused as listed.

The stock runner counts a skipped case as passed, so cases are counted here, by a rule (`onnx_backend`).
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lowbit.backends.onnxruntime import session
from lowbit.engine import Program
from lowbit.errors import EngineError
from lowbit.formats.onnx import from_proto
from lowbit.formats.onnx import read as read_onnx
from lowbit.ir import Graph, evaluate
from tests.conformance.onnx_backend import NETWORKS_ON_ENGINE, REFUSED, REFUSED_BY_ENGINE, outcomes, reason
from tests.conformance.onnx_table import table

PASSED = {"1.23.2": {"node": 1155, "simple": 7, "pytorch-converted": 82, "pytorch-operator": 30}}

ROOT = Path(__file__).parent.parent.parent
LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
NETWORKS = sorted(path.stem.removeprefix("light_") for path in LIGHT.glob("*.onnx"))
HUGE = {"bvlc_alexnet", "vgg19", "zfnet512"}  # hundreds of megabytes of random weights would prove no more
SEED = 20  # of the random weights


def test_nothing_fails() -> None:
    assert [one.failure for one in outcomes().values() if one.failure] == []


def test_the_count_of_passed_cases() -> None:
    if onnx.__version__ not in PASSED:
        pytest.skip(f"counted for onnx {', '.join(PASSED)}, not {onnx.__version__}")
    assert Counter(one.case.kind for one in outcomes().values() if one.passed) == PASSED[onnx.__version__]


def test_what_is_refused_is_listed_with_its_reason() -> None:
    refusals = {name: one.refusal for name, one in outcomes().items() if one.refusal}
    assert [name for name, text in refusals.items() if not re.search(reason(name) or "$^", text)] == []
    assert [start for start in REFUSED if not any(name.startswith(start) for name in refusals)] == []


def test_what_the_engine_refuses_is_counted() -> None:
    if onnx.__version__ not in PASSED:
        pytest.skip(f"counted for onnx {', '.join(PASSED)}, not {onnx.__version__}")
    refused = Counter(one.engine_refusal for one in outcomes().values() if one.passed and not one.on_engine)
    assert dict(refused) == REFUSED_BY_ENGINE


def test_the_documentation_says_what_runs() -> None:
    if onnx.__version__ not in PASSED:
        pytest.skip(f"documented for onnx {', '.join(PASSED)}, not {onnx.__version__}")
    documented = (ROOT / "docs/onnx-operators.md").read_text()
    assert documented == table(), "run scripts/onnx-operators"


def test_nine_networks_are_there() -> None:
    assert len(NETWORKS) == 9


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_onnx_ships(name: str) -> None:
    """Weights are one number per tensor there, made by ConstantOfShape; the input is onnx's own ramp."""
    graph = read_onnx(LIGHT / f"light_{name}.onnx")
    found = evaluate(graph, {graph.inputs[0]: _ramp()})[graph.outputs[0]]
    expected = onnx.TensorProto.FromString((LIGHT / f"light_{name}_output_0.pb").read_bytes())
    np.testing.assert_allclose(found, numpy_helper.to_array(expected), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - HUGE))
def test_networks_with_random_weights(name: str) -> None:
    """The numbers before the softmax, against ONNX Runtime; then the engine, where it plans the network."""
    pytest.importorskip("onnxruntime")
    model = _without_softmax(_with_random_weights(onnx.load(LIGHT / f"light_{name}.onnx")))
    graph = from_proto(model)
    x = np.random.default_rng(SEED).normal(size=(1, 3, 224, 224)).astype(np.float32)
    (expected,) = session(model).run(None, {graph.inputs[0]: x})
    size = np.abs(expected).max()
    assert np.unique(expected).size > 500, "outputs that do not differ prove nothing"
    found = evaluate(graph, {graph.inputs[0]: x})[graph.outputs[0]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * size)
    program = _planned(graph)
    assert (program is not None) == (name in NETWORKS_ON_ENGINE)
    if program is not None:
        np.testing.assert_allclose(program.run(x), found, rtol=0, atol=1e-5 * size)


def _planned(graph: Graph) -> Program | None:
    try:
        return Program(graph)
    except EngineError:
        return None


def _ramp() -> np.ndarray:
    size = 3 * 224 * 224
    return (np.arange(size, dtype=np.float32) / size).reshape(1, 3, 224, 224)


def _with_random_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put random numbers in the place of every ConstantOfShape, of a size that keeps signals alive."""
    random = np.random.default_rng(SEED)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape":
            shape = tuple(int(length) for length in shapes[node.input[0]])
            if len(shape) > 1:
                array = random.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
            else:
                array = random.uniform(0.5, 1.5, shape)  # variances must be positive
            model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), node.output[0]))
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def _without_softmax(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model up to its softmax, which hides most of what a network computes."""
    last = model.graph.node[-1]
    if last.op_type == "Softmax":
        name = last.input[0]
        del model.graph.node[-1], model.graph.output[:]
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return model
