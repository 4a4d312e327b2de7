"""Media facts: what a decoder saw in a file. All measured, none declared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """What is known of a picture, a film or a sound; None where it does not apply or could not be told.

    `width` and `height` are pixels as shown, `orientation` (1–8, EXIF) already applied. `duration` is seconds, `fps`
    frames per second, `sample_rate` Hz. `frames` counts those of an animation, `pages` those of a document or TIFF.
    """

    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    frames: int | None = None
    pages: int | None = None
    duration: float | None = None
    fps: float | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    channels: int | None = None
    sample_rate: int | None = None
