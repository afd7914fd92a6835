"""Resize and crop: pictures of any size as a network takes them, by the rules that torchvision made usual.

resize N      the shorter side becomes N, the other in proportion: floor(N · longer / shorter)
resize HxW    both become these
crop N, HxW   the middle of that size, from row round((height - h) / 2) on
colours       grey: (299 R + 587 G + 114 B) / 1000 (ITU-R BT.601, Pillow's); rgb: grey three times

Resizing is bilinear over all pixels (Pillow's, antialiased). A network's file remembers all three. What is
asked for once (`asked_framing`) holds for all samples that are loaded inside, whoever loads them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lowbit.data.dataset import Raw
from lowbit.data.limits import check_samples_size
from lowbit.data.pictures import flattened
from lowbit.errors import DataError, ModelFormatError
from lowbit.ir import Graph

if TYPE_CHECKING:
    from PIL.Image import Image

KEY = "pictures"
MOST = 1 << 14
"""The longest side that may be asked for."""

_SIZE = re.compile(r"(\d{1,5})(?:x(\d{1,5}))?")
_NOTE = re.compile(r"resize=(\S+) crop=(\S+)(?: colours=(\S+))?")
_MODES = {"grey": "L", "rgb": "RGB"}


@dataclass(frozen=True)
class Framing:
    """How pictures become the size that a network takes.

    Attributes:
        resize: the shorter side ``(n,)``, or height and width ``(h, w)``; nothing leaves the size.
        crop: height and width of the middle that is taken; nothing takes all.
        colours: ``grey`` or ``rgb``, which every picture becomes; nothing leaves them.
    """

    resize: tuple[int, ...] = ()
    crop: tuple[int, ...] = ()
    colours: str = ""

    @classmethod
    def of(cls, resize: str | None, crop: str | None, colours: str | None = None) -> "Framing | None":
        """Return what is meant by ``256`` or ``256x320`` for both sizes; None where nothing is said.

        Raises:
            DataError: one is no size, or the colours are others.
        """
        if not (resize or crop or colours):
            return None
        if colours and colours not in _MODES:
            raise DataError(
                "pictures have no such colours",
                where="--colours",
                expected=" or ".join(_MODES),
                found=repr(colours),
            )
        shorter, middle = _size(resize, "resize"), _size(crop, "crop")
        return cls(shorter, middle * 2 if len(middle) == 1 else middle, colours or "")

    def __str__(self) -> str:
        words = ("x".join(map(str, size)) or "none" for size in (self.resize, self.crop))
        return "resize={} crop={}".format(*words) + (f" colours={self.colours}" if self.colours else "")

    def applied(self, image: "Image", where: str) -> "Image":
        """Return a picture, resized, cropped and in its colours.

        Raises:
            DataError: it is smaller than what is to be cropped.
        """
        from PIL.Image import Resampling

        if self.colours:
            image = flattened(image, _MODES[self.colours])
        if self.resize:
            image = image.resize(self._resized(image.width, image.height), Resampling.BILINEAR)
        if not self.crop:
            return image
        height, width = self.crop
        if image.height < height or image.width < width:
            raise DataError(
                "the picture is smaller than what is to be cropped",
                where=where,
                expected=f"at least {height}x{width}",
                found=f"{image.height}x{image.width}",
                remedy="Make it larger first (--resize).",
            )
        top, left = round((image.height - height) / 2), round((image.width - width) / 2)
        return image.crop((left, top, left + width, top + height))

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if len(self.resize) == 2:
            return self.resize[1], self.resize[0]
        (size,) = self.resize
        short = min(width, height)
        return size * width // short, size * height // short


_asked: ContextVar[Framing | None] = ContextVar("lowbit_framing", default=None)


@contextmanager
def asked_framing(framing: Framing | None) -> Iterator[None]:
    """Let pictures that are loaded inside, in this thread, become this size; None changes nothing."""
    before = _asked.set(framing or _asked.get())
    try:
        yield
    finally:
        _asked.reset(before)


def framing_or_asked(framing: Framing | None) -> Framing | None:
    """Return a framing, or where there is none what was asked for around."""
    return framing or _asked.get()


def framed(raw: Raw, framing: Framing | None, name: str) -> Raw:
    """Return pictures of a source that holds arrays, resized and cropped.

    Raises:
        DataError: the source holds no pictures of bytes.
    """
    if framing is None:
        return raw
    pictures = raw.samples[:, None] if raw.samples.ndim == 3 else raw.samples
    if (
        not raw.pictures
        or pictures.dtype != np.uint8
        or pictures.ndim != 4
        or pictures.shape[1] not in (1, 3)
    ):
        raise DataError(
            "only pictures are resized and cropped",
            where=name,
            expected="pictures of bytes, grey or in colours",
            found=f"{pictures.dtype} {list(pictures.shape)}",
            remedy="Give arrays as the network takes them.",
        )
    from PIL import Image

    made: list[npt.NDArray[np.uint8]] = []
    for picture in pictures:
        image = Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0))
        pixels = np.asarray(framing.applied(image, name))
        made.append(np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)))
        check_samples_size((len(pictures), *made[0].shape), made[0].dtype, name)
    return replace(raw, samples=np.stack(made), notes=(*raw.notes, str(framing)))


def remembered_framing(graph: Graph, asked: Framing | None = None) -> Framing | None:
    """Return how pictures become a network's size: as asked for, else as its file remembers.

    Raises:
        ModelFormatError: what the file remembers is no such thing.
    """
    text, asked = graph.metadata.get(KEY), framing_or_asked(asked)
    if asked is not None or text is None:
        return asked
    found = _NOTE.fullmatch(text)
    try:
        words = [None if word == "none" else word for word in found.groups()] if found else [None, None]
        made = Framing.of(*words)
    except DataError:
        made = None
    if made is None:
        raise ModelFormatError(
            f"the note {KEY} does not say how pictures are resized",
            where=graph.name,
            expected="resize=256 crop=224",
            found=repr(text[:80]),
            remedy="Say it with --resize, --crop and --colours.",
        )
    return made


def remember_framing(graph: Graph, framing: Framing | None) -> None:
    """Write it into a graph's metadata, or what was asked for around, where there is one."""
    framing = framing_or_asked(framing)
    if framing is not None:
        graph.metadata[KEY] = str(framing)


def _size(text: str | None, what: str) -> tuple[int, ...]:
    if not text:
        return ()
    found = _SIZE.fullmatch(text)
    size = tuple(int(number) for number in found.groups() if number) if found else ()
    if not size or not all(1 <= length <= MOST for length in size):
        raise DataError(
            f"this is no size to {what} to",
            where=f"--{what}",
            expected="such as 256 or 256x320",
            found=repr(text),
        )
    return size
