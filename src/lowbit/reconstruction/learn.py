"""Calibrated layers learn on, without labels, to give what the float network gives.

    reconstruct   block after block: sum |f(x) - f^(x^)|^2 of a block's output, x^ what really arrives; some
                  of its values, and of those inside, are not quantized, by chance
                  (BRECQ: Li et al., ICLR 2021; QDrop: Wei et al., ICLR 2022)
    distill       the whole network: KL(softmax f(x) || softmax f^(x)), and the squared differences behind
                  every block, relative to their power

Both move codes, encodings and biases by Adam with cosine rates, from where calibration ended; equal seeds
give equal networks. What is no nearer to the float network then, on these samples, stays as calibrated.
Everything is written back as codes, so the file is like any other quantized one.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import cos, pi, prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lowbit.budget import VARIABLE, budget
from lowbit.errors import PlanError, TooLargeError, UnsupportedError
from lowbit.ir import Graph
from lowbit.plan import Plan
from lowbit.reconstruction.blocks import Block, blocks_of, whole_of
from lowbit.reconstruction.piece import (
    Piece,
    Weights,
    float_piece,
    low_bit_piece,
    missing,
    runnable,
)
from lowbit.reconstruction.write import write_back

Samples = Mapping[str, npt.NDArray[np.generic]]
Values = dict[str, Tensor]
Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Course:
    """How learning goes.

    Attributes:
        passes: how often every sample is seen.
        batch: samples of a step; fewer where there are few, for `_STEPS` steps in a pass.
        rate: of latent weights of one bit, relative to the mean magnitude of a layer's; of finer levels by as
            much less as they lie nearer to each other.
        rate_of_encodings: of what encodings learn, relative to its magnitude, likewise; and of biases.
        dropped: the share of values that are not quantized, by chance.
        blended: the share of batches whose samples are blended with others (see `_blended`).
    """

    passes: int
    batch: int = 32
    rate: float = 0.1
    rate_of_encodings: float = 0.01
    dropped: float = 0.0
    blended: float = 0.0


COURSES = {"reconstruct": Course(20, rate=0.05, dropped=0.5), "distill": Course(40, blended=0.5)}
"""By method: first settings, tried on pictures outside calibration of two small networks; no search."""

_STEPS, _WARM = 8, 0.1
"""The fewest steps of a pass, and the share of all during which rates rise."""

_BATCH = 128
"""Samples that run together where nothing is learned."""

_TIMED, _FACTOR = 16, 8.0
"""Samples that say how long learning takes, and how many times a float pass a step costs a sample."""


class Learner:
    """What lets calibrated layers learn on.

    Args:
        network: the float one, in the form that is calibrated.
        plans: of quantized layers by name, those that share weights included.
        teams: names of layers that share weights, of all that are quantized.
        samples: of every input, `[n, ...]`.

    Raises:
        PlanError: layers have a scheme that nothing learns; all of them are named.
        TooLargeError: what is held of the samples takes more memory than `lowbit.budget` allows.
        UnsupportedError: operators that have no gradient here; all of them are named.
    """

    def __init__(
        self, network: Graph, plans: Mapping[str, Plan], teams: Sequence[Sequence[str]], samples: Samples
    ) -> None:
        _refuse_schemes(network, plans)
        _refuse_operators(network)
        self._plans, self._teams, self._network = plans, teams, network
        first = next(plan for plan in plans.values() if plan.learns)
        self.method, self.seed = first.method, first.seed
        usual = COURSES[self.method]
        self.course = replace(usual, passes=first.passes or usual.passes)
        self._samples, self._batch = _tensors(network, samples, self.course.batch)
        self._blocks = blocks_of(network, teams)
        self._before: tuple[Values, ...] = ()
        if self.method == "reconstruct":
            _refuse_sizes(network, self._blocks, self.count)

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(next(iter(self._samples.values())))

    @property
    def steps(self) -> tuple[str, ...]:
        """The blocks by their first layers, or the passes of the network."""
        if self.method == "reconstruct":
            return tuple(f"reconstruct {block.layers[0]}" for block in self._blocks)
        return tuple(f"distill, pass {number + 1}" for number in range(self.course.passes))

    @torch.no_grad()
    def seconds(self) -> float:
        """Return about how long learning takes, by a pass of the float network over a few samples."""
        teacher = float_piece(runnable(self._network), whole_of(self._network, self._plans))
        few = {name: array[:_TIMED] for name, array in self._samples.items()}
        teacher(few)  # once for what is made at the first call
        started = time.process_time()
        teacher(few)
        each = (time.process_time() - started) / min(self.count, _TIMED)
        return each * self.count * self.course.passes * _FACTOR

    def done(self, done: Sequence[str]) -> list[str]:
        """Return the steps among what is done with."""
        return [name for name in self.steps if name in done]

    def learn(
        self, network: Graph, low: Graph, after: str, done: list[str], say: Callable[[str], None]
    ) -> Iterator[str]:
        """Let the layers of a low-bit network learn that may, in place; yield the steps that are done with.

        Args:
            network: the float one, in the form that is calibrated.
            low: what has been made of it, its encoders and layers as they were put in.
            after: the layer that was calibrated last; "" in the end.
            done: names of the steps that are done with, which is added to.
            say: called with the name of each step before it.
        """
        self._network, self._float = network, runnable(network)
        if self.method == "reconstruct":
            yield from (name for name in self._block(low, after, done, say))
        elif not after and self.steps[-1] not in done:
            self._distill(low, say, done)
            yield self.steps[-1]

    def _block(self, low: Graph, after: str, done: list[str], say: Callable[[str], None]) -> Iterator[str]:
        """Let the block whose layers are all calibrated now learn to give its float output."""
        numbers = [
            number for number, block in enumerate(self._blocks) if self._calibrated_last(block) == after
        ]
        for number in numbers:
            block, name = blocks_of(self._network, self._teams)[number], self.steps[number]
            right, got = self._before or (self._samples, self._samples)
            wanted = self._run(float_piece(self._float, block), right)
            if name not in done:
                say(name)
                self._learn_block(low, block, right, got, wanted, self._chance(number))
                done.append(name)
                yield name
            found = self._run(self._student(low, block), got)
            self._before = tuple(dict(zip(block.outputs, each, strict=True)) for each in (wanted, found))

    def _calibrated_last(self, block: Block) -> str:
        """Return with which layer all of a block are calibrated: of those that share weights, the first."""
        first = {team[0] for team in self._teams}
        return [name for name in block.layers if name in first][-1]

    def _learn_block(
        self,
        low: Graph,
        block: Block,
        right: Values,
        got: Values,
        wanted: list[Tensor],
        chance: torch.Generator,
    ) -> None:
        student = self._student(low, block)
        before = self._behind(low, block, got, wanted), low.copy()
        self._learn(student, chance, self._of_block(student, right, got, wanted, chance))
        write_back(low, student, self._plans)
        if not self._behind(low, block, got, wanted) < before[0]:
            _take_back(low, before[1])

    def _behind(self, low: Graph, block: Block, got: Values, wanted: list[Tensor]) -> float:
        """Return how far a block is from what is wanted of it, over all samples."""
        found = self._run(self._student(low, block), got)
        return float(_difference(found, wanted, _spreads(wanted)))

    def _of_block(
        self, student: Piece, right: Values, got: Values, wanted: list[Tensor], chance: torch.Generator
    ) -> Loss:
        spreads = _spreads(wanted)

        def loss(at: Tensor) -> Tensor:
            found = student(_mixed(at, right, got, self.course.dropped, chance))
            return _difference(found, [each[at] for each in wanted], spreads)

        return loss

    def _distill(self, low: Graph, say: Callable[[str], None], done: list[str]) -> None:
        """Let the whole network learn to give the float scores, and what is behind every block."""
        blocks = blocks_of(self._network, self._teams)
        block, between = whole_of(self._network, self._plans), [each.outputs[0] for each in blocks[:-1]]
        teacher, student = float_piece(self._float, block), self._student(low, block)
        outputs = len(block.outputs)
        spreads = _spreads(self._run(teacher, self._first(_BATCH), between))
        chance = self._chance(0)

        def loss(at: Tensor) -> Tensor:
            values = {name: array[at] for name, array in self._samples.items()}
            if torch.rand((), generator=chance) < self.course.blended:
                values = _blended(values, chance)
            with torch.no_grad():
                wanted = teacher(values, between)
            found = student(values, between)
            behind = _difference(found[outputs:], wanted[outputs:], spreads[outputs:]) / max(len(between), 1)
            return _divergence(found[:outputs], wanted[:outputs], spreads[:outputs]) + behind

        before = self._apart(low, block), low.copy()

        def begins(number: int) -> None:
            done.extend(self.steps[max(number - 1, 0) : number])
            say(self.steps[number])

        self._learn(student, chance, loss, begins)
        write_back(low, student, self._plans)
        if not self._apart(low, block) < before[0]:
            _take_back(low, before[1])
        done.append(self.steps[-1])

    def _apart(self, low: Graph, block: Block) -> float:
        """Return how far apart the outputs of both networks are, over all samples."""
        right, got = (
            self._run(piece, self._samples)
            for piece in (float_piece(self._float, block), self._student(low, block))
        )
        return float(_divergence(got, right, _spreads(right)))

    def _first(self, count: int) -> Values:
        """Return about so many samples, in whole batches."""
        return {
            name: array[: max(count // self._batch, 1) * self._batch] for name, array in self._samples.items()
        }

    def _student(self, low: Graph, block: Block) -> Piece:
        return low_bit_piece(runnable(low), self._network, block, self._plans)

    def _chance(self, number: int) -> torch.Generator:
        """Return the chance of a step, the same whether what was before it ran or was kept."""
        return torch.Generator().manual_seed(self.seed + 1000003 * number)

    def _learn(
        self, piece: Piece, chance: torch.Generator, loss: Loss, begins: Callable[[int], None] | None = None
    ) -> None:
        course, steps = self.course, self.course.passes * (self.count // self._batch or 1)
        optimizer = torch.optim.Adam(_groups(piece, course))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step / steps))
        piece.drop(course.dropped, chance)
        for number in range(course.passes):
            if begins:
                begins(number)
            for at in _batches(self.count, self._batch, chance):
                optimizer.zero_grad()
                loss(at).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        piece.drop(0.0, chance)

    @torch.no_grad()
    def _run(self, piece: Piece, values: Values, more: Sequence[str] = ()) -> list[Tensor]:
        """Return the outputs of a block for all samples, and others of its values by name."""
        size = max(_BATCH // self._batch, 1) * self._batch if self._is_open else self._batch
        starts = range(0, len(next(iter(values.values()))), size)
        parts = [piece({name: each[at : at + size] for name, each in values.items()}, more) for at in starts]
        return [torch.cat(each) for each in zip(*parts, strict=True)]

    @property
    def _is_open(self) -> bool:
        return isinstance(self._network.value(self._network.inputs[0]).shape[0], str)


def _tensors(network: Graph, samples: Samples, batch: int) -> tuple[Values, int]:
    """Return samples as tensors, and how many go together; whole batches, where the network fixes them."""
    first, count = network.value(network.inputs[0]).shape[0], len(next(iter(samples.values())))
    batch = max(min(batch, count // _STEPS), 1)
    if isinstance(first, int):
        batch, count = first, count // first * first or count
    return {name: torch.from_numpy(np.array(array[:count])) for name, array in samples.items()}, batch


def _share(progress: float) -> float:
    """Return the share of the largest rate: rising at first, then falling as a cosine."""
    return min(progress / _WARM + 0.01, (1 + cos(pi * progress)) / 2)


def _take_back(low: Graph, before: Graph) -> None:
    """Let a network be what it was: what has learned is no nearer on its own samples."""
    low.nodes, low.values = before.nodes, before.values


def _batches(count: int, size: int, chance: torch.Generator) -> list[Tensor]:
    """Return samples in new batches; some are left out where they fill none."""
    found = torch.split(torch.randperm(count, generator=chance), size)
    return [at for at in found if len(at) == size] or list(found)


def _mixed(at: Tensor, right: Values, got: Values, share: float, chance: torch.Generator) -> Values:
    """Return what arrives for some samples, a share of it as in the float network."""
    made = {}
    for name, array in got.items():
        chosen = array[at]
        if share and chosen.is_floating_point():
            left = torch.rand(chosen.shape, generator=chance) < share
            chosen = torch.where(left, right[name][at], chosen)
        made[name] = chosen
    return made


def _blended(values: Values, chance: torch.Generator) -> Values:
    """Return every sample blended with another of its batch, each pair at a share of its own.

    The float network says what is right for a blend, so few samples show it many (mixup: Zhang et al., ICLR
    2018, whose labels are blended; here there are none). Integers stay, and what belongs to them does.
    """
    if not all(array.is_floating_point() for array in values.values()):
        return values
    count = len(next(iter(values.values())))
    share, others = torch.rand(count, generator=chance), torch.randperm(count, generator=chance)
    column = {name: share.view(-1, *[1] * (array.ndim - 1)) for name, array in values.items()}
    return {name: array.lerp(array[others], column[name]) for name, array in values.items()}


def _groups(piece: Piece, course: Course) -> list[dict[str, object]]:
    """Return what is learned, with rates that go with its magnitude."""
    found: list[dict[str, object]] = []

    def add(parameter: Tensor, rate: float) -> None:
        size = float(parameter.detach().abs().mean())
        found.append({"params": [parameter], "lr": rate * (size or 1.0)})

    for module in piece.learned():
        if isinstance(module, Weights):
            add(module.latent, course.rate * module.fineness)
            add(module.bias, course.rate_of_encodings)
        for parameter in module.quantizer.parameters():
            add(parameter, course.rate_of_encodings * module.fineness)
    return found


def _spreads(wanted: Sequence[Tensor]) -> list[Tensor]:
    """Return how much what is wanted varies over samples: the mean variance of its elements."""
    return [each.float().var(0, correction=0).mean().clamp(min=1e-12) for each in wanted]


def _difference(found: Sequence[Tensor], wanted: Sequence[Tensor], spreads: Sequence[Tensor]) -> Tensor:
    """Return the sum of squared differences, each relative to a spread; integers have none."""
    every = zip(found, wanted, spreads, strict=True)
    floats = [each for each in every if each[1].is_floating_point()]
    losses = [functional.mse_loss(got, right) / spread for got, right, spread in floats]
    return torch.stack(losses).sum() if losses else torch.zeros(())


def _divergence(found: Sequence[Tensor], wanted: Sequence[Tensor], spreads: Sequence[Tensor]) -> Tensor:
    """Return the divergence of rows of scores; of what is none, the squared difference as above."""

    def of(got: Tensor, right: Tensor, spread: Tensor) -> Tensor:
        if right.ndim != 2 or right.shape[1] < 2:
            return _difference([got], [right], [spread])
        logarithms = got.log_softmax(1), right.log_softmax(1)
        return functional.kl_div(*logarithms, reduction="batchmean", log_target=True)

    return torch.stack([of(*each) for each in zip(found, wanted, spreads, strict=True)]).sum()


def _refuse_schemes(network: Graph, plans: Mapping[str, Plan]) -> None:
    blocked: dict[str, list[str]] = {}
    for name, plan in plans.items():
        weights, inputs = (form.row.train if not form.is_float else None for form in plan.forms)
        if weights and not hasattr(weights, "CALIBRATED_WEIGHTS"):
            blocked.setdefault(f"weights of {plan.weight_form} are not learned on", []).append(name)
        if inputs and not hasattr(inputs, "CALIBRATED_INPUTS"):
            blocked.setdefault(f"inputs of {plan.input_form} are not learned on", []).append(name)
        if plan.weight_form.row.uniform and not (plan.symmetric and plan.per_channel):
            blocked.setdefault("weights need symmetric and per_channel", []).append(name)
    if blocked:
        found = "; ".join(f"{', '.join(names)}: {why}" for why, names in blocked.items())
        raise PlanError(
            "layers cannot learn on after calibration",
            where=network.name,
            found=found,
            remedy='Choose another scheme, or method = "gptq" for the network.',
        )


def _refuse_operators(network: Graph) -> None:
    found = missing(network)
    if found:
        raise UnsupportedError(
            "operators have no gradient here, so nothing can learn through them",
            where=network.name,
            found=", ".join(found),
            remedy='Take method = "gptq".',
        )


def _refuse_sizes(network: Graph, blocks: Sequence[Block], count: int) -> None:
    """Refuse more values between blocks than memory holds: of both networks, before and behind a block."""

    def size(names: Sequence[str]) -> int:
        shapes = (network.value(name).shape[1:] for name in names)
        return sum(prod(extent for extent in shape if isinstance(extent, int)) for shape in shapes)

    most, limit = 8 * count * max(size(block.inputs) + size(block.outputs) for block in blocks), budget()
    if most > limit:
        raise TooLargeError(
            "reconstruction holds what is between two blocks, for all samples",
            where=network.name,
            expected=f"at most {limit / 2**30:.1f} GiB",
            found=f"{most / 2**30:.1f} GiB of {count} samples",
            remedy=f'Take method = "distill", fewer samples, or raise {VARIABLE}.',
        )
