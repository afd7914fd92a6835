"""Whether a module and a data set are made for each other, tried before any work is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.data import Dataset
from lowbit.errors import DataError, PlanError, UnsupportedError
from lowbit.train.own_network import OwnNetwork
from lowbit.train.samples import Splits, no_samples

_COLOURS = {1: "grey", 3: "rgb"}
_SIDES = (28, 32, 64, 96, 128, 224)
_CLASS_ARGUMENTS = ("classes", "num_classes", "n_classes", "outputs", "out_features")


def check_fit(module: nn.Module, own: OwnNetwork, shape: tuple[int, ...], data: Splits) -> None:
    """Refuse a module that does not take these samples, or does not give a number for each class.

    Raises:
        UnsupportedError: its parameters are no float32.
        DataError: it fails on a sample of this shape; the layer is named, and shapes that it takes.
        PlanError: what it gives is no row of as many numbers as there are classes.
    """
    _check_type(module, own)
    logits = _tried(module, own, shape)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 2:
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise PlanError(
            "the module gives no row of numbers for a sample",
            where=own.text,
            expected=f"[n, {data.classes}], a number for each class",
            found=f"{found} for 2 samples",
            remedy="Take means over places before the last layer, or flatten; give one tensor.",
        )
    if logits.shape[1] != data.classes:
        _refuse_outputs(own, logits.shape[1], data)


def check_classes(dataset: Dataset, classes: int) -> None:
    """Refuse labels that a network does not have as classes.

    Raises:
        DataError: a label is beyond them.
    """
    labels = np.asarray(dataset.labels)
    if labels.max() >= classes:
        first = int(np.argmax(labels >= classes))
        raise DataError(
            "labels are no classes of the network",
            where=dataset.name,
            expected=f"0 to {classes - 1}",
            found=f"{labels.min()} to {labels.max()}, the first at sample {first}",
            remedy="Train a network with as many classes, and count them from 0.",
        )


def check_learnable(dataset: Dataset) -> None:
    """Refuse training samples of one class, or with a class that has none.

    Raises:
        DataError: they are; classes without samples are named.
    """
    if dataset.labels is None:
        return  # what makes samples of them says so
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    names = dataset.classes or tuple(map(str, range(len(counts))))
    filled = [name for name, count in zip(names, counts, strict=False) if count]
    if len(filled) < 2:
        raise DataError(
            "there is one class to learn",
            where=dataset.name,
            expected="two or more",
            found=f"{counts.sum()} samples, all of class {filled[0]}",
            remedy="Give a folder of folders, one for each class, or labels of several classes.",
        )
    if empty := [name for name, count in zip(names, counts, strict=False) if not count]:
        raise no_samples(dataset.name, empty, f"{len(filled)} with samples")


def _check_type(module: nn.Module, own: OwnNetwork) -> None:
    kinds = {
        str(each.dtype).removeprefix("torch.") for each in module.parameters() if each.is_floating_point()
    }
    if kinds - {"float32"}:
        raise UnsupportedError(
            "the module's parameters are no float32",
            where=own.text,
            expected="float32",
            found=", ".join(sorted(kinds)),
            remedy="Leave .half(), .bfloat16() and .double() away: autocast is the way to bfloat16 "
            "(--precision bf16, or torch.autocast in a loop of your own).",
        )


def _tried(module: nn.Module, own: OwnNetwork, shape: tuple[int, ...]) -> object:
    """Return what a module makes of two samples."""
    path: list[str] = []
    try:
        with _watched(module, path):
            return _forward(module, shape)
    except Exception as error:  # whatever a forward raises
        raise DataError(
            "the module does not take these samples",
            where=f"{own.text}, layer {path[-1]}" if path else own.text,
            expected="what its layers are made for",
            found=f"samples {list(shape)}: {' '.join(str(error).split())[:240]}",
            remedy=_advice(module, shape),
        ) from error


def _forward(module: nn.Module, shape: tuple[int, ...]) -> object:
    modes = [(each, each.training) for each in module.modules()]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return module.eval()(torch.zeros(2, *shape))
    finally:
        for each, mode in modes:
            each.training = mode


@contextmanager
def _watched(module: nn.Module, path: list[str]) -> Iterator[None]:
    """Keep the names of the modules that are being called, the innermost last."""
    hooks = []
    for name, each in module.named_modules():
        if name:
            hooks.append(each.register_forward_pre_hook(lambda *_, name=name: path.append(name)))
            hooks.append(each.register_forward_hook(lambda *_: path.pop() and None))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _advice(module: nn.Module, shape: tuple[int, ...]) -> str:
    """Return how samples become what a module takes, by trying what can be said of them."""
    found = []
    for options, other in _others(shape):
        try:
            _forward(module, other)
        except Exception:  # noqa: S112 - whatever a forward raises
            continue
        found.append(f"{options} ({list(other)})")
    if not found:
        return "Change the module, or the data; --input 1,28,28 says how a sample is to be read."
    return f"It takes them with {' or '.join(found[:3])}."


def _others(shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield options of the command line, and what samples would be with them."""
    size, side = int(np.prod(shape)), isqrt(int(np.prod(shape)))
    squares = [(1, side, side)] if side * side == size else []
    for other in dict.fromkeys([*squares, (1, *shape), (size,), *([shape[1:]] if shape[0] == 1 else [])]):
        if other and other != shape:
            yield f"--input {','.join(map(str, other))}", other
    if len(shape) != 3 or shape[0] not in _COLOURS:
        return
    for channels, name in _COLOURS.items():
        for height, width in dict.fromkeys([shape[1:], *((each, each) for each in _SIDES)]):
            words = [f"--resize {height}x{width}"] if (height, width) != shape[1:] else []
            words += [f"--colours {name}"] if channels != shape[0] else []
            if words:
                yield " ".join(words), (channels, height, width)


def _refuse_outputs(own: OwnNetwork, found: int, data: Splits) -> None:
    named = f": {', '.join(data.train.classes[:8])}{', …' if len(data.train.classes) > 8 else ''}"
    known = own.parameters()
    argument = next((name for name in _CLASS_ARGUMENTS if name in known), "")
    remedy = (
        f"Say --set {argument}={data.classes}."
        if argument
        else f"Give the last layer {data.classes} outputs."
    )
    raise PlanError(
        "the module has another number of outputs than there are classes",
        where=own.text,
        expected=f"{data.classes}" + (named if data.train.classes else ", as labels count"),
        found=str(found),
        remedy=remedy,
    )
