"""Networks in memory: what other packages hold, by their own exporters.

    onnx.ModelProto, bytes of a file        read as files are
    torch.nn.Module, and an example input   torch.onnx.export with its default exporter, else the older one
    keras.Model                             model.export(format="onnx")

Nothing is imported to find out what an object is, and no package that it does not come with.
"""

import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.errors import LowbitError, UnsupportedError, UsageError
from lowbit.formats import read_bytes, read_model, read_onnx_model
from lowbit.ir import Graph


def graph_of(model: object, example: object = None) -> Graph:
    """Return the network of an object.

    Args:
        model: of a kind above.
        example: of a torch module: a tensor or array, or a sequence of them, with one sample or more.

    Raises:
        FileError: bytes that are no model.
        UnsupportedError: the exporter cannot, or the network uses something that lowbit does not have.
        UsageError: an object of another kind; a torch module without an example.
    """
    kinds = _kinds(model)
    if isinstance(model, bytes | bytearray | memoryview):
        return read_bytes(bytes(model))
    if "onnx.ModelProto" in kinds:
        return read_onnx_model(model)
    if "torch.Module" in kinds:
        return _of_torch(model, example)
    if kinds & {"keras.Model", "tensorflow.Model", "tf_keras.Model"}:
        return _of_keras(model, example)
    raise UsageError(
        "this is no network",
        where="read",
        expected="a path, bytes of a model, onnx.ModelProto, torch.nn.Module with example, or keras.Model",
        found=f"{type(model).__module__}.{type(model).__qualname__}",
        remedy="It is a network of lowbit already: use it as it is."
        if isinstance(model, Graph)
        else "Write the network to a file first: .onnx, .circle, .tflite or .txt.",
    )


def _kinds(model: object) -> set[str]:
    """Return the classes of an object, each with the package that it is of."""
    return {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(model).__mro__}


def _of_torch(module: Any, example: object) -> Graph:
    torch = sys.modules["torch"]
    inputs = _tensors(torch, example)
    was_training = module.training
    module.eval()
    try:
        with tempfile.TemporaryDirectory(prefix="lowbit") as folder:
            path = Path(folder) / "network.onnx"
            _export(torch, module, inputs, path)
            return read_model(path)
    except LowbitError:
        raise
    except Exception as error:  # exporters raise anything
        raise _not_exported("torch.onnx.export", error) from error
    finally:
        module.train(was_training)


def _tensors(torch: Any, example: object) -> tuple[Any, ...]:
    """Return the example inputs, one sample of each: the batch of such a file is opened when it is read."""
    if example is None:
        raise UsageError(
            "a torch module needs an example of its input",
            where="read",
            expected="read(module, example=x), x a tensor or array [1, …], or several in a tuple",
            found="no example",
        )
    given = example if isinstance(example, tuple | list) else (example,)
    tensors = [each if torch.is_tensor(each) else torch.as_tensor(each) for each in given]
    return tuple(each[:1] if each.ndim > 1 else each for each in tensors)


def _export(torch: Any, module: Any, inputs: Sequence[Any], path: Path) -> None:
    """Write a module by the exporter that torch has: the default one needs the package onnxscript."""
    import warnings

    names = [f"x{number}" if number else "x" for number in range(len(inputs))]
    newer = importlib.util.find_spec("onnxscript") is not None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        options = {"dynamo": True, "verbose": False} if newer else {"dynamo": False, "opset_version": 17}
        torch.onnx.export(module, tuple(inputs), str(path), input_names=names, **options)


def _of_keras(model: Any, example: object) -> Graph:
    """Export a model; one that has never been called is, as its exporter asks for."""
    with tempfile.TemporaryDirectory(prefix="lowbit") as folder:
        path = Path(folder) / "network.onnx"
        try:
            model(_example(model) if example is None else example)
            model.export(str(path), format="onnx", verbose=False)
        except Exception as error:  # exporters raise anything
            raise _not_exported("model.export(format='onnx')", error) from error
        return read_model(path)


def _example(model: Any) -> Any:
    """Return zeros of the shape of a model's inputs, one sample."""
    shapes = model.input_shape
    several = isinstance(shapes, list)
    made = [np.zeros([1 if length is None else length for length in shape], np.float32)
            for shape in (shapes if several else [shapes])]  # fmt: skip
    return made if several else made[0]


def _not_exported(exporter: str, error: Exception) -> UnsupportedError:
    text = " ".join(str(error).split())
    return UnsupportedError(
        f"{exporter} could not export the network",
        where="read",
        expected="a network that it exports",
        found=f"{type(error).__name__}: {text[:200]}",
        remedy="Export it to a file yourself, with the exporter's options, and read that.",
    )
