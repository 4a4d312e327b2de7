"""Still and animated pictures, by Pillow: size, orientation, frames, and a thumbnail of what is shown first.

What the header claims is checked before anything is decoded (S11, S12). A thumbnail is made of pixels alone: nothing of
the file's metadata, profiles and comments goes into it (S14).
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# Named one by one: importing a plugin registers it, and nothing can be imported once the doors are shut.
from PIL import (  # noqa: F401 - see above
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from penstock.adapters.media import frames
from penstock.adapters.media.faults import BROKEN, UnreadableError

if TYPE_CHECKING:
    from typing import BinaryIO

    from penstock.adapters.media.found import Found

FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
}
SIDE = 512
"""The longest a thumbnail is, in pixels."""
_READ_WHOLE = frozenset({"WEBP", "AVIF"})
"""Their plugins take the whole file into memory, to say the least of it."""
_QUALITY, _EFFORT = 80, 4
_ORIENTATION = 0x0112
_SIDEWAYS = frozenset({5, 6, 7, 8})
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WIDE = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How much may be seen: a picture has at most `pixels`; of one that is not `complete`, the header alone."""

    pixels: int
    complete: bool
    want_thumbnail: bool


def prepare() -> None:
    """What libraries do on first use is done now, while files can still be opened."""
    Image.preinit()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    for name in FORMATS.values():
        sample = io.BytesIO()
        Image.new("RGB", (16, 16)).save(sample, name)
        with Image.open(sample, formats=[name]) as image:
            image.load()
            write(image)


def look(file: BinaryIO, content_type: str, found: Found, view: View) -> None:
    """Facts and a thumbnail. Raises `UnreadableError` or `MemoryError`; what was seen before that stays in `found`."""
    name = FORMATS[content_type]
    if not view.complete and name in _READ_WHOLE:
        raise UnreadableError(_TOO_LARGE)
    frames.count(file, name, found)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's other warnings are about metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            _look(file, name, found, view)
    except (UnreadableError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError(BROKEN) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError(too_many(view.pixels)) from error
    except Exception as error:  # decoders raise SyntaxError, struct.error, EOFError … for broken files
        raise UnreadableError(BROKEN) from error


def write(image: Image.Image) -> bytes:
    """As WebP, pixels alone."""
    image.info.clear()
    target = io.BytesIO()
    image.save(target, "WEBP", quality=_QUALITY, method=_EFFORT, exif=b"", xmp=b"", icc_profile=b"")
    return target.getvalue()


def shrunk(image: Image.Image) -> Image.Image:
    """At most `SIDE` long, in a mode that WebP has."""
    plain = _plain(image)
    plain.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return plain


def _look(file: BinaryIO, name: str, found: Found, view: View) -> None:
    Image.MAX_IMAGE_PIXELS = None  # the facts of a bomb are facts, too: it is measured here, and not decoded below
    with Image.open(file, formats=[name]) as image:
        Image.MAX_IMAGE_PIXELS = view.pixels
        width, height = image.size
        orientation = _orientation(image)
        shown = (height, width) if orientation in _SIDEWAYS else (width, height)
        found.add(width=shown[0], height=shown[1], orientation=orientation)
        if name in _READ_WHOLE:
            found.add(frames=getattr(image, "n_frames", None) if getattr(image, "is_animated", False) else None)
        if width * height > view.pixels:
            raise UnreadableError(too_many(view.pixels))
        if not view.want_thumbnail:
            return
        if not view.complete:
            raise UnreadableError(_TOO_LARGE)
        image.draft(None, (SIDE, SIDE))
        image.load()
        small = shrunk(image)
        turn = _TURNS.get(orientation or 1)
        found.thumbnail = write(small.transpose(turn) if turn is not None else small)


_TOO_LARGE = "the file is too large to be decoded"


def too_many(pixels: int) -> str:
    """What is said against a picture beyond the limit."""
    return f"the picture has more than {pixels / 1e6:g} million pixels"


def _orientation(image: Image.Image) -> int | None:
    """The EXIF orientation, 1 to 8. A broken block is no reason to refuse good pixels."""
    if image.format == "PNG" and "exif" not in image.info:
        return None  # asking would decode the picture
    try:
        value = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001 - whatever a hostile block makes its parser raise
        return None
    return value if isinstance(value, int) and 1 <= value <= max(_TURNS) else None


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in _WIDE:
        return _narrowed(image)
    if image.mode in {"RGB", "RGBA"}:
        return image.convert("RGBA") if image.has_transparency_data and image.mode == "RGB" else image
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("RGB")


def _narrowed(image: Image.Image) -> Image.Image:
    """Sixteen bits and more, and fractions, as eight: what is darkest becomes black, what is brightest white."""
    image = image.reduce(max(1, max(image.size) // (2 * SIDE))) if image.mode in {"I", "F"} else image
    lowest, highest = _extremes(image)
    spread = (highest - lowest) or 1
    return image.convert("F").point(lambda value: value * (255 / spread) - lowest * 255 / spread).convert("RGB")


def _extremes(image: Image.Image) -> tuple[float, float]:
    extrema: Any = image.getextrema()
    if image.mode.startswith("I;16"):
        return 0, 65_535
    return float(extrema[0]), float(extrema[1])
