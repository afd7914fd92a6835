r"""The doctor of training at low bits: watches a few steps, names what is wrong, in which layer, what to do.

    doctor = Doctor(model)                      # a prepared one, in your own loop
    for batch in doctor.watch(batches):         # every epoch: looks at the first steps
        ...                                     # forward, backward, step, as ever
    print(*doctor.findings(), sep="\n")

Hooks are there only while it watches. It changes nothing: weights, statistics and random numbers of a run are
the same with and without it. What it finds are the kinds of `lowbit.nn.findings.REMEDIES`; by which figures
it judges stands in `lowbit.nn.watches`, `watch` and `learning_watches`.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

from torch import nn

from lowbit.nn.findings import Finding
from lowbit.nn.learning_watches import NormWatch, ProgressWatch, RestWatch
from lowbit.nn.low_bit import LowBit
from lowbit.nn.watch import Steps, Watch
from lowbit.nn.watches import InputWatch, OutputWatch, WeightWatch
from lowbit.schemes.training.quantizer import Quantizer

STEPS = 16
"""That are watched at the beginning of an epoch, when nobody says how many."""

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)

Batch = TypeVar("Batch")


class Doctor:
    """Watches steps of a model's training.

    Args:
        model: whose layers are watched; a wrapper around it (DDP, Fabric) may be what the loop calls.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._watches: list[Watch] = []
        self._handles: list[Any] = []

    def watch(self, batches: Iterable[Batch], steps: int = STEPS) -> Iterator[Batch]:
        """Yield all batches, watching while the first of them are trained on.

        Args:
            batches: of a training loop, whatever they are.
            steps: how many are watched.
        """
        rest = iter(batches)
        with self:
            yield from islice(rest, steps)
        yield from rest

    def __enter__(self) -> Self:
        """Begin to watch; what was seen before is forgotten."""
        self._release()
        steps = Steps(again=bool(self._watches))
        self._handles.append(self._model.register_forward_pre_hook(lambda *_: steps.begin()))
        self._watches = list(_watches(self._model, steps))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look a last time, and remove all hooks."""
        self._release()
        for watch in self._watches:
            watch.finish()

    def findings(self) -> list[Finding]:
        """Return what is wrong in the steps that were watched last, in the order of the layers.

        Where numbers are not finite, the layer that had them first is named, and nothing else.
        """
        bad = [(int(watch.bad_step), watch.order, watch) for watch in self._watches if watch.bad_step >= 0]
        if bad:
            step, _, watch = min(bad, key=lambda each: each[:2])
            return [Finding("not finite", watch.name, f"NaN or infinity in step {step} of those watched")]
        found = [finding for watch in self._watches for finding in watch.findings()]
        order = [name for name, _ in self._model.named_modules()]
        return sorted(dict.fromkeys(found), key=lambda finding: order.index(finding.layer))

    def _release(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        for watch in self._watches:
            watch.close()


def _watches(model: nn.Module, steps: Steps) -> Iterator[Watch]:
    """Yield what watches the parts of a model; what modules give is seen after what they read."""
    for name, module in model.named_modules():
        if isinstance(module, LowBit):
            for quantizer in module.inputs():
                yield InputWatch(name, steps, quantizer, module.weight.ndim - 2)
            if module.weight_quantizer is not None:
                yield WeightWatch(name, steps, module)
            for child in module.modules():
                if isinstance(child, Quantizer):
                    yield RestWatch(name, steps, child, "what its quantizers learn")
                if isinstance(child, Quantizer) and child.follows:
                    yield ProgressWatch(name, steps, child)
            yield RestWatch(name, steps, module, "its weights")
            yield OutputWatch(name, steps, module)
        elif isinstance(module, _NORMS):
            yield NormWatch(name, steps, module)
        elif name and next(module.parameters(recurse=False), None) is not None:
            yield OutputWatch(name, steps, module)
