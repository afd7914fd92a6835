"""Float network in, low-bit network out: layer after layer, each against the float network.

For every layer with constant weights, fully connected or convolution, in order (those that share weights are
one layer, `lowbit.quantization.shared`):

1. what arrives at its input in the network quantized so far, and what arrives in the float network, give
   the input's encoding (the published system calls this fine-tuning; for the first layer both are the
   same);
2. the coded inputs and the layer's float outputs give codes, encoding and bias of its weights; a
   convolution is looked at through a sample of its windows;
3. the layer is replaced, so that the next one sees what this one really gives.

Before, batch normalization is folded into the layers; at the end, passes remove the floats between them.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.budget import budget
from lowbit.calibrate import LinearMoments, Run, batch_slices, engine_or_reference, prefix, sample_bytes
from lowbit.errors import DataError
from lowbit.ir import Graph, Node, run_passes, verify
from lowbit.ir.activations import ACTIVATIONS
from lowbit.ir.layers import activation_of
from lowbit.ir.passes import (
    RegionFormat,
    affine_chain,
    affine_ends,
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
    check_layers,
    chosen_samples,
    layers_to_quantize,
)
from lowbit.quantization.equalize import equalize
from lowbit.quantization.estimate import Estimate, estimate
from lowbit.quantization.fixed_point import blockers as fixed_point_blockers
from lowbit.quantization.fixed_point import to_fixed_point
from lowbit.quantization.kept import kept_float
from lowbit.quantization.learning import Learner, learner_of
from lowbit.quantization.node import add_encoder, low_bit_node
from lowbit.quantization.observe import RANGED, Observer, Target, Windows
from lowbit.quantization.plan import Plan
from lowbit.quantization.report import LayerReport, Report, sums_reports
from lowbit.quantization.rows import Rows
from lowbit.quantization.shared import layer_form, layer_names, teams
from lowbit.quantization.smooth import smooth
from lowbit.quantization.stream import count_of
from lowbit.quantization.unfinished import Progressed, Unfinished
from lowbit.quantization.weights import CodedWeights, check_weights, joined, nearest, restored
from lowbit.schemes import Affine, Encoding
from lowbit.schemes.fitting import Problem
from lowbit.schemes.pair import input_encoding, is_int8

Array = npt.NDArray[np.float64]
Samples = Mapping[str, npt.NDArray[np.generic]]
Progress = Callable[[int, int, str], None]
Announce = Callable[[Estimate], None]

_RANGED_BYTES = 64 << 20
"""Of samples that say how large sums become, in a batch."""

_HELD = 4
"""One in so many bytes of the budget may be values of the samples, held between layers."""

_ENOUGH, _TIMES = 1 << 14, 8
"""Windows that a covariance is made of: so many, or so many times its inputs."""


def quantize(
    graph: Graph,
    samples: "npt.ArrayLike | Mapping[str, npt.ArrayLike] | None",
    plan: Plan,
    progress: Progress | None = None,
    *,
    run: Run = engine_or_reference,
    unfinished: Unfinished | None = None,
    announce: Announce | None = None,
) -> tuple[Graph, Report]:
    """Return a low-bit copy of a float network, and what was done. Equal arguments give equal networks.

    Args:
        graph: a float network, or one of 8-bit affine layers, which counts as the float network that its
            codes stand for; every linear layer with constant weights is quantized.
        samples: unlabelled calibration samples `[n, ...]`, in the shape that the network takes, of several
            inputs a dictionary of them by name, or a tuple in order; None where
            the plan is one format of fixed point throughout, which is rounding alone (`to_fixed_point`);
            a network with layers that have no such form, as convolutions, is calibrated.
        plan: what to do; at most `plan.samples` samples are used, chosen by `plan.seed`.
        progress: called with layers done, layers in all, and the next layer's name; where layers learn on,
            the steps of that are counted as well.
        run: what runs a network.
        unfinished: the file with which an interrupted calibration goes on.
        announce: called with what it will take, before it starts.

    Raises:
        DataError: samples are missing, misshapen or not finite.
        NumericError: weights or activations that are not finite, or sums that leave int32.
        MissingExtra: layers are to learn on, which needs torch.
        PlanError: the plan names a layer that does not exist, or asks of layers what nothing runs.
        TooLargeError: restoring layers of that many inputs takes more memory than `lowbit.budget` allows.
        UnsupportedError: there is no layer to quantize.
    """
    started = time.perf_counter()
    plan.require_unsaid(TRAINING, "training")
    form = plan.fixed_point
    if form and (samples is None or not fixed_point_blockers(graph)):
        result = to_fixed_point(graph, form.integer_bits, form.fraction_bits, form.rounding)
        return result, Report((), 0, time.perf_counter() - started)
    if samples is None:
        raise DataError("calibration needs samples", where=graph.name, expected="unlabelled samples")
    network = layer_form(graph)
    plan = plan.resolved(layer_names(network))
    layers = layers_to_quantize(network, [team[0] for team in teams(network).values()], plan)
    names = {layer.name for layer in layers}
    check_layers(network, layers, plan)
    kept = kept_float(network, layer_names(network), plan)
    chosen = chosen_samples(network, samples, plan)
    learner = learner_of(network, {name: teams(network)[name] for name in names}, plan, chosen)
    before = unfinished.begin(network, plan, chosen) if unfinished else None
    if announce:
        found = estimate(network, layers, plan.for_layer, chosen, run, _most_windows, budget() // _HELD)
        announce(found.and_learning(learner) if learner else found)
    network = equalize(network, chosen, run, lambda name: name in names and plan.for_layer(name).equalizes)
    network = smooth(network, chosen, run, {name: plan.for_layer(name) for name in names}, plan.seed)
    shared = teams(network)
    members = [each.name for name in names for each in shared[name]]
    work = _Work(network, chosen, run, members, before)
    total = len(layers) + (len(learner.steps) if learner else 0)

    def say(what: str) -> None:
        if progress:
            progress(work.finished_steps(learner), total, what)

    for name, team in shared.items():
        if name not in work.progressed.done:
            if name in names:
                say(name)
            work.take_layers(team, plan.for_layer(name))
            if unfinished:
                unfinished.after(work.progressed)
        if learner:
            work.learn(learner, name, say, unfinished)
    if learner:
        work.learn(learner, "", say, unfinished)
    if progress:
        progress(total, total, "done")
    sums = work.sum_formats() if plan.sums != "real" else []
    result = work.finished(sums)
    said = sums_reports((each.region.sums, str(each.form or ""), each.why) for each in sums)
    seconds = time.perf_counter() - started
    reports = tuple(work.progressed.reports)
    return result, Report(reports, count_of(chosen), seconds, work.outliers, sums=said, kept=kept)


class _Work:
    """The float network, the network quantized so far, and the samples that compare them."""

    def __init__(
        self,
        network: Graph,
        samples: Samples,
        run: Run,
        names: Collection[str],
        before: Progressed | None = None,
    ) -> None:
        self.progressed = before or Progressed(network.copy(), [], [], {}, {}, {})
        self._float, self._low, self._count = network, self.progressed.low, count_of(samples)
        self._samples, self._run, self._names = samples, run, names
        pending = set(names) - set(self.progressed.done)
        usual = self.progressed.usual
        self._seen = Observer(self._float, self._low, samples, run, budget() // _HELD, pending, usual)
        self._encoded, self._ranges = self.progressed.encoded, self.progressed.ranges

    def take_layers(self, team: Sequence[Node], plan: Plan) -> None:
        """Quantize a layer, or let one that stays float make up for those before it; see `teams`."""
        if team[0].name in self._names:
            self.progressed.reports.append(self._quantize_layer(team, plan))
        else:
            self._adapt_layer(team, plan)
        self.progressed.done += [each.name for each in team]

    def finished_steps(self, learner: Learner | None) -> int:
        """Return how many layers are quantized, and how many steps of what learns on are done with."""
        learned = 0 if learner is None else len(learner.done(self.progressed.done))
        return len(self.progressed.reports) + learned

    def learn(
        self, learner: Learner, after: str, say: Callable[[str], None], unfinished: Unfinished | None
    ) -> None:
        """Let the layers learn on that may now; what comes behind them is looked at anew."""
        low, done = self._low, self.progressed.done
        for _ in learner.learn(self._float, low, after, done, say):
            if unfinished:
                unfinished.after(self.progressed)
            pending, usual = self._seen.pending, self.progressed.usual
            self._seen = Observer(
                self._float, low, self._samples, self._run, budget() // _HELD, pending, usual
            )

    def _quantize_layer(self, team: Sequence[Node], plan: Plan) -> LayerReport:
        """Replace one layer of the low-bit network, or all that share its weights, by the quantized form."""
        started, layer = time.perf_counter(), team[0]
        weights = self._float.constant(layer.inputs[1])
        matrix = Rows.of(self._float, layer).matrix(weights)
        check_weights(matrix.reshape(len(weights), -1), f"{self._float.name}/{layer.name}")
        windows = _windows(plan, matrix, len(team))
        codes = self._encode_inputs(team, plan)
        target = self._seen.target(team, codes, matrix.shape, windows)
        if _is_int8(plan):  # which hands its range on
            self._ranges |= dict.fromkeys([each.name for each in team], target.range)
        coded, bias = self._coded(matrix, layer, target, plan)
        self._seen.pending.difference_update(each.name for each in team)
        self._replace(team, codes, coded, bias)
        return LayerReport(
            layer.name,
            plan.scheme,
            plan.weight_bits,
            plan.activation_bits,
            _weight_error(coded.values(), matrix.reshape(len(weights), -1)),
            self._seen.error(team, target, windows),
            time.perf_counter() - started,
            len(team),
        )

    def _coded(self, matrix: Array, layer: Node, target: Target, plan: Plan) -> tuple[CodedWeights, Array]:
        """Return the weights of a layer as codes, and its bias."""
        plan_here = plan if layer.op == "Gemm" else plan.for_convolution()
        if not plan.restores:  # every row by itself: all groups at once
            coded = nearest(matrix.reshape(-1, matrix.shape[2]), plan_here)
        else:
            groups = zip(matrix, target.moments, strict=True)
            coded = joined([_restored(*group, plan_here) for group in groups])
        bias = self._float.constant(layer.inputs[2]).astype(np.float64)
        if target.moments:
            pairs = zip(np.split(coded.values(), len(matrix)), target.moments, strict=True)
            bias = np.concatenate([seen.y - rows @ seen.x for rows, seen in pairs])
        return coded, bias

    def _adapt_layer(self, team: Sequence[Node], plan: Plan) -> None:
        """Let a layer that stays float restore its output from the inputs that it really gets."""
        if not plan.restores or not self._encoded:
            return
        layer = team[0]
        rows, weights = Rows.of(self._float, layer), self._float.constant(layer.inputs[1])
        matrix = rows.matrix(weights)
        names = [each.inputs[0] for each in team]
        target = self._seen.target(team, names, matrix.shape, _windows(plan, matrix, len(team)))
        damping, parts, shifts = _damping(rows, plan), [], []
        for values, part in zip(matrix, target.moments, strict=True):
            parts.append(Problem.of(part.covariance(), part.cross(), values, damping).target.T)
            shifts.append(part.y - parts[-1] @ part.x)
        made = (rows.weights(np.concatenate(parts), weights.shape), np.concatenate(shifts).astype(np.float32))
        self._give_constants(team, made)

    def _give_constants(self, team: Sequence[Node], arrays: Sequence[npt.NDArray[np.float32]]) -> None:
        """Let float layers read other numbers; what others read as well stays."""
        names = {each.name for each in team}
        constants = []
        for name, array in zip(team[0].inputs[1:], arrays, strict=True):
            if {reader.name for reader in self._low.consumers(name)} <= names:
                self._low.update(name, data=array)
                constants.append(name)
            else:
                constants.append(self._low.add_constant(self._low.fresh_name(name), array))
        for at, node in enumerate(self._low.nodes):
            if node.name in names:
                self._low.nodes[at] = replace(node, inputs=(node.inputs[0], *constants))

    @property
    def outliers(self) -> int:
        """How many samples were left out of calibrating a layer."""
        return self._seen.outliers

    def sum_formats(self) -> list[RegionFormat]:
        """Return the regions of sums and means between layers, and the formats that hold their values."""
        found = sum_regions(self._low)
        names = list(dict.fromkeys(name for region in found for name in region.ranged))
        largest = self._largest(names) if names else {}
        return [region_format(region, largest) for region in found]

    def _largest(self, names: Sequence[str]) -> dict[str, float]:
        """Return the largest magnitudes of values for some samples: one run gives all of them."""
        largest = dict.fromkeys(names, 0.0)
        runner = self._run(prefix(self._low, names))
        size = max(_RANGED_BYTES // sum(sample_bytes(self._low, name) for name in names), 1)
        first = self._low.value(self._low.inputs[0]).shape[0]
        for batch in batch_slices(min(self._count, RANGED), first, size):
            found = runner({name: array[batch] for name, array in self._samples.items()})
            for name in names:
                largest[name] = max(largest[name], float(np.abs(found[name]).max(initial=0)))
        return largest

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

    def _encode_inputs(self, team: Sequence[Node], plan: Plan) -> list[str]:
        """Return the names of the codes of layers' inputs; layers with equal settings share them.

        With float activations they are the inputs themselves.
        """
        sources = list(dict.fromkeys(layer.inputs[0] for layer in team))
        settings = (plan.scheme, str(plan.input_form), plan.uses_activation_offset, _is_int8(plan))
        alone = "" if len(sources) == 1 else team[0].name
        found, encoding = [], None
        for layer in team:
            key = (alone, layer.inputs[0], *settings)
            if key not in self._encoded and plan.is_weight_only:
                self._encoded[key] = layer.inputs[0]
            elif key not in self._encoded:
                encoding = encoding or self._input_encoding(sources, plan)
                self._encoded[key] = self._add_encoder(layer, encoding, plan)
            found.append(self._encoded[key])
        return found

    def _input_encoding(self, sources: Sequence[str], plan: Plan) -> Encoding:
        source = sources[0]
        producer = self._float.producer(source)
        name = activation_of(self._float, producer) if producer else None
        limits = ACTIVATIONS[name].limits if name and len(sources) == 1 else None
        if limits is not None and _is_int8(plan):
            scale = (limits[1] - limits[0]) / 256
            return Affine(8, np.array([scale], np.float32), np.array([-limits[0] / scale], np.int32))
        histogram = self._seen.histogram(sources, plan.seed)
        if source in self._float.inputs and histogram.minimum == histogram.maximum == 0:
            raise DataError(
                "all calibration samples are zero",
                where=source,
                expected="samples such as the network will see",
                found=f"{self._count} samples of zeros",
                remedy="Give other samples.",
            )
        return input_encoding(encode_activation(histogram, plan), plan.weight_form, plan.input_form)

    def _add_encoder(self, layer: Node, encoding: Encoding, plan: Plan) -> str:
        """Insert `Encode` before a layer and return the name of the codes."""
        graph, thresholds = self._low, plan.input_form.fit.thresholds(encoding)
        node = add_encoder(graph, layer.inputs[0], encoding, thresholds, f"{layer.name}/encode")
        graph.nodes.insert(_position(graph, layer.name), node)
        return node.outputs[0]

    def _replace(self, team: Sequence[Node], codes: Sequence[str], coded: CodedWeights, bias: Array) -> None:
        """Put quantized layers in the place of the float ones."""
        graph, names = self._low, {layer.name for layer in team}
        shape = Rows.of(self._float, team[0]).packed_shape(self._float.constant(team[0].inputs[1]))
        for constant in team[0].inputs[1:]:  # so that their names are free for what replaces them
            readers = graph.consumers(constant)
            if constant in graph.values and {reader.name for reader in readers} <= names:
                del graph.values[constant]
        made: Node | None = None
        for layer, code in zip(team, codes, strict=True):
            position, ends = _position(graph, layer.name), (code, layer.outputs[0])
            if made is None:
                made = low_bit_node(graph, layer.name, ends, coded, bias, shape, layer.attributes)
            constants = made.inputs[1:]
            attributes = made.attributes if made.op == "Linear" else dict(layer.attributes)
            graph.nodes[position] = Node(
                made.op, (code, *constants), layer.outputs, attributes, layer.name, made.domain
            )


def _windows(plan: Plan, matrix: Array, layers: int) -> Windows:
    """Return which windows of each layer are looked at: no more than a covariance gains from."""
    most = -(-_most_windows(plan, matrix.shape[2]) // layers)
    return Windows(most, plan.seed, 2 if plan.restores else int(plan.corrects))


def _most_windows(plan: Plan, inputs: int) -> int:
    return min(plan.patches, max(_ENOUGH, _TIMES * inputs))


def _damping(rows: Rows, plan: Plan) -> float:
    return (plan.for_convolution() if rows.axes else plan).damping


def _restored(weights: Array, moments: LinearMoments, plan: Plan) -> CodedWeights:
    return restored(Problem.of(moments.covariance(), moments.cross(), weights, plan.damping), plan)


def _weight_error(values: Array, weights: Array) -> float:
    return float(((values - weights) ** 2).sum() / max(float((weights**2).sum()), 1e-300))


def _is_int8(plan: Plan) -> bool:
    return is_int8(plan.weight_form, plan.input_form)


def _position(graph: Graph, name: str) -> int:
    return next(index for index, node in enumerate(graph.nodes) if node.name == name)
