"""Runway's generation requests, one class for each endpoint: what may stand in a body, and where files stand in it.

Members that are not listed are ignored (inferred: the official clients let their callers add some).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from penstock.domain.errors import InvalidField, InvalidFields

_MOST_UNITS = 1000
_ANY_RATIO = re.compile(r"[1-9]\d{0,4}:[1-9]\d{0,4}\Z")
_TAG = re.compile(r"[A-Za-z]\w{2,15}\Z", re.ASCII)
_VIDEO_RATIOS = ("1280:720", "720:1280", "1104:832", "960:960", "832:1104", "1584:672")
_WIDE_OR_TALL = ("1280:720", "720:1280")
_FULL_HD_RATIOS = ("1280:720", "720:1280", "1080:1920", "1920:1080")
_IMAGE_RATIOS = (
    *("1024:1024", "1080:1080", "1168:880", "1360:768", "1440:1080", "1080:1440", "1808:768", "1920:1080"),
    *("1080:1920", "2112:912", "1280:720", "720:1280", "720:720", "960:720", "720:960", "1680:720"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMember:
    """A file in a body: where it stands, what names it, the kinds that fit, and the model's input it goes in under."""

    path: tuple[str | int, ...]
    text: str
    kinds: tuple[str, ...]
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What one model of the product asks beyond its endpoint. No `ratios`: any; `most`: entries by array."""

    ratios: tuple[str, ...] = ()
    durations: Sequence[int] = ()
    required: tuple[str, ...] = ()
    most: tuple[tuple[str, int], ...] = ()


def _bounded(text: str) -> str:
    """1 to 1000 UTF-16 code units (RW-50)."""
    if not 1 <= len(text.encode("utf-16-le", "surrogatepass")) // 2 <= _MOST_UNITS:
        raise PydanticCustomError("length", "must have 1 to 1000 UTF-16 code units")
    return text


def _some_ratio(text: str) -> str:
    if not _ANY_RATIO.match(text):
        raise PydanticCustomError("ratio", "must be a ratio such as 1280:720")
    return text


def _tag(text: str) -> str:
    if not _TAG.match(text):
        raise PydanticCustomError("tag", "must have 3 to 16 letters, digits and underscores, a letter first")
    return text


Text = Annotated[str, AfterValidator(_bounded)]
Ratio = Annotated[str, AfterValidator(_some_ratio)]
Percent = Annotated[int, Field(ge=0, le=100)]
Seed = Annotated[int, Field(ge=0, le=4294967295)]
Duration = Annotated[int, Field(ge=2, le=10)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class ContentModeration(BaseModel):
    """Checked, and without effect: nothing is moderated here."""

    model_config = ConfigDict(strict=True, extra="forbid")

    publicFigureThreshold: Literal["auto", "low"] | None = None  # noqa: N815 - the wire's word


class Frame(_Part):
    """One entry of `promptImage`."""

    uri: str
    position: Literal["first", "last"]


class LoneFrame(Frame):
    """What a `promptImage` that is no array stands for."""

    position: Literal["first", "last"] = "first"


class Keyframe(_Part):
    """An image at a place in the film; which place is not looked at."""

    uri: str


class ReferenceImage(_Part):
    """An image that the prompt may speak of by its tag."""

    uri: str
    tag: Annotated[str, AfterValidator(_tag)] | None = None


class Image(_Part):
    """An image among references."""

    type: Literal["image"] = "image"
    uri: str


class Video(_Part):
    """A film among references."""

    type: Literal["video"]
    uri: str


class Audio(_Part):
    """A sound among references."""

    type: Literal["audio"]
    uri: str


class Character(_Part):
    """Whom `character_performance` moves."""

    type: Literal["image", "video"]
    uri: str


class Generation(_Part):
    """What every endpoint takes. `RULES` are those of the product's own models; others have none beside."""

    RULES: ClassVar[dict[str, Rules]] = {}

    model: str
    seed: Seed | None = None
    contentModeration: ContentModeration | None = None  # noqa: N815 - the wire's word

    def files(self) -> Iterator[FileMember]:
        """The files of the body, in its order."""
        yield from ()

    def model_input(self) -> dict[str, object]:
        """What the model gets: plain members under the wire's names, and the files under those of `files`."""
        plain: dict[str, object] = {
            name: value
            for name, value in self
            if name != "model" and isinstance(value, str | int | float) and name not in _FILE_MEMBERS
        }
        return plain | {file.name: file.text for file in self.files()}

    @model_validator(mode="after")
    def _as_the_model_asks(self) -> Self:
        """Raises `InvalidField` or `InvalidFields`, which pass through the validation as they are."""
        wrong = list(self._problems(self.RULES.get(self.model, Rules())))
        if wrong:
            raise wrong[0] if len(wrong) == 1 else InvalidFields(tuple(wrong))
        return self

    def _problems(self, rules: Rules) -> Iterator[InvalidField]:
        for name in rules.required:
            if getattr(self, name) is None:
                yield InvalidField((name,), "Required", rule="missing")
        for name, allowed in (("ratio", rules.ratios), ("duration", rules.durations)):
            value = getattr(self, name, None)
            if value is not None and allowed and value not in allowed:
                words = ", ".join(map(str, allowed))
                yield InvalidField((name,), f"must be one of {words}", rule="literal_error")
        for name, most in rules.most:
            if len(getattr(self, name) or ()) > most:
                yield InvalidField((name,), f"must have at most {most}", rule="too_long")


class _WithReferences(Generation):
    """Further files that some models take beside the one that they work on."""

    references: Annotated[list[Image], Field(max_length=9)] | None = None
    referenceVideos: Annotated[list[Video], Field(max_length=9)] | None = None  # noqa: N815 - the wire's word
    referenceAudio: Annotated[list[Audio], Field(max_length=9)] | None = None  # noqa: N815 - the wire's word

    def files(self) -> Iterator[FileMember]:
        """The files of the arrays."""
        yield from _entries("references", self.references, "image")
        yield from _entries("referenceVideos", self.referenceVideos, "video")
        yield from _entries("referenceAudio", self.referenceAudio, "audio")


def _frames(value: object) -> object:
    return [LoneFrame(uri=value)] if isinstance(value, str) else value


class ImageToVideo(_WithReferences):
    """`POST /v1/image_to_video`."""

    RULES: ClassVar[dict[str, Rules]] = {
        "gen4.5": Rules(ratios=_VIDEO_RATIOS, required=("promptText", "duration"), most=(("promptImage", 1),)),
        "gen4_turbo": Rules(ratios=_VIDEO_RATIOS, most=(("promptImage", 1),)),
        **dict.fromkeys(("veo3.1", "veo3.1_fast"), Rules(ratios=_FULL_HD_RATIOS, durations=(4, 6, 8))),
    }

    promptImage: Annotated[list[Frame], Field(min_length=1, max_length=2), BeforeValidator(_frames)]  # noqa: N815 - wire
    promptText: Text | None = None  # noqa: N815 - the wire's word
    ratio: Ratio
    duration: Duration | None = None
    outputFormat: str | None = None  # noqa: N815 - the wire's word
    proresProfile: str | None = None  # noqa: N815 - the wire's word

    def files(self) -> Iterator[FileMember]:
        """The first frame, the last one, and references."""
        for number, frame in enumerate(self.promptImage):
            path = ("promptImage",) if isinstance(frame, LoneFrame) else ("promptImage", number, "uri")
            name = "promptImage" if frame.position == "first" else "promptImageLast"
            yield FileMember(path=path, text=frame.uri, kinds=("image",), name=name)
        yield from super().files()

    def _problems(self, rules: Rules) -> Iterator[InvalidField]:
        yield from super()._problems(rules)
        one_of_each = len({frame.position for frame in self.promptImage}) == len(self.promptImage)
        last_alone = [frame.position for frame in self.promptImage] == ["last"]
        for number, frame in enumerate(self.promptImage):
            if frame.position == "last" and (last_alone or dict(rules.most).get("promptImage") == 1):
                yield InvalidField(("promptImage", number, "position"), "must be first", rule="literal_error")
        if not one_of_each:
            yield InvalidField(("promptImage",), "must have one image for each position")


class TextToVideo(_WithReferences):
    """`POST /v1/text_to_video`."""

    RULES: ClassVar[dict[str, Rules]] = {
        "gen4.5": Rules(ratios=_WIDE_OR_TALL, required=("duration",)),
        **dict.fromkeys(("veo3.1", "veo3.1_fast"), Rules(ratios=_FULL_HD_RATIOS, durations=(4, 6, 8))),
    }

    promptText: Text  # noqa: N815 - the wire's word
    ratio: Ratio | None = None
    duration: Duration | None = None


class VideoToVideo(_WithReferences):
    """`POST /v1/video_to_video`. Some models call their film `promptVideo`."""

    RULES: ClassVar[dict[str, Rules]] = {"gen4_aleph": Rules(required=("promptText",), most=(("references", 1),))}

    videoUri: str | None = None  # noqa: N815 - the wire's word
    promptVideo: str | None = None  # noqa: N815 - the wire's word
    promptText: Text | None = None  # noqa: N815 - the wire's word
    ratio: Ratio | None = None
    duration: Duration | None = None
    keyframes: Annotated[list[Keyframe], Field(max_length=5)] | None = None

    def files(self) -> Iterator[FileMember]:
        """The film, images at places in it, and references."""
        for name, text in (("videoUri", self.videoUri), ("promptVideo", self.promptVideo)):
            if text is not None:
                yield FileMember(path=(name,), text=text, kinds=("video",), name=name)
        yield from _entries("keyframes", self.keyframes, "image")
        yield from super().files()

    def _problems(self, rules: Rules) -> Iterator[InvalidField]:
        if self.videoUri is None and self.promptVideo is None:
            yield InvalidField(("videoUri",), "Required", rule="missing")
        yield from super()._problems(rules)


class TextToImage(Generation):
    """`POST /v1/text_to_image`."""

    RULES: ClassVar[dict[str, Rules]] = {
        "gen4_image": Rules(ratios=_IMAGE_RATIOS, most=(("referenceImages", 3),)),
        "gen4_image_turbo": Rules(ratios=_IMAGE_RATIOS, required=("referenceImages",), most=(("referenceImages", 3),)),
    }

    promptText: Text  # noqa: N815 - the wire's word
    ratio: Ratio
    referenceImages: Annotated[list[ReferenceImage], Field(min_length=1, max_length=16)] | None = None  # noqa: N815 - wire

    def files(self) -> Iterator[FileMember]:
        """The reference images."""
        yield from _entries("referenceImages", self.referenceImages, "image")


class ImageUpscale(Generation):
    """`POST /v1/image_upscale`."""

    imageUri: str  # noqa: N815 - the wire's word
    scaleFactor: Literal[2, 4, 8, 16] | None = None  # noqa: N815 - the wire's word
    flavor: Literal["sublime", "photo", "photo_denoiser"] | None = None
    sharpen: Percent | None = None
    smartGrain: Percent | None = None  # noqa: N815 - the wire's word
    ultraDetail: Percent | None = None  # noqa: N815 - the wire's word

    def files(self) -> Iterator[FileMember]:
        """The image."""
        yield FileMember(path=("imageUri",), text=self.imageUri, kinds=("image",), name="imageUri")


class VideoUpscale(Generation):
    """`POST /v1/video_upscale`."""

    videoUri: str  # noqa: N815 - the wire's word
    resolution: Literal["720p", "1k", "2k", "4k"] | None = None
    flavor: Literal["vivid", "natural"] | None = None
    creativity: Percent | None = None
    sharpen: Percent | None = None
    smartGrain: Percent | None = None  # noqa: N815 - the wire's word
    fpsBoost: bool | None = None  # noqa: N815 - the wire's word

    def files(self) -> Iterator[FileMember]:
        """The film."""
        yield FileMember(path=("videoUri",), text=self.videoUri, kinds=("video",), name="videoUri")


class CharacterPerformance(Generation):
    """`POST /v1/character_performance`."""

    RULES: ClassVar[dict[str, Rules]] = {"act_two": Rules(ratios=_VIDEO_RATIOS)}

    character: Character
    reference: Video
    bodyControl: bool | None = None  # noqa: N815 - the wire's word
    expressionIntensity: Annotated[int, Field(ge=1, le=5)] | None = None  # noqa: N815 - the wire's word
    ratio: Ratio | None = None

    def files(self) -> Iterator[FileMember]:
        """The character, which is of the kind that its `type` says, and the film of who plays it."""
        kind = self.character.type
        yield FileMember(path=("character", "uri"), text=self.character.uri, kinds=(kind,), name="character")
        yield FileMember(path=("reference", "uri"), text=self.reference.uri, kinds=("video",), name="reference")


ENDPOINTS: dict[str, type[Generation]] = {
    "image_to_video": ImageToVideo,
    "text_to_video": TextToVideo,
    "video_to_video": VideoToVideo,
    "text_to_image": TextToImage,
    "image_upscale": ImageUpscale,
    "video_upscale": VideoUpscale,
    "character_performance": CharacterPerformance,
}
_FILE_MEMBERS = frozenset({"videoUri", "promptVideo", "imageUri", "audioUri"})


def _entries(
    name: str, entries: Sequence[Keyframe | ReferenceImage | Image | Video | Audio] | None, kind: str
) -> Iterator[FileMember]:
    """The files of an array: the first goes in under the array's name, the others with their number behind it."""
    for index, entry in enumerate(entries or ()):
        given = name if index == 0 else f"{name}{index + 1}"
        yield FileMember(path=(name, index, "uri"), text=entry.uri, kinds=(kind,), name=given)
