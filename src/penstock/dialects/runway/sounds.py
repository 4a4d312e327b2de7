"""Runway's requests about sound: what may stand in a body, and where files stand in it (see `bodies`).

The builtin models make no sound; these are for models of the operator's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock.dialects.runway.bodies import FileMember, Generation, Text

Words = Annotated[str, Field(min_length=1, max_length=32_000)]


class Voice(BaseModel):
    """One of the product's voices by name, or the sound of one."""

    model_config = ConfigDict(strict=True)

    type: str = "reference-audio"
    presetId: str | None = None  # noqa: N815 - the wire's word
    audioUri: str | None = None  # noqa: N815 - the wire's word


class Media(BaseModel):
    """A sound, or a film for the sake of its sound."""

    model_config = ConfigDict(strict=True)

    type: Literal["audio", "video"]
    uri: str


class _WithVoice(Generation):
    voice: Voice | None = None

    def files(self) -> Iterator[FileMember]:
        """The voice, where it is a file."""
        if self.voice is not None and self.voice.audioUri is not None:
            yield FileMember(path=("voice", "audioUri"), text=self.voice.audioUri, kinds=("audio",), name="voice")

    def model_input(self) -> dict[str, object]:
        """Also the name of the voice, as `voicePreset`."""
        preset = self.voice.presetId if self.voice is not None else None
        return super().model_input() | ({} if preset is None else {"voicePreset": preset})


class TextToSpeech(_WithVoice):
    """`POST /v1/text_to_speech`."""

    promptText: Words  # noqa: N815 - the wire's word
    speed: float | None = None


class SoundEffect(Generation):
    """`POST /v1/sound_effect`."""

    promptText: Text  # noqa: N815 - the wire's word
    duration: Annotated[float, Field(ge=0.5, le=30)] | None = None
    loop: bool | None = None
    referenceAudios: Annotated[list[str], Field(max_length=3)] | None = None  # noqa: N815 - the wire's word

    def files(self) -> Iterator[FileMember]:
        """Sounds that the prompt speaks of."""
        for index, text in enumerate(self.referenceAudios or ()):
            name = "referenceAudios" if index == 0 else f"referenceAudios{index + 1}"
            yield FileMember(path=("referenceAudios", index), text=text, kinds=("audio",), name=name)


class SpeechToSpeech(_WithVoice):
    """`POST /v1/speech_to_speech`."""

    media: Media
    removeBackgroundNoise: bool | None = None  # noqa: N815 - the wire's word

    def files(self) -> Iterator[FileMember]:
        """What is spoken, of the kind that its `type` says, and the voice."""
        yield FileMember(path=("media", "uri"), text=self.media.uri, kinds=(self.media.type,), name="media")
        yield from super().files()


class _OfSound(Generation):
    audioUri: str  # noqa: N815 - the wire's word

    def files(self) -> Iterator[FileMember]:
        """The sound."""
        yield FileMember(path=("audioUri",), text=self.audioUri, kinds=("audio",), name="audioUri")


class VoiceIsolation(_OfSound):
    """`POST /v1/voice_isolation`."""


class VoiceDubbing(_OfSound):
    """`POST /v1/voice_dubbing`."""

    targetLang: Annotated[str, Field(min_length=2, max_length=20)]  # noqa: N815 - the wire's word
    disableVoiceCloning: bool | None = None  # noqa: N815 - the wire's word
    dropBackgroundAudio: bool | None = None  # noqa: N815 - the wire's word
    numSpeakers: Annotated[int, Field(ge=1, le=99)] | None = None  # noqa: N815 - the wire's word


ENDPOINTS: dict[str, type[Generation]] = {
    "text_to_speech": TextToSpeech,
    "sound_effect": SoundEffect,
    "speech_to_speech": SpeechToSpeech,
    "voice_isolation": VoiceIsolation,
    "voice_dubbing": VoiceDubbing,
}
