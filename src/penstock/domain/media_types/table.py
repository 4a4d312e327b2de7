"""The media types that Penstock can tell by their bytes, as data: everything that is said of a type is said here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """What sort of thing an asset is."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    MODEL = "model"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaType:
    """One type. `name` is its essence: `type/subtype` in lower case.

    `synonyms` are names that mean the same. `related` are types or whole families (`*+zip`, `text/*`) whose files may
    show this one: what is stored in a ZIP, say. `inline`: a browser may display it in place (S10). `open_to_doubt`: a
    file of the type need not begin with bytes that show it, so nothing disproves the declaration of one.
    """

    name: str
    kind: Kind
    title: str
    synonyms: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    inline: bool = False
    open_to_doubt: bool = False


_IMAGES = (
    MediaType(
        name="image/png",
        kind=Kind.IMAGE,
        title="PNG picture",
        synonyms=("image/x-png",),
        related=("image/apng", "image/vnd.mozilla.apng"),
        extensions=("png", "apng"),
        inline=True,
    ),
    MediaType(
        name="image/jpeg",
        kind=Kind.IMAGE,
        title="JPEG picture",
        synonyms=("image/jpg", "image/pjpeg", "image/x-jpeg", "image/x-jpg", "image/jfif"),
        related=("image/mpo", "image/jps"),
        extensions=("jpg", "jpeg", "jfif"),
        inline=True,
    ),
    MediaType(
        name="image/webp",
        kind=Kind.IMAGE,
        title="WebP picture",
        synonyms=("image/x-webp",),
        extensions=("webp",),
        inline=True,
    ),
    MediaType(
        name="image/gif",
        kind=Kind.IMAGE,
        title="GIF picture",
        synonyms=("image/x-gif",),
        extensions=("gif",),
        inline=True,
    ),
    MediaType(
        name="image/avif",
        kind=Kind.IMAGE,
        title="AVIF picture",
        synonyms=("image/avif-sequence", "image/x-avif"),
        related=("image/heif",),
        extensions=("avif", "avifs"),
        inline=True,
    ),
    MediaType(
        name="image/heic",
        kind=Kind.IMAGE,
        title="HEIC picture (HEIF with HEVC)",
        synonyms=("image/heic-sequence", "image/x-heic"),
        related=("image/heif",),
        extensions=("heic", "heics", "hif"),
    ),
    MediaType(
        name="image/heif",
        kind=Kind.IMAGE,
        title="HEIF picture with another codec",
        synonyms=("image/heif-sequence", "image/x-heif"),
        related=("image/heic", "image/avif"),
        extensions=("heif", "heifs"),
    ),
    MediaType(
        name="image/tiff",
        kind=Kind.IMAGE,
        title="TIFF or BigTIFF picture",
        synonyms=("image/tif", "image/x-tiff", "image/x-tif", "image/tiff-fx"),
        related=(
            *("image/dng", "image/x-adobe-dng", "image/x-dcraw", "image/x-raw", "image/x-nikon-nef"),
            *("image/x-sony-arw", "image/x-canon-cr2", "image/x-pentax-pef", "image/x-samsung-srw", "image/geotiff"),
        ),
        extensions=("tif", "tiff"),
    ),
    MediaType(
        name="image/x-canon-cr3",
        kind=Kind.IMAGE,
        title="Canon raw picture",
        related=("image/x-raw", "image/x-dcraw"),
        extensions=("cr3",),
    ),
    MediaType(
        name="image/bmp",
        kind=Kind.IMAGE,
        title="BMP picture",
        synonyms=("image/x-bmp", "image/x-ms-bmp", "image/x-windows-bmp", "image/ms-bmp"),
        extensions=("bmp", "dib"),
    ),
    MediaType(
        name="image/x-icon",
        kind=Kind.IMAGE,
        title="Windows icon",
        synonyms=("image/vnd.microsoft.icon", "image/ico", "image/icon", "application/ico"),
        extensions=("ico",),
    ),
    MediaType(
        name="image/svg+xml",
        kind=Kind.IMAGE,
        title="SVG drawing",
        synonyms=("image/svg", "image/svg-xml", "application/svg+xml"),
        related=("application/xml", "text/*"),
        extensions=("svg",),
    ),
)

_VIDEOS = (
    MediaType(
        name="video/mp4",
        kind=Kind.VIDEO,
        title="MP4 film",
        synonyms=("video/x-m4v", "video/m4v", "video/x-mp4", "video/mpeg4"),
        related=("audio/mp4", "video/quicktime", "video/3gpp", "application/mp4", "video/iso.segment"),
        extensions=("mp4", "m4v"),
        inline=True,
    ),
    MediaType(
        name="video/quicktime",
        kind=Kind.VIDEO,
        title="QuickTime film",
        synonyms=("video/x-quicktime", "video/mov", "video/x-mov"),
        related=("video/mp4", "audio/quicktime", "application/mp4"),
        extensions=("mov", "qt"),
    ),
    MediaType(
        name="video/3gpp",
        kind=Kind.VIDEO,
        title="3GP film",
        synonyms=("video/3gp", "video/3gpp2", "video/3g2"),
        related=("video/mp4", "audio/3gpp", "application/mp4"),
        extensions=("3gp", "3g2"),
    ),
    MediaType(
        name="video/webm",
        kind=Kind.VIDEO,
        title="WebM film",
        synonyms=("video/x-webm",),
        related=("audio/webm", "video/x-matroska"),
        extensions=("webm",),
        inline=True,
    ),
    MediaType(
        name="video/x-matroska",
        kind=Kind.VIDEO,
        title="Matroska film",
        synonyms=("video/matroska", "video/mkv", "video/x-mkv", "video/matroska-3d", "application/x-matroska"),
        related=("video/webm", "audio/x-matroska"),
        extensions=("mkv", "mk3d"),
    ),
    MediaType(
        name="video/avi",
        kind=Kind.VIDEO,
        title="AVI film",
        synonyms=("video/x-msvideo", "video/msvideo", "video/vnd.avi", "application/x-troff-msvideo"),
        related=("video/x-avi", "video/divx"),
        extensions=("avi",),
    ),
    MediaType(
        name="video/ogg",
        kind=Kind.VIDEO,
        title="Ogg film",
        synonyms=("video/x-ogg", "video/ogv", "video/x-theora+ogg", "video/theora"),
        related=("audio/ogg",),
        extensions=("ogv",),
        inline=True,
    ),
)

_SOUNDS = (
    MediaType(
        name="audio/mpeg",
        kind=Kind.AUDIO,
        title="MP3 sound (MPEG audio, layers II and III)",
        synonyms=(
            *("audio/mp3", "audio/x-mp3", "audio/x-mpeg", "audio/mpeg3", "audio/x-mpeg-3", "audio/mpg", "audio/x-mpg"),
            *("audio/mpa", "audio/mp2", "audio/x-mp2", "audio/mpeg-3"),
        ),
        related=("audio/aac",),
        extensions=("mp3", "mp2", "mpga"),
        inline=True,
    ),
    MediaType(
        name="audio/wav",
        kind=Kind.AUDIO,
        title="WAV sound (RIFF, RF64 or BW64)",
        synonyms=(
            *("audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/x-pn-wav", "audio/x-wave"),
            *("audio/rf64", "audio/bwf"),
        ),
        extensions=("wav", "wave", "rf64", "bwf"),
        inline=True,
    ),
    MediaType(
        name="audio/x-w64",
        kind=Kind.AUDIO,
        title="Sony Wave64 sound",
        synonyms=("audio/w64", "audio/wave64"),
        related=("audio/wav",),
        extensions=("w64",),
    ),
    MediaType(
        name="audio/mp4",
        kind=Kind.AUDIO,
        title="M4A: MP4 with sound alone",
        synonyms=("audio/x-m4a", "audio/m4a", "audio/m4b", "audio/x-m4b", "audio/x-mp4"),
        related=("video/mp4", "audio/aac", "video/quicktime", "audio/quicktime", "audio/3gpp", "application/mp4"),
        extensions=("m4a", "m4b"),
        inline=True,
    ),
    MediaType(
        name="audio/quicktime",
        kind=Kind.AUDIO,
        title="QuickTime with sound alone",
        synonyms=("audio/x-quicktime", "audio/mov"),
        related=("video/quicktime", "audio/mp4", "video/mp4", "application/mp4"),
        extensions=("mov", "qta"),
    ),
    MediaType(
        name="audio/3gpp",
        kind=Kind.AUDIO,
        title="3GP with sound alone",
        synonyms=("audio/3gpp2", "audio/3gp", "audio/3g2"),
        related=("video/3gpp", "audio/mp4", "video/mp4", "audio/amr", "application/mp4"),
        extensions=("3gp", "3ga"),
    ),
    MediaType(
        name="audio/webm",
        kind=Kind.AUDIO,
        title="WebM with sound alone",
        synonyms=("audio/x-webm", "audio/weba"),
        related=("video/webm", "audio/x-matroska", "video/x-matroska"),
        extensions=("weba", "webm"),
        inline=True,
    ),
    MediaType(
        name="audio/x-matroska",
        kind=Kind.AUDIO,
        title="Matroska with sound alone",
        synonyms=("audio/matroska", "audio/mka", "audio/x-mka"),
        related=("video/x-matroska", "audio/webm"),
        extensions=("mka",),
    ),
    MediaType(
        name="audio/aac",
        kind=Kind.AUDIO,
        title="AAC sound in ADTS frames",
        synonyms=("audio/x-aac", "audio/aacp", "audio/x-aacp", "audio/vnd.dlna.adts", "audio/adts", "audio/x-adts"),
        related=("audio/mpeg", "audio/mp4"),
        extensions=("aac", "adts"),
    ),
    MediaType(
        name="audio/flac",
        kind=Kind.AUDIO,
        title="FLAC sound",
        synonyms=("audio/x-flac",),
        extensions=("flac",),
        inline=True,
    ),
    MediaType(
        name="audio/ogg",
        kind=Kind.AUDIO,
        title="Ogg sound (Opus, Vorbis, FLAC, Speex)",
        synonyms=(
            *("audio/x-ogg", "audio/opus", "audio/x-opus", "audio/vorbis", "audio/x-vorbis", "audio/x-vorbis+ogg"),
            *("audio/x-opus+ogg", "audio/oga", "application/ogg", "application/x-ogg", "audio/speex", "audio/x-speex"),
        ),
        related=("video/ogg",),
        extensions=("ogg", "oga", "opus", "spx"),
        inline=True,
    ),
    MediaType(
        name="audio/aiff",
        kind=Kind.AUDIO,
        title="AIFF sound",
        synonyms=("audio/x-aiff", "audio/aif", "audio/x-aif", "sound/aiff", "audio/x-pn-aiff"),
        related=("audio/aifc", "audio/x-aifc"),
        extensions=("aif", "aiff", "aifc"),
    ),
)

_MODELS = (
    MediaType(
        name="application/x-safetensors",
        kind=Kind.MODEL,
        title="safetensors weights",
        synonyms=("application/safetensors", "application/vnd.safetensors", "model/safetensors"),
        extensions=("safetensors",),
    ),
    MediaType(
        name="application/x-gguf",
        kind=Kind.MODEL,
        title="GGUF weights",
        synonyms=("application/gguf", "application/vnd.gguf", "model/gguf"),
        extensions=("gguf",),
    ),
)

_OTHERS = (
    MediaType(
        name="application/x-pytorch",
        kind=Kind.OTHER,
        title="PyTorch checkpoint: pickled code, never opened here",
        synonyms=("application/vnd.pytorch", "application/pytorch", "application/x-torch", "model/pytorch"),
        related=("application/x-pickle", "application/zip"),
        extensions=("ckpt", "pt", "pth", "bin"),
    ),
    MediaType(
        name="application/x-pickle",
        kind=Kind.OTHER,
        title="Python pickle: code, never opened here",
        synonyms=("application/pickle", "application/x-python-pickle", "application/python-pickle"),
        related=("application/x-pytorch",),
        extensions=("pkl", "pickle"),
        open_to_doubt=True,  # protocols 0 and 1 have no signature
    ),
    MediaType(
        name="application/x-hdf5",
        kind=Kind.OTHER,
        title="HDF5 data",
        synonyms=("application/x-hdf", "application/hdf5", "application/vnd.hdfgroup.hdf5"),
        related=("application/netcdf", "application/x-netcdf"),
        extensions=("h5", "hdf5"),
        open_to_doubt=True,  # its signature may stand behind a block of anything
    ),
    MediaType(
        name="application/x-git-lfs-pointer",
        kind=Kind.OTHER,
        title="Git LFS pointer: the name of a file that was not sent",
        related=("text/plain", "application/vnd.git-lfs+json"),
    ),
    MediaType(
        name="application/zip",
        kind=Kind.OTHER,
        title="ZIP archive",
        synonyms=("application/x-zip-compressed", "application/x-zip", "multipart/x-zip", "application/zip-compressed"),
        related=(
            *("*+zip", "application/vnd.openxmlformats-officedocument.*", "application/vnd.oasis.opendocument.*"),
            *("application/java-archive", "application/x-java-archive", "application/vnd.android.package-archive"),
            *("application/vnd.google-earth.kmz", "application/vnd.ms-excel*", "application/vnd.ms-word.*"),
            *(
                "application/msword",
                "application/vnd.ms-powerpoint*",
                "application/x-npz",
                "application/vnd.comicbook+zip",
                "model/3mf",
            ),
            *("application/x-cbz", "application/x-pytorch", "application/x-krita", "application/x-xpinstall"),
        ),
        extensions=("zip",),
    ),
    MediaType(
        name="application/gzip",
        kind=Kind.OTHER,
        title="gzip data",
        synonyms=("application/x-gzip", "application/gzip-compressed", "application/x-gunzip", "gzip/document"),
        related=(
            *("*+gzip", "application/x-gtar", "application/x-tgz", "application/x-compressed-tar"),
            *("application/x-tar", "application/x-compressed"),
        ),
        extensions=("gz", "tgz"),
    ),
    MediaType(
        name="application/pdf",
        kind=Kind.OTHER,
        title="PDF document",
        synonyms=("application/x-pdf", "text/pdf", "application/acrobat", "applications/vnd.pdf", "text/x-pdf"),
        related=("application/illustrator", "application/vnd.adobe.illustrator"),
        extensions=("pdf",),
    ),
    MediaType(
        name="application/postscript",
        kind=Kind.OTHER,
        title="PostScript program",
        synonyms=("application/eps", "application/x-eps", "image/eps", "image/x-eps"),
        related=("application/illustrator", "text/*"),
        extensions=("ps", "eps"),
        open_to_doubt=True,  # an EPS file may begin with a preview
    ),
    MediaType(
        name="text/html",
        kind=Kind.OTHER,
        title="HTML page",
        related=("application/xhtml+xml", "text/*"),
        extensions=("html", "htm"),
        open_to_doubt=True,
    ),
    MediaType(
        name="application/xhtml+xml",
        kind=Kind.OTHER,
        title="XHTML page",
        related=("text/html", "application/xml", "text/*"),
        extensions=("xhtml",),
        open_to_doubt=True,
    ),
    MediaType(
        name="application/xml",
        kind=Kind.OTHER,
        title="XML document",
        synonyms=("text/xml", "application/x-xml"),
        related=("*+xml", "text/*", "application/*", "model/*"),
        extensions=("xml",),
        open_to_doubt=True,
    ),
    MediaType(
        name="application/json",
        kind=Kind.OTHER,
        title="JSON document",
        synonyms=("text/json", "application/x-json"),
        related=("*+json", "text/*", "application/*", "model/*"),
        extensions=("json",),
        open_to_doubt=True,
    ),
    MediaType(
        name="text/plain",
        kind=Kind.OTHER,
        title="text in UTF-8 or UTF-16",
        synonyms=("plain/text", "text/txt"),
        related=(
            *("*+xml", "*+json", "text/*", "application/*", "message/*", "model/*", "image/x-portable-*"),
            *("image/x-xbitmap", "image/x-xpixmap", "image/vnd.dxf", "image/fits"),
            *("audio/mpegurl", "audio/x-mpegurl", "audio/x-scpls"),
        ),
        extensions=("txt",),
        open_to_doubt=True,
    ),
)

MEDIA_TYPES: Mapping[str, MediaType] = {one.name: one for one in (*_IMAGES, *_VIDEOS, *_SOUNDS, *_MODELS, *_OTHERS)}
"""Every type that the bytes can show, by name; images, films, sounds, models, others."""


def types_of(kind: Kind) -> tuple[MediaType, ...]:
    """The types that make a kind."""
    return tuple(one for one in MEDIA_TYPES.values() if one.kind is kind)
