"""ONNX's own backend tests: which of them apply to lowbit, and what becomes of each.

A case applies when all its operators are in `OPERATORS` and all its inputs and outputs are of `TYPES`. Inputs
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
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization
    Cast CastLike CausalConvWithState Ceil Celu CenterCropPad Clip Concat Constant ConstantOfShape Conv
    ConvTranspose Cos Cosh CumSum DepthToSpace Div Dropout Elu Equal Erf Exp Expand Flatten Floor GRU
    Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual
    GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LSTM
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max
    MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NegativeLogLikelihoodLoss Not Or PRelu
    Pad Pow RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
    RotaryEmbedding Round Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size
    Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum
    SwiGLU Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
"""
OPERATORS = frozenset(_OPERATORS.split())

# Inputs that are parameters, by operator and position.
PARAMETERS = {
    "CenterCropPad": (1,),
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Dropout": (1, 2),
    "Expand": (1,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    **dict.fromkeys([name for name in OPERATORS if name.startswith("Reduce")], (1,)),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}

TYPES = ("float32", "int64", "int32", "bool")
"""Of inputs and outputs of the cases that apply."""

# Cases that apply and are refused: a beginning of their names, and what the message says.
REFUSED: Mapping[str, str] = {
    "test_batchnorm_": "training mode",
    "test_blackmanwindow": "a constant is needed here",  # the length of a window is an input
    "test_center_crop_pad_": "known before the network runs|a constant is needed",
    "test_hammingwindow": "a constant is needed here",
    "test_hannwindow": "a constant is needed here",
    "test_isinf": "a sample holds NaN",
    "test_isnan": "a sample holds NaN",
    "test_maxpool_with_argmax": "more outputs than one",
    "test_mod_float_edge_cases": "a sample holds NaN",
    "test_not_": "opset 1",
    "test_reshape_allowzero_reordered": "a zero in the shape",
    "test_resize_tf_crop_and_resize": "coordinate_transformation_mode",
    "test_training_dropout": "training mode",
}


# What the engine refuses of cases that pass on the reference: what its message says, and how many there are.
REFUSED_BY_ENGINE: Mapping[str, int] = {
    "the engine does not run an output that is a constant": 31,
    "the engine does not run open or empty lengths": 8,  # inputs without elements
    "the engine does not run a convolution over anything but two axes": 7,  # three axes
    "the engine does not run a convolution by a computed value": 3,
    "the engine reads a constant only where it expects one": 2,  # the mask of a Dropout
}


def reason(name: str) -> str | None:
    """Return what the refusal of a case says, or None where it is not to be refused."""
    return next((text for start, text in REFUSED.items() if name.startswith(start)), None)


# Networks that onnx ships and that the engine runs, too, up to their softmax.
NETWORKS_ON_ENGINE = ("densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet")


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
        engine_refusal: why the engine does not run what the reference does.
    """

    case: Case
    refusal: str = ""
    failure: str = ""
    engine_refusal: str = ""

    @property
    def passed(self) -> bool:
        """Whether it ran and all outputs are as expected."""
        return not self.refusal and not self.failure

    @property
    def on_engine(self) -> bool:
        """Whether the engine ran it too."""
        return self.passed and not self.engine_refusal


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
    before = case.model.SerializeToString(deterministic=True)
    try:
        graph = from_proto(case.model, case.name)
    except LowbitError as error:
        return Outcome(case, refusal=str(error))
    if case.model.SerializeToString(deterministic=True) != before:
        return Outcome(case, failure=f"{case.name}: reading changes the caller's model")
    try:
        for inputs, expected in case.data:
            _compare(case, expected, evaluate(graph, inputs))
        return Outcome(case, engine_refusal=_refused_by_engine(case))
    except LowbitError as error:
        return Outcome(case, refusal=str(error))
    except AssertionError as error:
        return Outcome(case, failure=str(error))


def _refused_by_engine(case: Case) -> str:
    """Run a case on the engine; return why it does not, or "".

    All inputs are given, and where that is refused, those but the first are constants: weights are inputs in
    ONNX's cases, and never in networks.
    """
    reason = ""
    for several in (True, False):
        try:
            for inputs, expected in case.data:
                names = list(inputs) if several else list(inputs)[:1]
                rest = {name: inputs[name] for name in inputs if name not in names}
                program = Program(from_proto(_with_constants(case.model, rest), case.name))
                given = program.run(*(np.require(inputs[name], None, "C") for name in names))
                outputs = given if isinstance(given, tuple) else (given,)
                _compare(case, expected, dict(zip(expected, outputs, strict=True)), atol=1e-6)
        except LowbitError as error:
            reason = reason or error.message
        else:
            return ""
    return reason


def _compare(
    case: Case, expected: Mapping[str, Array], found: Mapping[str, Array], atol: float | None = None
) -> None:
    """Compare all outputs of a case: names, types, shapes, then values."""
    atol = case.atol if atol is None else atol
    assert set(found) == set(expected), case.name
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), f"{case.name}: {name}"
        # An infinity in a constant, as of a mask, is the largest float32.
        near = np.nan_to_num(found[name], nan=np.nan), np.nan_to_num(array, nan=np.nan)
        np.testing.assert_allclose(*near, case.rtol, atol, err_msg=f"{case.name}: {name}")


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
        np.asarray(array).dtype.name not in TYPES for pair in data for part in pair for array in part.values()
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
