"""Float network in, low-bit network out: layer after layer, each against the float network.

For every layer with constant weights, fully connected or convolution, in order:

1. what arrives at its input in the network quantized so far, and what arrives in the float network, give
   the input's encoding (the published system calls this fine-tuning; for the first layer both are the
   same);
2. the coded inputs and the layer's float outputs give codes, encoding and bias of its weights; a
   convolution is looked at through a sample of its windows;
3. the layer is replaced, so that the next one sees what this one really gives.

Before, batch normalization is folded into the layers; at the end, passes remove the floats between them.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from lowbit.calibrate import Histogram, LinearMoments, Run, batches, ordinary_samples, prefix, watch
from lowbit.errors import DataError, NumericError
from lowbit.ir import Graph, Node, Value, evaluate, run_passes, verify
from lowbit.ir.activations import ACTIVATIONS
from lowbit.ir.layers import activation_of
from lowbit.ir.passes import (
    ENGINE_FORM,
    RegionFormat,
    affine_chain,
    affine_ends,
    decode_layers,
    fixed_sums,
    fold_activations,
    fold_encodes,
    lift_encodes,
    region_format,
    sum_regions,
)
from lowbit.plan.plan import TRAINING
from lowbit.quantization.activations import encode_activation
from lowbit.quantization.choice import (
    check_calibration,
    check_layers,
    chosen_samples,
    is_layer,
    layer_names,
    layers_to_quantize,
)
from lowbit.quantization.equalize import equalize
from lowbit.quantization.fixed_point import blockers as fixed_point_blockers
from lowbit.quantization.fixed_point import to_fixed_point
from lowbit.quantization.measure import ErrorSums
from lowbit.quantization.node import add_encoder, low_bit_node
from lowbit.quantization.plan import Plan
from lowbit.quantization.report import LayerReport, Report, SumsReport
from lowbit.quantization.rows import Rows
from lowbit.quantization.stream import Stream
from lowbit.quantization.weights import CodedWeights, check_weights, joined, nearest, restored
from lowbit.schemes import Affine, Encoding
from lowbit.schemes.fitting import Problem
from lowbit.schemes.pair import input_encoding, is_int8

Array = npt.NDArray[np.float64]
Samples = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Progress = Callable[[int, int, str], None]

_RANGED = 64  # samples that say how large sums become
_VALUES = 1 << 21  # of an activation: more say no more about its encoding


def quantize(
    graph: Graph,
    samples: npt.ArrayLike | None,
    plan: Plan,
    progress: Progress | None = None,
    *,
    run: Run = evaluate,
) -> tuple[Graph, Report]:
    """Return a low-bit copy of a float network, and what was done. Equal arguments give equal networks.

    Args:
        graph: a float network with one input, or one of 8-bit affine layers, which counts as the float
            network that its codes stand for; every linear layer with constant weights is quantized.
        samples: unlabelled calibration samples `[n, ...]`, in the shape that the network takes; None where
            the plan is one format of fixed point throughout, which is rounding alone (`to_fixed_point`);
            a network with layers that have no such form, as convolutions, is calibrated.
        plan: what to do; at most `plan.samples` samples are used, chosen by `plan.seed`.
        progress: called with layers done, layers in all, and the next layer's name.
        run: what runs a network.

    Raises:
        DataError: samples are missing, misshapen or not finite.
        NumericError: weights or activations that are not finite, or sums that leave int32.
        PlanError: the plan names a layer that does not exist, or asks of layers what nothing runs.
        TooLargeError: restoring layers of that many inputs takes more memory than `lowbit.budget` allows.
        UnsupportedError: there is no layer to quantize, or the network has several inputs.
    """
    started = time.perf_counter()
    plan.require_unsaid(TRAINING, "training")
    form = plan.fixed_point
    if form and (samples is None or not fixed_point_blockers(graph)):
        result = to_fixed_point(graph, form.integer_bits, form.fraction_bits, form.rounding)
        return result, Report((), 0, time.perf_counter() - started)
    if samples is None:
        raise DataError("calibration needs samples", where=graph.name, expected="unlabelled samples")
    network = run_passes(graph, [decode_layers, *ENGINE_FORM]).graph
    plan = plan.resolved(layer_names(network))
    layers = layers_to_quantize(network, plan)
    names = {layer.name for layer in layers}
    check_layers(network, layers, plan)
    chosen = chosen_samples(network, samples, plan)
    check_calibration(network, len(chosen))
    network = equalize(network, chosen, run, lambda name: name in names and plan.for_layer(name).equalizes)
    work = _Work(network, chosen, run, names)
    reports: list[LayerReport] = []
    for layer in (node for node in network.nodes if is_layer(network, node)):
        if layer.name not in names:
            work.adapt_layer(layer, plan.for_layer(layer.name))
            continue
        if progress:
            progress(len(reports), len(layers), layer.name)
        reports.append(work.quantize_layer(layer, plan.for_layer(layer.name)))
    if progress:
        progress(len(layers), len(layers), "done")
    sums = work.sum_formats() if plan.sums == "fixed" else []
    result = work.finished(sums)
    said = tuple(SumsReport(each.region.sums, str(each.form or ""), each.why) for each in sums)
    seconds = time.perf_counter() - started
    return result, Report(tuple(reports), len(chosen), seconds, work.outliers, sums=said)


class _Work:
    """The float network, the network quantized so far, and the samples that compare them."""

    def __init__(self, network: Graph, samples: Samples, run: Run, pending: Collection[str]) -> None:
        self._float, self._low, self._count = network, network.copy(), len(samples)
        self._samples, self._run = samples, run
        self._exact, self._coded = Stream(self._float, samples, run), Stream(self._low, samples, run)
        self._pending = set(pending)
        self._encoded: dict[tuple[object, ...], str] = {}
        self._usual: dict[str, list[Mask]] = {}
        self._ranges: dict[str, tuple[float, float]] = {}

    def quantize_layer(self, layer: Node, plan: Plan) -> LayerReport:
        """Replace one layer of the low-bit network by its quantized form."""
        started = time.perf_counter()
        rows, weights = Rows.of(self._float, layer), self._float.constant(layer.inputs[1])
        where, matrix = f"{self._float.name}/{layer.name}", rows.matrix(weights)
        check_weights(matrix.reshape(len(weights), -1), where)
        codes = self._encode_input(layer, plan)
        self._note_range(layer, plan)
        if not plan.restores:
            parts = [nearest(part, plan.for_convolution() if rows.axes else plan) for part in matrix]
            bias = self._float.constant(layer.inputs[2]).astype(np.float64)
        else:
            moments = self._moments(layer, codes, rows, matrix.shape, plan)
            plan_here = plan.for_convolution() if rows.axes else plan
            parts = [_restored(*part, plan_here) for part in zip(matrix, moments, strict=True)]
            bias = np.concatenate(
                [seen.y - part.values() @ seen.x for part, seen in zip(parts, moments, strict=True)]
            )
        coded = joined(parts)
        self._pending.discard(layer.name)
        self._replace(layer, codes, coded, bias, rows)
        return LayerReport(
            layer.name,
            plan.scheme,
            plan.weight_bits,
            plan.activation_bits,
            _weight_error(coded.values(), matrix.reshape(len(weights), -1)),
            self._output_error(layer, rows, plan),
            time.perf_counter() - started,
        )

    def adapt_layer(self, layer: Node, plan: Plan) -> None:
        """Let a layer that stays float restore its output from the inputs that it really gets."""
        if not plan.restores or not self._encoded:
            return
        rows, weights = Rows.of(self._float, layer), self._float.constant(layer.inputs[1])
        matrix = rows.matrix(weights)
        moments = self._moments(layer, layer.inputs[0], rows, matrix.shape, plan)
        damping, parts, shifts = _damping(rows, plan), [], []
        for values, part in zip(matrix, moments, strict=True):
            parts.append(Problem.of(part.covariance(), part.cross(), values, damping).target.T)
            shifts.append(part.y - parts[-1] @ part.x)
        self._low.update(layer.inputs[1], data=rows.weights(np.concatenate(parts), weights.shape))
        self._low.update(layer.inputs[2], data=np.concatenate(shifts).astype(np.float32))

    @property
    def outliers(self) -> int:
        """How many samples were left out of calibrating a layer."""
        usual = list(self._usual.values())[-1:]
        return sum(int((~mask).sum()) for masks in usual for mask in masks)

    def sum_formats(self) -> list[RegionFormat]:
        """Return the regions of sums and means between layers, and the formats that hold their values."""
        found = sum_regions(self._low)
        names = {name for region in found for name in region.ranged}
        largest: dict[str, float] = {}
        for batch in batches(self._samples[:_RANGED], self._low.value(self._low.inputs[0]).shape[0]):
            for name, values in watch(self._run, prefix(self._low, names), batch, names).items():
                largest[name] = max(largest.get(name, 0.0), float(np.abs(values).max(initial=0)))
        return [region_format(region, largest) for region in found]

    def finished(self, sums: Sequence[RegionFormat] = ()) -> Graph:
        """Return the low-bit network without floats between its layers.

        Args:
            sums: the regions of sums and means that get a format.
        """
        passes = [
            fixed_sums(sums),
            lift_encodes,
            fold_activations,
            fold_encodes,
            affine_chain(self._ranges),
            affine_ends(self._ranges),
        ]
        result = run_passes(self._low, passes).graph
        verify(result)
        return result

    def _encode_input(self, layer: Node, plan: Plan) -> str:
        """Return the name of the codes of a layer's input; layers with equal settings share them.

        With float activations it is the input itself.
        """
        source = layer.inputs[0]
        key = (source, plan.scheme, str(plan.input_form), plan.uses_activation_offset, _is_int8(plan))
        if key not in self._encoded and plan.is_weight_only:
            self._encoded[key] = source
        elif key not in self._encoded:
            self._encoded[key] = self._add_encoder(layer, self._input_encoding(source, plan), plan)
        return self._encoded[key]

    def _input_encoding(self, source: str, plan: Plan) -> Encoding:
        producer = self._float.producer(source)
        name = activation_of(self._float, producer) if producer else None
        limits = ACTIVATIONS[name].limits if name else None
        if limits is not None and _is_int8(plan):
            scale = (limits[1] - limits[0]) / 256
            return Affine(8, np.array([scale], np.float32), np.array([-limits[0] / scale], np.int32))
        histogram, random = Histogram(), np.random.default_rng(plan.seed)
        share = _VALUES / (self._count * max(_elements(self._float.value(source)), 1))
        usual = self._usual_samples(source)
        values = self._coded.values(source), self._exact.values(source)
        for low, target, mask in zip(*values, usual, strict=True):
            _require_finite(target, source)
            if not mask.any():
                continue
            chosen = _sampled(int(mask.sum()) * target[0].size, share, random)
            histogram.update(low[mask].reshape(-1)[chosen], target[mask].reshape(-1)[chosen])
        if source in self._float.inputs and histogram.minimum == histogram.maximum == 0:
            raise DataError(
                "all calibration samples are zero",
                where=source,
                expected="samples such as the network will see",
                found=f"{self._count} samples of zeros",
                remedy="Give other samples.",
            )
        return input_encoding(encode_activation(histogram, plan), plan.weight_form, plan.input_form)

    def _usual_samples(self, source: str) -> list[Mask]:
        """Return which samples are like the others at a layer's input, in both networks, batch by batch.

        A sample that was not at an earlier layer is none here.
        """
        if source not in self._usual:
            low, exact = (ordinary_samples(stream.values(source)) for stream in (self._coded, self._exact))
            usual = [np.logical_and(*masks) for masks in zip(low, exact, strict=True)]
            earlier = next(reversed(self._usual.values()), usual)
            # Rows of a value that is not laid out by samples are other rows than those of earlier layers.
            same = all(len(mask) == len(other) for mask, other in zip(usual, earlier, strict=True))
            self._usual[source] = [
                np.logical_and(*masks) for masks in zip(usual, earlier if same else usual, strict=True)
            ]
        return self._usual[source]

    def _note_range(self, layer: Node, plan: Plan) -> None:
        """Check a layer's output, and keep its range where it is an 8-bit layer, which hands it on."""
        lows, highs = [np.inf], [-np.inf]
        usual = self._usual_samples(layer.inputs[0])
        for target, mask in zip(self._targets(layer), usual, strict=True):
            _require_finite(target, layer.outputs[0])
            lows.append(float(target[mask].min(initial=np.inf)))
            highs.append(float(target[mask].max(initial=-np.inf)))
        if _is_int8(plan):
            self._ranges[layer.name] = min(lows), max(highs)

    def _output_error(self, layer: Node, rows: Rows, plan: Plan) -> float:
        """Return how far what the deployed layer gives is from what it should, relative to the variance."""
        output, random = layer.outputs[0], np.random.default_rng(plan.seed)
        share, usual = plan.patches / (self._count * rows.windows()), self._usual_samples(layer.inputs[0])
        for _ in self._coded.values(output):  # runs it, before its targets are asked for
            pass
        error = ErrorSums()
        for exact, low, mask in zip(self._targets(layer), self._coded.values(output), usual, strict=True):
            if not mask.any():  # a batch of one sample may have no usual one
                continue
            positions = rows.choose(int(mask.sum()), share, random)
            error.add(*(rows.outputs(values[mask], positions) for values in (exact, low)))
        return error.relative()

    def _add_encoder(self, layer: Node, encoding: Encoding, plan: Plan) -> str:
        """Insert `Encode` before a layer and return the name of the codes."""
        graph, thresholds = self._low, plan.input_form.row.fit.thresholds(encoding)
        node = add_encoder(graph, layer.inputs[0], encoding, thresholds, f"{layer.name}/encode")
        graph.nodes.insert(_position(graph, layer.name), node)
        return node.outputs[0]

    def _moments(
        self, layer: Node, codes: str, rows: Rows, shape: tuple[int, ...], plan: Plan
    ) -> list[LinearMoments]:
        """Return the moments of every group of a layer, `shape` being `[groups, o / groups, d]`."""
        encoding, random = self._low.value(codes).encoding, np.random.default_rng(plan.seed)
        moments = [LinearMoments.empty(shape[2], shape[1]) for _ in range(shape[0])]
        share, usual = plan.patches / (self._count * rows.windows()), self._usual_samples(layer.inputs[0])
        for coded, target, mask in zip(self._coded.values(codes), self._targets(layer), usual, strict=True):
            if not mask.any():  # a batch of one sample may have no usual one
                continue
            positions = rows.choose(int(mask.sum()), share, random)
            levels = coded[mask] if encoding is None else encoding.levels()[0][coded[mask].astype(np.intp)]
            seen = rows.inputs(levels, positions)
            for part, x, y in zip(moments, seen, rows.outputs(target[mask], positions), strict=True):
                part.update(x, y)
        return moments

    def _targets(self, layer: Node) -> Iterator[npt.NDArray[np.generic]]:
        """Yield what a layer should give: its float output, or what is missing of the float sum it goes into.

        At a residual sum whose other part is quantized already, the layer makes up for that part's error.
        """
        found = self._settled_sum(layer)
        if found is None:
            yield from self._exact.values(layer.outputs[0])
            return
        total, other = found
        for exact, rest in zip(self._exact.values(total), self._coded.values(other), strict=True):
            yield np.asarray(exact, np.float32) - np.asarray(rest, np.float32)

    def _settled_sum(self, layer: Node) -> tuple[str, str] | None:
        """Return the sum that alone reads a layer and its other part, if that will not change any more."""
        output = layer.outputs[0]
        readers = self._low.consumers(output)
        if len(readers) != 1 or readers[0].op != "Add" or output in self._low.outputs:
            return None
        others = [name for name in readers[0].inputs if name != output]
        if len(others) != 1 or self._low.value(others[0]).shape != self._low.value(output).shape:
            return None
        behind = {node.name for node in prefix(self._low, others).nodes}
        return None if behind & self._pending else (readers[0].outputs[0], others[0])

    def _replace(self, layer: Node, codes: str, coded: CodedWeights, bias: Array, rows: Rows) -> None:
        """Put the quantized layer in the place of the float one."""
        graph = self._low
        for constant in layer.inputs[1:]:  # so that their names are free for what replaces them
            if constant in graph.values and len(graph.consumers(constant)) == 1:
                del graph.values[constant]
        shape = rows.packed_shape(self._float.constant(layer.inputs[1]))
        names = (codes, layer.outputs[0])
        position = _position(graph, layer.name)
        graph.nodes[position] = low_bit_node(graph, layer.name, names, coded, bias, shape, layer.attributes)


def _damping(rows: Rows, plan: Plan) -> float:
    return (plan.for_convolution() if rows.axes else plan).damping


def _restored(weights: Array, moments: LinearMoments, plan: Plan) -> CodedWeights:
    return restored(Problem.of(moments.covariance(), moments.cross(), weights, plan.damping), plan)


def _weight_error(values: Array, weights: Array) -> float:
    return float(((values - weights) ** 2).sum() / max(float((weights**2).sum()), 1e-300))


def _require_finite(array: npt.NDArray[np.generic], name: str) -> None:
    if not np.isfinite(array).all():
        raise NumericError(
            "the float network gives values that are not finite",
            where=name,
            found="NaN or infinity",
            remedy="Check the samples' scale and the network's weights.",
        )


def _sampled(count: int, share: float, random: np.random.Generator) -> npt.NDArray[np.intp] | slice:
    """Return indices of a share of `count` values, or all."""
    return slice(None) if share >= 1 else random.integers(0, count, max(round(share * count), 1))


def _elements(value: Value) -> int:
    """Return how many elements a value has per sample."""
    return prod(int(extent) for extent in value.shape[1:])


def _is_int8(plan: Plan) -> bool:
    return is_int8(plan.weight_form, plan.input_form)


def _position(graph: Graph, name: str) -> int:
    return next(index for index, node in enumerate(graph.nodes) if node.name == name)
