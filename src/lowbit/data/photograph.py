"""A photograph of any size as a network takes it: turned upright, cropped to the middle, made small.

turn        as the camera noted
cut         the part that is meant, where somebody says it
flatten     what is transparent becomes white
crop        the largest middle part of the network's proportions
resize      by Lanczos' filter over all pixels of the crop

Where somebody says how pictures become the network's size, or its file remembers it, that stands in the
place of the last two (`lowbit.data.framing`).
"""

from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.budget import budget
from lowbit.data.framing import Framing
from lowbit.data.pictures import Pictures, damaged_picture, flattened, open_picture
from lowbit.errors import DataError
from lowbit.ir.graph import Shape
from lowbit.untrusted import read_file

MOST_PIXELS = 1 << 26
"""The most that a photograph may have; decoded, it takes 200 MB."""

Part = tuple[int, int, int, int]
"""Left edge, top edge, width and height of a part of an upright photograph, in pixels."""

_MOST_BYTES = 1 << 28
_BYTES_OF_A_PIXEL = 16  # while a transparent picture is turned and flattened


def read_photograph(
    path: Path,
    shape: tuple[int, int, int],
    *,
    crop: Part | None = None,
    invert: bool = False,
    framing: Framing | None = None,
) -> Pictures:
    """Return a photograph as ``uint8 [channels, height, width]``.

    Args:
        path: a PNG, JPEG, BMP or PPM file.
        shape: channels (1 is grey, 3 is RGB), height and width.
        crop: the part of the photograph that is meant; all of it when not said.
        invert: make black white, for networks that know white digits on black alone.
        framing: how it becomes that size.

    Raises:
        FileError: it is no picture, or damaged.
        DataError: the part is empty, or not inside the photograph.
        TooLargeError: it is larger than `MOST_PIXELS`, or than the memory budget allows, or says so.
        MissingExtra: Pillow is not installed.
    """
    channels, height, width = shape
    most = min(MOST_PIXELS, budget() // _BYTES_OF_A_PIXEL)
    image = open_picture(read_file(path, limit=_MOST_BYTES), str(path), most)
    from PIL import Image, ImageOps

    mode = "RGB" if channels == 3 else "L"
    try:
        if crop is None and framing is None:
            image.draft(mode, (2 * width, 2 * height))  # JPEG: decode no more than needed
        upright = _part(ImageOps.exif_transpose(image), crop, str(path))
        flat = flattened(upright, mode)
        if framing is not None:
            small = _required_size(framing.applied(flat, str(path)), (width, height), str(path))
        else:
            small = ImageOps.fit(flat, (width, height), Image.Resampling.LANCZOS)
    except DataError:
        raise
    except Exception as error:  # whatever a decoder stumbles over
        raise damaged_picture(str(path), str(error)) from error
    pixels = np.asarray(small, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)
    return np.ascontiguousarray(255 - pixels if invert else pixels)


def picture_shape(shape: Shape) -> tuple[int, int, int] | None:
    """Return channels, height and width of a network's sample, or None where it is no picture.

    ``[c, h, w]``, ``[h, w, c]`` and ``[h, w]`` are what they say; a vector is a square picture, grey or RGB,
    where its length allows.
    """
    lengths = [length for length in shape if isinstance(length, int)]
    if len(lengths) != len(shape):
        return None
    if len(lengths) == 3 and lengths[0] in (1, 3):
        return lengths[0], lengths[1], lengths[2]
    if len(lengths) == 3 and lengths[2] in (1, 3):
        return lengths[2], lengths[0], lengths[1]
    if len(lengths) == 2:
        return 1, lengths[0], lengths[1]
    if len(lengths) == 1:
        for channels in (1, 3):
            side = isqrt(lengths[0] // channels)
            if side > 1 and channels * side * side == lengths[0]:
                return channels, side, side
    return None


def channels_first(pixels: Pictures, shape: tuple[int, int, int]) -> Pictures:
    """Return a sample's pixels as ``[c, h, w]``, which is the shape that `picture_shape` found."""
    last = pixels.ndim == 3 and pixels.shape != shape
    return pixels.transpose(2, 0, 1) if last else pixels.reshape(shape)


def required_picture_shape(shape: Shape, where: str) -> tuple[int, int, int]:
    """Return the same.

    Raises:
        DataError: the network takes no pictures.
    """
    found = picture_shape(shape)
    if found is None:
        raise DataError(
            "the network takes no pictures",
            where=where,
            expected="samples [1 or 3, height, width], channels first or last, or a square of them in a row",
            found=f"samples {tuple(shape)}",
            remedy="Use --data and --index instead of a picture.",
        )
    return found


def _part(image: Any, crop: Part | None, where: str) -> Any:
    """Return a part of an upright picture.

    Raises:
        DataError: it is empty, or not inside.
    """
    if crop is None:
        return image
    left, top, width, height = crop
    inside = min(left, top) >= 0 and left + width <= image.width and top + height <= image.height
    if not inside or min(width, height) < 1:
        raise DataError(
            "the part is not inside the photograph",
            where=where,
            expected=f"x,y,w,h within {image.width} x {image.height} pixels, w and h 1 or more",
            found=",".join(map(str, crop)),
        )
    return image.crop((left, top, left + width, top + height))


def _required_size(image: Any, size: tuple[int, int], where: str) -> Any:
    if image.size != size:
        raise DataError(
            "the picture is not of the network's size",
            where=where,
            expected=f"{size[1]}x{size[0]}",
            found=f"{image.height}x{image.width}",
            remedy=f"Say --resize or --crop so that it is: --crop {size[1]}x{size[0]}.",
        )
    return image
