"""ONNX's own backend tests: which of them apply to lowbit, and what becomes of each.

A case applies when all its operators are in `OPERATORS` and all its inputs and outputs are float32. Inputs
that ONNX calls tensors but that are parameters (`PARAMETERS`: a target shape, axes, pads) become constants
of the model, because a graph of ours is planned before it runs. A case that applies passes, or is refused
with a message that `REFUSED` names; there is no third way, and nothing is skipped.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from lowbit.engine import Program
from lowbit.errors import LowbitError
from lowbit.formats.onnx import from_proto
from lowbit.ir import evaluate
from lowbit.ir.graph import Array

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")

_OPERATORS = """
    Abs Add AveragePool BatchNormalization Clip Concat Constant ConstantOfShape Conv Div Dropout Elu Exp
    Flatten Gemm GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity LRN LeakyRelu Log
    LogSoftmax MatMul MaxPool Mish Mul PRelu Pad Relu Reshape Sigmoid Sign Softmax Softplus Squeeze Sub Sum
    Tanh Transpose Unsqueeze
"""
OPERATORS = frozenset(_OPERATORS.split())

# Inputs that are parameters, by operator and position.
PARAMETERS = {
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "Dropout": (1, 2),
    "Pad": (1, 2, 3),
    "Reshape": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}

# Cases that apply and are refused: what the message says.
REFUSED: Mapping[str, str] = {
    "test_batchnorm_epsilon_training_mode": "training mode",
    "test_batchnorm_example_training_mode": "training mode",
    "test_reshape_allowzero_reordered": "a zero in the shape",
    "test_training_dropout": "training mode",
    "test_training_dropout_default": "training mode",
    "test_training_dropout_zero_ratio": "training mode",
}


# Networks that onnx ships and that the engine runs, too, up to their softmax.
NETWORKS_ON_ENGINE = ("densenet121", "inception_v2", "resnet50", "shufflenet", "squeezenet")


@dataclass(frozen=True)
class Case:
    """One case: a model with its parameters inside, and arrays by name."""

    name: str
    kind: str
    model: onnx.ModelProto
    data: tuple[tuple[Mapping[str, Array], Mapping[str, Array]], ...]
    rtol: float
    atol: float

    @property
    def operators(self) -> frozenset[str]:
        """The operators of its model."""
        return frozenset(node.op_type for node in self.model.graph.node)


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: which one.
        refusal: the message with which the reader refused it.
        failure: where the reference or the engine differs from what ONNX expects.
        on_engine: whether the engine ran it too.
    """

    case: Case
    refusal: str = ""
    failure: str = ""
    on_engine: bool = False

    @property
    def passed(self) -> bool:
        """Whether it ran and all outputs are as expected."""
        return not self.refusal and not self.failure


@cache
def cases() -> tuple[Case, ...]:
    """Return the cases that apply, in order of kind and name; they are generated in memory."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():  # ONNX's generators divide by zero and the like
        warnings.simplefilter("ignore")
        found = [test for kind in KINDS for test in sorted(load_model_tests(kind=kind), key=lambda t: t.name)]
        return tuple(case for test in found if (case := _case(test)) is not None)


@cache
def outcomes() -> Mapping[str, Outcome]:
    """Return what becomes of every case, by its name."""
    return {case.name: _outcome(case) for case in cases()}


def _outcome(case: Case) -> Outcome:
    try:
        graph = from_proto(case.model, case.name)
    except LowbitError as error:
        return Outcome(case, refusal=str(error))
    try:
        for inputs, expected in case.data:
            _compare(case, expected, evaluate(graph, inputs))
        return Outcome(case, on_engine=_runs_on_engine(case))
    except AssertionError as error:
        return Outcome(case, failure=str(error))


def _runs_on_engine(case: Case) -> bool:
    """Run a case on the engine, if the engine plans its graph; inputs but the first are constants there."""
    for inputs, expected in case.data:
        first = next(iter(inputs), "")
        model = _with_constants(case.model, {name: inputs[name] for name in inputs if name != first})
        try:
            program = Program(from_proto(model, case.name))
        except LowbitError:
            return False
        samples = np.ascontiguousarray(inputs[first])
        _compare(case, expected, dict(zip(expected, [program.run(samples)], strict=True)), atol=1e-6)
    return True


def _compare(
    case: Case, expected: Mapping[str, Array], found: Mapping[str, Array], atol: float | None = None
) -> None:
    """Compare all outputs of a case: names, types, shapes, then values."""
    atol = case.atol if atol is None else atol
    assert set(found) == set(expected), case.name
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), f"{case.name}: {name}"
        np.testing.assert_allclose(found[name], array, case.rtol, atol, err_msg=f"{case.name}: {name}")


def _case(test: object) -> Case | None:
    model, sets = _loaded(test)
    if model is None or any(node.domain for node in model.graph.node):
        return None
    if not {node.op_type for node in model.graph.node} <= OPERATORS:
        return None
    names = [info.name for info in model.graph.input]
    parameters = _parameters(model)
    data = []
    for inputs, outputs in sets:
        if not all(isinstance(array, np.ndarray | np.generic) for array in (*inputs, *outputs)):
            return None
        given = {name: np.asarray(array) for name, array in zip(names, inputs, strict=False)}
        model = _with_constants(model, {name: given.pop(name) for name in parameters & given.keys()})
        data.append((given, dict(zip((info.name for info in model.graph.output), outputs, strict=True))))
    if any(
        np.asarray(array).dtype != np.float32 for pair in data for part in pair for array in part.values()
    ):
        return None
    return Case(test.name, test.kind, model, tuple(data), test.rtol, test.atol)  # type: ignore[attr-defined]


def _with_constants(model: onnx.ModelProto, constants: Mapping[str, Array]) -> onnx.ModelProto:
    """Return a copy in which these inputs are constants."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    fixed.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return fixed


def _parameters(model: onnx.ModelProto) -> set[str]:
    places = ((node, at) for node in model.graph.node for at in PARAMETERS.get(node.op_type, ()))
    return {node.input[at] for node, at in places if at < len(node.input)}


def _loaded(test: object) -> tuple[onnx.ModelProto | None, list[tuple[list[Array], list[Array]]]]:
    """Return a case's model and data, from memory or from the files that onnx ships."""
    if test.model is not None:  # type: ignore[attr-defined]
        return test.model, test.data_sets  # type: ignore[attr-defined]
    folder = Path(test.model_dir)  # type: ignore[attr-defined]
    try:
        sets = [
            tuple(list(_tensors(one, kind)) for kind in ("input", "output"))
            for one in folder.glob("test_data*")
        ]
    except Exception:  # a sequence or an optional: no tensor
        return None, []
    return onnx.load(folder / "model.onnx"), sets  # type: ignore[return-value]


def _tensors(folder: Path, kind: str) -> Iterator[Array]:
    for index in range(len(list(folder.glob(f"{kind}_*.pb")))):
        yield numpy_helper.to_array(onnx.TensorProto.FromString((folder / f"{kind}_{index}.pb").read_bytes()))
