"""Decoding of image files: from a file to the pixels that a network takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

GREY = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of images without colours."""
REDUCED = 2
"""A JPEG is decoded at a half, a quarter or an eighth of its size where that is still so many times what is needed."""


class UnreadableImage(ValueError):
    """An image that cannot be read; the message is a sentence that names it."""

    def __init__(self, message: str) -> None:
        # a worker of a DataLoader hands on its traceback as the message, which ends with the sentence
        super().__init__(message.strip().rpartition(f"{type(self).__name__}: ")[2])


def decoded(path: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The image (height, width, channels) in the file ``path``, made ``shape``, which is (channels, height, width).

    The shorter side is scaled to fit, and what is too long is cut off on both sides alike, as
    :func:`nni_earlyexit.nn.preprocessing.resized` does. Turned as its EXIF data say; transparency is left out.
    """
    channels, height, width = shape
    try:
        with Image.open(path) as image:
            if image.format == "JPEG":
                side = REDUCED * max(height, width)
                image.draft(None, (side, side))
            if image.format != "JPEG" or "exif" in image.info:
                ImageOps.exif_transpose(image, in_place=True)
            flat = _converted(image, "L" if channels == 1 else "RGB")
            pixels = np.asarray(_fitted(flat, height, width))
    except MemoryError:
        raise
    except Exception as error:  # of a dozen modules of Pillow, for a damaged file can hold anything
        raise UnreadableImage(f"data: the image {path!r} cannot be read: {_reason(error)}") from None
    return pixels.reshape(height, width, channels)


def header(path: str) -> tuple[int, int, int]:
    """Channels (1 or 3), height and width of the image in the file ``path``, without decoding it."""
    try:
        with Image.open(path) as image:
            if image.format == "TIFF":  # which Pillow turns by itself, at once or when it is decoded
                ImageOps.exif_transpose(image, in_place=True)
            width, height = image.size
            if image.getexif().get(0x0112, 1) >= 5:  # the orientations that lie on their side
                width, height = height, width
            return (1 if image.mode in GREY else 3), height, width
    except Exception as error:  # as above
        raise UnreadableImage(f"data: the image {path!r} cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = " ".join(str(error).split())
    return "it is no image that Pillow knows" if words.startswith("cannot identify") else words or type(error).__name__


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of no known range")
    if image.mode.startswith("I"):  # 16 bits, of which Pillow's own conversion would cut off all but the darkest
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)


def _fitted(image: Image.Image, height: int, width: int) -> Image.Image:
    if image.size == (width, height):
        return image
    scale = max(height / image.height, width / image.width)
    scaled = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    larger = image if image.size == scaled else image.resize(scaled, Image.Resampling.BILINEAR)
    return larger.crop((left, top, left + width, top + height))
