"""Pictures in a fixed number of views, and what a teacher says of each: drawn once, asked once.

With ``augmentation.views = v`` epoch e shows view e mod v of every picture, drawn from the seed and the
number of the view. After v epochs every view has been taught, and the teacher, whose forward pass costs a
quarter of a step, is not asked again. When augmentation ends (``until``) the pictures as they are make one
view more.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lowbit.errors import FileError
from lowbit.train.augmentation import augment
from lowbit.train.checkpoint import read_tensors, write_tensors
from lowbit.train.recipe import Recipe
from lowbit.train.samples import Samples
from lowbit.train.settings import Augmentation

TAUGHT = "taught.safetensors"

_TOGETHER = 1000  # pictures


def view_of(samples: Samples, settings: Augmentation, seed: int, number: int) -> Samples:
    """Return all samples in one view; bytes stay bytes where pictures only flip and move by whole pixels."""
    if number == settings.views:
        return samples
    random = torch.Generator().manual_seed((seed * 1_000_003 + number) * 7919 + 1)
    numbers = samples.numbers if _moves_only(settings) else samples.pictures(slice(None))
    parts = [augment(part, settings, random) for part in torch.split(numbers, _TOGETHER)]
    return replace(samples, numbers=torch.cat(parts))


def view_number(settings: Augmentation, epoch: int, epochs: int) -> int:
    """Return which view an epoch shows."""
    return epoch % settings.views if epoch / epochs < settings.until else settings.views


def _moves_only(settings: Augmentation) -> bool:
    return not (settings.shift or settings.rotation or settings.scale or settings.shear)


class Taught:
    """A teacher whose answers are kept by view and sample.

    Args:
        teacher: in eval mode, without gradients.
        recipe: whose run it is.
        samples: how many there are to learn from.
        folder: of the run; answers of an earlier start are read from it.
        made_from: hashes of the samples and of the teacher's weights: answers of others are not taken.
    """

    def __init__(
        self,
        teacher: nn.Module,
        recipe: Recipe,
        samples: int,
        folder: Path,
        made_from: Mapping[str, str] | None = None,
    ) -> None:
        self._teacher, self._samples, self._path = teacher, samples, folder / TAUGHT
        self._facts = {"recipe": recipe.to_dict(), "made_from": dict(made_from or {})}
        self._tables: dict[str, Tensor] = self._read()
        self._new = False

    def __call__(self, inputs: Tensor, view: int | None, chosen: Tensor) -> Tensor:
        """Return logits float32 `[n, classes]`.

        Args:
            inputs: of the teacher.
            view: which one they show, or None where they are drawn anew in every epoch.
            chosen: numbers of the samples.
        """
        if view is None:
            return self._ask(inputs)
        table = self._tables.get(str(view))
        known = None if table is None else table[chosen]
        if known is not None and not known.isnan().any():
            return known
        answer = self._ask(inputs)
        if table is None:
            table = answer.new_full((self._samples, answer.shape[1]), torch.nan)
            self._tables[str(view)] = table
        table[chosen] = answer
        self._new = True
        return answer

    def keep(self) -> None:
        """Write the answers, where there are new ones."""
        if self._new:
            write_tensors(self._path, self._tables, self._facts)
            self._new = False

    def _ask(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            answer: Tensor = self._teacher(inputs).float()
        return answer

    def _read(self) -> dict[str, Tensor]:
        """Return what an earlier start kept; what cannot be read, or is another run's, is asked again."""
        try:
            tensors, facts = read_tensors(self._path)
        except FileError:
            return {}
        return tensors if facts == self._facts else {}
