"""Picture files as arrays, decoded by Pillow: one format list, one size, sizes before memory.

A picture's header states its size; it is compared with the others' before a pixel is decoded. JPEG is lossy:
its quality is read from the quantization tables, by comparing them with those that each quality makes.
"""

import io
import os
import re
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lowbit.data.limits import check_samples_size
from lowbit.errors import DataError, FileError, LowbitError, MissingExtra, TooLargeError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from lowbit.data.framing import Framing

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm")
MOST_PIXELS = 1 << 24
"""The most that one picture may have."""

_FORMATS = ("PNG", "JPEG", "BMP", "PPM")
_CHANNELS = {"L": 1, "RGB": 3}

Pictures = npt.NDArray[np.uint8]


def open_picture(content: bytes, where: str, most_pixels: int = MOST_PIXELS) -> "ImageFile":
    """Return a picture with its header read and no pixel decoded.

    Args:
        content: of the file.
        where: the file, for messages.
        most_pixels: that it may have.

    Raises:
        FileError: it is damaged, or of another format.
        TooLargeError: it says that it has more pixels.
        MissingExtra: Pillow is not installed.
    """
    pillow = _pillow()
    try:
        with warnings.catch_warnings(action="error", category=pillow.DecompressionBombWarning):
            image: ImageFile = pillow.open(io.BytesIO(content), formats=_FORMATS)
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise _too_large(where, f"{most_pixels} pixels", str(error)) from error
    except Exception as error:
        raise damaged_picture(where, re.sub(r" ?<_io\.[^>]*>", "", str(error))) from error
    if image.width * image.height > most_pixels:
        raise _too_large(where, f"{most_pixels} pixels", f"{image.width}x{image.height}")
    return image


def damaged_picture(where: str, found: str) -> FileError:
    """Return the error of a file that is no picture; `found` is what the decoder says."""
    return FileError(
        "this is no picture, or it is damaged",
        where=where,
        expected=f"a file of {', '.join(_FORMATS)}",
        found=found[:160],
        remedy="Fetch it again.",
    )


def flattened(image: Any, mode: str) -> Any:
    """Return a picture in a mode, ``L`` or ``RGB``; what is transparent becomes white."""
    from PIL import Image

    if image.mode == mode:
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert(mode)


def decode_pictures(
    files: Iterable[tuple[str, bytes | FileError]], framing: "Framing | None" = None
) -> tuple[Pictures, str]:
    """Return pictures ``[n, c, h, w]`` and what is lossy about them: ``JPEG q75``, or nothing.

    Args:
        files: a name for messages, and the bytes of a picture file, or why there are none.
        framing: how pictures of any size become one size.

    Raises:
        DataError: no pictures, other sizes or colours than the first, neither grey nor RGB.
        FileError: a file is damaged, or of another format.
        TooLargeError: a picture, or all together, have too many pixels.
        MissingExtra: Pillow is not installed.

    All pictures that cannot be used are named in one error.
    """
    pictures: list[Pictures] = []
    lossy: set[str] = set()
    unusable: list[LowbitError] = []
    for where, content in files:
        try:
            picture, quality = _decode(content, where, pictures[0].shape if pictures else None, framing)
        except (TooLargeError, MissingExtra):
            raise
        except (FileError, DataError) as error:
            unusable.append(error)
            continue
        pictures.append(picture)
        lossy.add(quality)
        check_samples_size((len(pictures), *picture.shape), picture.dtype, where)
    if unusable:
        raise _all_of(unusable, len(pictures) + len(unusable))
    if not pictures:
        raise DataError("there are no pictures", expected=f"files of {', '.join(_FORMATS)}", found="none")
    lossy.discard("")
    return np.stack(pictures), lossy.pop() if len(lossy) == 1 else "JPEG" if lossy else ""


def _all_of(errors: list[LowbitError], count: int) -> LowbitError:
    """Return one error that names all pictures, by what is wrong with them."""
    if len(errors) == 1:
        return errors[0]
    reasons: dict[str, list[LowbitError]] = {}
    for error in errors:
        reasons.setdefault(error.message, []).append(error)
    texts = []
    for message, those in reasons.items():
        named = ", ".join(f"{error.where} ({error.found})" for error in those[:_NAMED])
        texts.append(f"{len(those)}: {message}: {named}" + (", …" if len(those) > _NAMED else ""))
    first = next((error for error in errors if isinstance(error, FileError)), errors[0])
    kind = FileError if isinstance(first, FileError) else DataError
    return kind(
        f"{len(errors)} of {count} pictures cannot be used",
        where=os.path.commonpath([Path(error.where).parent for error in errors]),
        expected="; ".join(dict.fromkeys(error.expected for error in errors)),
        found="; ".join(texts),
        remedy=" ".join(dict.fromkeys(error.remedy for error in errors)),
    )


_NAMED = 5


def _decode(
    content: bytes | FileError, where: str, shape: tuple[int, ...] | None, framing: "Framing | None" = None
) -> tuple[Pictures, str]:
    """Return a picture ``[c, h, w]`` and ``JPEG q…`` where it is one."""
    if isinstance(content, FileError):
        raise content
    image = open_picture(content, where)
    found = (_CHANNELS.get(image.mode, 0), image.height, image.width)
    if not found[0] and not (framing and framing.colours):
        raise DataError(
            "the picture has other colours",
            where=where,
            expected="grey (L) or RGB of eight bits",
            found=image.mode,
            remedy="Convert it, or all while they are read: --colours rgb, or grey.",
        )
    if framing is None:
        _check_shape(found, shape, where)
    try:
        pixels = np.asarray(image if framing is None else framing.applied(image, where), np.uint8)
    except LowbitError:
        raise
    except Exception as error:  # whatever a decoder stumbles over
        raise damaged_picture(where, str(error)) from error
    made = pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)
    _check_shape(made.shape, shape, where)
    return np.ascontiguousarray(made), _lossy(image)


def _check_shape(found: tuple[int, ...], shape: tuple[int, ...] | None, where: str) -> None:
    """Refuse a picture of another shape than the first one's."""
    if shape not in (None, found):
        raise DataError(
            "pictures differ in size or colours",
            where=where,
            expected=f"{shape} as the first one, channels first",
            found=f"{found}",
            remedy="Crop and scale all to one size: --resize 256 --crop 224, or --resize 32x32; "
            "of grey and coloured ones make one kind: --colours rgb, or grey.",
        )


def _lossy(image: "ImageFile") -> str:
    if image.format != "JPEG":
        return ""
    quality = _qualities().get(_tables(image))
    return "JPEG" if quality is None else f"JPEG q{quality}"


@cache
def _qualities() -> dict[tuple[tuple[int, ...], ...], int]:
    """Return the quality by its tables, those of the JPEG standard scaled."""
    found = {}
    for quality in range(1, 101):
        buffer = io.BytesIO()
        _pillow().new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
        found[_tables(open_picture(buffer.getvalue(), "sample"))] = quality
    return found


def _tables(image: "ImageFile") -> tuple[tuple[int, ...], ...]:
    """Return the quantization tables of luminance and, where there is colour, of chrominance."""
    tables = getattr(image, "quantization", {})
    return tuple(tuple(tables[key]) for key in sorted(tables))


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingExtra("pillow", "data") from error
    return Image


def _too_large(where: str, expected: str, found: str) -> TooLargeError:
    return TooLargeError("pictures are too large", where=where, expected=f"at most {expected}", found=found)
