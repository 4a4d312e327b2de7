"""Reading and writing picture files with Pillow. What a file claims is checked before it is decoded (S11, S12)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

# Named one by one: importing a plugin registers it. MPO (JPEG with further pictures behind it) is opened as JPEG.
from PIL import (
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from penstock.adapters.runners.builtin.faults import UnusableInputError

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.adapters.runners.builtin.planes import Plane

FORMATS = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        GifImagePlugin.GifImageFile,
    )
)
MAX_SIDE = 16_383
"""WebP's own limit, and half of what OpenCV's warps can address."""
_NOT_A_PICTURE = "the file is not a picture that can be read; JPEG, PNG, WebP and GIF can"
_BROKEN = "the picture is damaged or incomplete"
_SIXTEEN_BIT = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A decoded picture, upright: 8-bit BGR, and alpha where it had any transparency. `profile` is its ICC profile."""

    bgr: Plane
    alpha: Plane | None
    profile: bytes | None
    frames: int


def read_photo(path: Path, *, max_pixels: int) -> Photo:
    """Decode a picture, its EXIF orientation applied. Raises `UnusableInputError` for whatever is wrong with it."""
    try:
        with warnings.catch_warnings():
            # Pillow's own cap (89 million pixels) is the second line. Its other warnings are about metadata.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _read(path, max_pixels)
    except (UnusableInputError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UnusableInputError(_NOT_A_PICTURE) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnusableInputError(_too_many(max_pixels)) from error
    except Exception as error:  # decoders raise SyntaxError, struct.error, EOFError … for broken files
        raise UnusableInputError(_BROKEN) from error


def write_png(pixels: Plane, path: Path, *, profile: bytes | None) -> None:
    """Write 8-bit BGR or BGRA as PNG: lightly compressed, for the time it would take."""
    _image(pixels).save(path, "PNG", compress_level=3, icc_profile=profile)


def write_jpeg(pixels: Plane, path: Path, *, quality: int, profile: bytes | None) -> None:
    """Write 8-bit BGR as JPEG."""
    _image(pixels).save(path, "JPEG", quality=quality, icc_profile=profile)


def write_webp(pixels: Plane, path: Path, *, quality: int, profile: bytes | None) -> None:
    """Write 8-bit BGR or BGRA as WebP."""
    _image(pixels).save(path, "WEBP", quality=quality, method=3, icc_profile=profile)


def _read(path: Path, max_pixels: int) -> Photo:
    with Image.open(path, formats=FORMATS) as image:
        _check_size(image.size, max_pixels)
        image.load()
        return _decoded(image)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise UnusableInputError(_too_many(max_pixels))
    if max(size) > MAX_SIDE:
        raise UnusableInputError(f"the picture is {width} × {height} pixels; a side may have at most {MAX_SIDE}")


def _too_many(max_pixels: int) -> str:
    return f"the picture has more than {max_pixels / 1e6:g} million pixels"


def _decoded(image: Image.Image) -> Photo:
    frames = int(getattr(image, "n_frames", 1))
    profile = image.info.get("icc_profile")
    upright = _upright(image)
    alpha: Plane | None = None
    if upright.mode in _SIXTEEN_BIT:
        bgr = cv2.cvtColor((np.asarray(upright, dtype=np.float32) / 257).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    elif upright.has_transparency_data:
        rgba = np.asarray(upright.convert("RGBA"))
        bgr = cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGR)
        alpha = rgba[..., 3] if int(rgba[..., 3].min()) < 255 else None  # noqa: PLR2004 - opaque everywhere
    else:
        bgr = cv2.cvtColor(np.asarray(upright.convert("RGB")), cv2.COLOR_RGB2BGR)
    # A profile describes the file's own channels; grey and CMYK have become RGB here.
    keeps_profile = image.mode in {"RGB", "RGBA", "P"} and isinstance(profile, bytes)
    return Photo(bgr=bgr, alpha=alpha, profile=profile if keeps_profile else None, frames=frames)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - a broken EXIF block is no reason to refuse good pixels
        return image


def _image(pixels: Plane) -> Image.Image:
    if pixels.shape[2] == 4:  # noqa: PLR2004 - blue, green, red, alpha
        return Image.fromarray(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)))
    return Image.fromarray(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)))
