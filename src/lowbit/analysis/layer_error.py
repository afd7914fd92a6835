"""How far two runs of a network are apart, layer by layer.

    SNR    = 10 log10(sum x^2 / sum (x - y)^2)      dB; x is the run compared with, y the other
    cosine = sum x y / sqrt(sum x^2  sum y^2)
    share of codes that differ: code(x) against the code that y has, those of one level being one

Values are paired by name: ``act1.out/codes`` of a low-bit network is ``act1.out`` of the float one. Where
codes of a learned basis stand for floats, every channel of y is first given the positive factor that brings
it nearest to x (over the first batch): equalization (`lowbit.quantization.equalize`) chose such factors.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lowbit.analysis.traces import SeveralSamples, Values, arrays_of, batches_of, by_level, trace
from lowbit.errors import DataError
from lowbit.ir import Graph, Trait, Value, has, run_passes
from lowbit.ir.graph import Array, Shape
from lowbit.ir.passes import ENGINE_FORM, NORMAL_FORM

Floats = npt.NDArray[np.float64]

_CODES = re.compile(r"/codes(_\d+)?$")


@dataclass(frozen=True)
class LayerError:
    """One value of a network in two runs.

    Attributes:
        layer: the node that makes it in the second network.
        value: its name there.
        snr_db: signal to noise in dB; infinite when both are equal.
        cosine: of both as vectors over all samples.
        differing: share of codes that differ; None where the value has no codes.
        elements: how many were compared.
    """

    layer: str
    value: str
    snr_db: float
    cosine: float
    differing: float | None
    elements: int


def layer_errors(
    before: Graph,
    after: Graph,
    samples: SeveralSamples,
    *,
    backends: tuple[str, str] = ("reference", "reference"),
) -> tuple[LayerError, ...]:
    """Return the error of every value that both networks compute, in order.

    Args:
        before: the network compared with, such as the float one.
        after: the other, such as the low-bit one; it may be the same graph in another backend.
        samples: ``[n, ...]`` as the networks take them; of several inputs an array for each.
        backends: of either, see `lowbit.backends.BACKENDS`.

    Raises:
        DataError: no value has the same name in both.
    """
    before = _in_common_form(before, after)
    runs = trace(before, backends[0]), trace(after, backends[1])
    pairs: dict[str, _Pair] = {}
    for _, batch in batches_of(after, arrays_of(after, samples)):
        one, other = (run(*batch) for run in runs)
        if not pairs:
            pairs = {pair.value.name: pair for pair in _paired(before, after, one, other)}
        for name, pair in pairs.items():
            pair.add(one[pair.source.name], other[name])
    if not pairs:
        raise DataError(
            "the networks have no values of the same name",
            where=f"{before.name}, {after.name}",
            expected="a network and what was made of it",
        )
    return tuple(pair.error() for pair in pairs.values())


def plain_name(name: str) -> str:
    """Return the name of the reals that a value's codes stand for."""
    return _CODES.sub("", name)


def _in_common_form(before: Graph, after: Graph) -> Graph:
    """Return the first network in the form that shares most values with the second: passes move pools."""
    if before is after:
        return before
    forms = before, run_passes(before, NORMAL_FORM).graph, run_passes(before, ENGINE_FORM).graph
    return max(forms, key=lambda form: len(_computed(after) & _computed(form)))


def _computed(graph: Graph) -> set[tuple[str, Shape]]:
    """Return names and shapes of what a network computes; the batch may be called anything."""
    names = [name for node in graph.nodes for name in node.outputs]
    return {(plain_name(name), graph.value(name).shape[1:]) for name in names}


class _Pair:
    """A value in both networks, and sums over what was seen of it."""

    def __init__(self, layer: str, source: Value, value: Value, first: tuple[Array, Array]) -> None:
        self.layer, self.source, self.value = layer, source, value
        self._factor = self._fitted(*first)
        self._xx = self._yy = self._xy = self._error = 0.0
        self._differing = self._elements = 0

    def add(self, one: Array, other: Array) -> None:
        x, y = _reals(self.source, one), _reals(self.value, other.reshape(one.shape)) * self._factor
        self._xx += float((x * x).sum())
        self._yy += float((y * y).sum())
        self._xy += float((x * y).sum())
        self._error += float(((x - y) ** 2).sum())
        self._elements += x.size
        if self.value.encoding is not None:
            encoding = self.value.encoding
            wanted, found = (by_level(codes, encoding) for codes in (self._codes(x, one), other))
            self._differing += int(np.count_nonzero(wanted != found.reshape(one.shape)))

    def error(self) -> LayerError:
        with np.errstate(divide="ignore", invalid="ignore"):
            snr = np.inf if self._error == 0 else 10 * np.log10(np.float64(self._xx) / self._error)
            cosine = 1.0 if self._error == 0 else np.float64(self._xy) / np.sqrt(self._xx * self._yy)
        differing = None if self.value.encoding is None else self._differing / max(self._elements, 1)
        return LayerError(
            self.layer, self.value.name, float(snr), float(np.nan_to_num(cosine)), differing, self._elements
        )

    def _codes(self, x: Floats, one: Array) -> Array:
        encoding = self.value.encoding
        assert encoding is not None
        return one if self.source.encoding == encoding else encoding.encode(x / self._factor)

    def _fitted(self, one: Array, other: Array) -> Floats:
        encoding = self.value.encoding
        if self.source.encoding is not None or encoding is None or encoding.rounds or one.ndim < 2:
            return np.ones(1)
        x, y = _reals(self.source, one), _reals(self.value, other.reshape(one.shape))
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        above, below = (x * y).sum(axis=axes, keepdims=True), (y * y).sum(axis=axes, keepdims=True)
        return np.where((above > 0) & (below > 0), above / np.where(below > 0, below, 1), 1.0)


def _paired(before: Graph, after: Graph, one: Values, other: Values) -> Iterator[_Pair]:
    names = {plain_name(name): name for name in one}
    for node in after.nodes:
        for name in node.outputs:
            source = names.get(plain_name(name))
            known = source is not None and name in other and not has(node, Trait.MOVES)
            if known and one[str(source)].size == other[name].size:
                first = one[str(source)], other[name]
                yield _Pair(node.name, before.value(str(source)), after.value(name), first)


def _reals(value: Value, array: Array) -> Floats:
    reals = array if value.encoding is None else value.encoding.decode(array)
    return np.asarray(reals, np.float64)
