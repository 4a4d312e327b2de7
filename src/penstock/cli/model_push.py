"""`penstock models push`: look at a file's header, complete what is said of it, send it, follow what becomes of it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.failures import fail
from penstock.cli.model_telling import Telling, told_what_stands
from penstock.cli.model_words import DECLARED, agreed, at_terminal, completed, present, said_of, taken, words_of
from penstock.cli.models import AsJson
from penstock.cli.progress import display
from penstock.cli.sessions import KeyOption, UrlOption, session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.client import Examination, Penstock, RegisteredModel

_LENGTH_BYTES = 8
_MOST_HEADER = 16 * 2**20
"""Bytes of a header that the server examines before the file is sent."""
_NAMING_BYTES = 2**16
"""Of a file that does not begin like a safetensors file: enough for the server to tell what it is."""
_AIR = re.compile(r"([^:@]+):[0-9]+@[0-9]+")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ASSET = re.compile(r"asset_[0-9a-fA-F-]+")
_LOOK_BACK = 1000
"""So many registrations are looked at for one that goes on: as many as an account may have on their way."""
_WRONG = frozenset({"mismatch", "incomplete", "unsupported", "unknown"})
_KNOWN_URL = "the file of this URL is used as it was fetched before; if it is another one now, say so with --identifier"
_NO_MODEL = "not_safetensors"
_PATIENCE = 12
"""Repetitions of a request once the server has answered: about a minute, in which it may come back."""


def push(  # noqa: PLR0913, PLR0917 - a command's options
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|URL|ASSET", help="A safetensors file, where the server fetches one, or an asset's id."
        ),
    ],
    air: Annotated[str, typer.Option(metavar="AIR", help="`source:number@version`, a source of your account.")],
    category: Annotated[
        str | None, typer.Option(metavar="WORD", help="checkpoint, lora, lycoris, controlnet, vae or embeddings.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", metavar="WORD", help="base, inpainting, refiner; of embeddings positive, negative."),
    ] = None,
    architecture: Annotated[
        str | None, typer.Option(metavar="WORD", help="What it is built like: sdxl, flux1d …")
    ] = None,
    conditioning: Annotated[str | None, typer.Option(metavar="WORD", help="Of a controlnet: canny, depth …")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="How lists call it. [default: the file's, or what it was]")
    ] = None,
    version: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Shown beside the name. [default: the AIR's, or what it was]")
    ] = None,
    identifier: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Stands for the content. [default: the file's SHA-256, or the URL]"),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Repeatable.")] = None,
    trigger: Annotated[
        list[str] | None, typer.Option(metavar="WORDS", help="What a prompt has to say. Repeatable.")
    ] = None,
    negative_trigger: Annotated[
        list[str] | None, typer.Option(metavar="WORDS", help="What a negative prompt has to say. Repeatable.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Of a checkpoint: its default steps. [default: 20]")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a checkpoint: its default scheduler. [default: its own]")
    ] = None,
    cfg: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Of a checkpoint: its default CFG scale. [default: 7]")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Of a checkpoint: its default strength. [default: 0.8]")
    ] = None,
    weight: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Of a LoRA: its default weight. [default: 1]")
    ] = None,
    hero_image: Annotated[
        str | None, typer.Option(metavar="URL", help="A picture that stands for it; shown, never fetched.")
    ] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="A short description.")] = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="For your account alone.")] = None,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Who sees it. [default: private]")] = None,
    despite_mismatch: Annotated[
        bool,
        typer.Option(
            "--despite-mismatch",
            help="Register a file that is not what is declared, where the server takes such files; without it you are "
            "asked at a terminal.",
        ),
    ] = False,
    as_json: AsJson = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Register a model: its header is looked at first, then the file is sent, checked and made ready.

    A push that was interrupted goes on when it is given again, within a day. Options that are left out are what the
    model says already, or what the file's header says. An empty text takes back what need not be said.
    """
    said = said_of(
        {
            "category": category,
            "type": kind,
            "architecture": architecture,
            "conditioning": conditioning,
            "name": name,
            "version_label": version,
            "unique_identifier": identifier,
            "tags": tag,
            "positive_trigger_words": trigger,
            "negative_trigger_words": negative_trigger,
            "default_steps": steps,
            "default_scheduler": scheduler,
            "default_cfg": cfg,
            "default_strength": strength,
            "default_weight": weight,
            "hero_image_url": hero_image,
            "short_description": description,
            "comment": comment,
            "private": None if public is None else not public,
        }
    )
    with session(url, api_key) as client:
        _check_air(client, air)
        if _is_url(what):
            plan = _plan_from_url(client, what, air, said)
        elif _ASSET.fullmatch(what) and not Path(what).exists():
            plan = _plan_from_asset(client, what, air, said)
        else:
            plan = _plan_from_file(client, Path(what), air, said, despite_mismatch=despite_mismatch)
    begun: list[Telling] = []
    with told_what_stands(begun), display(silent=as_json) as shown:
        begun.append(Telling(air, plan.name, shown, quiet=as_json))
        with session(url, api_key, retries=_PATIENCE, on_retry=begun[0].retried) as client:
            model = plan.carry_out(client, begun[0])
    print(json.dumps(model.as_json(), indent=2) if as_json else f"{model.air}  {model.urn}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be registered, with nothing left to ask: a file here, or `place`, a URL or an asset's id."""

    air: str
    name: str
    said: Mapping[str, Any]
    file: Path | None = None
    place: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def carry_out(self, client: Penstock, telling: Telling) -> RegisteredModel:
        """The model when it is ready."""
        for words in self.notes:
            telling.note(words)
        if self.file is not None:
            return client.push_model(self.file, self.air, on_step=telling.step, on_change=telling, **self.said)
        self._follow(client, telling)
        begun = client.register_model(self.air, **self.place, **self.said)
        client.wait_model_upload(begun.id, on_change=telling)
        return client.registered_model(self.air)

    def _follow(self, client: Penstock, telling: Telling) -> None:
        """Wait for the newest registration under the AIR, where it goes on and brings the same: then it is there."""
        from penstock.client import ModelUploadFailedError

        recent = islice(client.model_uploads(), _LOOK_BACK)
        newest = next((one for one in recent if one.air == self.air.lower()), None)
        if newest is None or newest.finished or newest.unique_identifier != self.said.get("unique_identifier"):
            return
        telling.step("follow", newest.received_bytes, newest.size_bytes or 0)
        with suppress(ModelUploadFailedError):  # another attempt may fare better
            client.wait_model_upload(newest.id, on_change=telling)


def _plan_from_file(
    client: Penstock, file: Path, air: str, said: Mapping[str, Any], *, despite_mismatch: bool
) -> _Plan:
    """Look at the header, and complete what is said."""
    judge = _Judge(client, file, despite=despite_mismatch)
    found = judge.look({})
    there = words_of(present(client, air))
    known = there or found.proposal
    if there:
        judge.hint = (
            f" {air} is registered as {_kind(there)}, which stands for what was left out; a file of another kind needs "
            "another AIR."
        )
    judged = judge({**known, **said})
    complete = completed(
        said, known, air=air, name=file.stem, architectures=judged.architectures or found.architectures
    )
    if any(complete.get(word) != {**known, **said}.get(word) for word in DECLARED):
        judged = judge(complete)
    words = "" if there else taken({word: value for word, value in found.proposal.items() if word not in said})
    return _Plan(air=air, name=file.name, said=complete, file=file, notes=(words, *judge.doubts, *judged.warnings))


def _plan_from_url(client: Penstock, url: str, air: str, said: Mapping[str, Any]) -> _Plan:
    """The server looks at the header before it fetches the rest, and warns at the end."""
    address = url.partition("?")[0]
    name = address.rstrip("/").rpartition("/")[2].removesuffix(".safetensors")
    there = present(client, air)
    complete = completed(said, words_of(there), air=air, name=name)
    complete.setdefault("unique_identifier", address)
    known = there is not None and there.unique_identifier == complete["unique_identifier"]
    notes = (_KNOWN_URL,) if known and "unique_identifier" not in said else ()
    return _Plan(air=air, name=name, said=complete, place={"url": url}, notes=notes)


def _plan_from_asset(client: Penstock, asset_id: str, air: str, said: Mapping[str, Any]) -> _Plan:
    """As with a URL; what stands for its content is the server's to say."""
    name = client.asset(asset_id).filename.removesuffix(".safetensors")
    complete = completed(said, words_of(present(client, air)), air=air, name=name)
    return _Plan(air=air, name=name, said=complete, place={"asset_id": asset_id})


def _is_url(what: str) -> bool:
    """Whether the server is to fetch it. Ends the program where it is an address that the server cannot fetch."""
    found = _ADDRESS.match(what)
    if found and found[1].lower() not in {"http", "https"}:
        fail(f"{found[0]}… cannot be fetched; an https URL can, and a file that is here")
    return found is not None


def _check_air(client: Penstock, air: str) -> None:
    """Whether the account could register under it: said now, not after a long file was sent."""
    found = _AIR.fullmatch(air)
    if found is None:
        fail(f"{air}: must be `source:number@version`, such as labs:100@1")
    own = [source.name for source in client.model_sources()]
    if found[1].lower() not in own:
        make = (
            f"POST /v1/model-sources with this key, or `penstock sources create --account … {found[1]}` on the server"
        )
        fail(
            f"the account has no AIR source {found[1]}; its sources: {', '.join(own) or 'none'} (source_not_owned). "
            f"If nobody has it, {make}, makes it the account's."
        )


class _Judge:
    """Asks the server whether a file is what is declared, before it is sent. Who goes on in spite of it says so.

    `hint` is what a refusal says beside its reason; `doubts` are those in spite of which it goes on.
    """

    def __init__(self, client: Penstock, file: Path, *, despite: bool) -> None:
        self._client = client
        self._file = file
        self._head, self._size = _header(file), file.stat().st_size
        self._despite = despite
        self.hint = ""
        self.doubts: list[str] = []

    def look(self, declared: Mapping[str, Any]) -> Examination:
        """What the file is. Ends the program where it is none that could be a model."""
        from penstock.client import InvalidRequestError

        try:
            return self._client.examine_model(self._head, size_bytes=self._size, **declared)
        except InvalidRequestError as error:
            if error.code != _NO_MODEL:
                raise
            fail(f"{self._file}: {error.detail} ({error.code})")

    def __call__(self, words: Mapping[str, Any]) -> Examination:
        """Ends the program where the server would refuse the file, or nobody wants to go on."""
        found = self.look({word: words.get(word) for word in DECLARED})
        if found.verdict in _WRONG or (found.verdict is None and found.message):
            self._go_on_in_spite_of(found)
        return found

    def _go_on_in_spite_of(self, found: Examination) -> None:
        message = f"{self._file.name}: {found.message}{self.hint}"
        if found.check == "enforce":
            fail(f"{message} Nothing was sent: this server refuses such files.")
        self.doubts.append(found.message)
        if self._despite or found.verdict is None:
            return  # without a verdict it is not declared yet
        if not at_terminal():
            fail(f"{message} Nothing was sent. This server takes such files: --despite-mismatch goes on.")
        if not agreed(f"{message}\nThis server takes such files. Register it all the same?"):
            fail("nothing was sent")
        self._despite = True


def _kind(words: Mapping[str, Any]) -> str:
    return " ".join(str(words[word]) for word in ("architecture", "type", "category") if words.get(word))


def _header(file: Path) -> bytes:
    """The first bytes up to the end of the header, or as many as there are; a few where there is no header."""
    try:
        with file.open("rb") as stream:
            head = stream.read(_NAMING_BYTES)
            end = _LENGTH_BYTES + int.from_bytes(head[:_LENGTH_BYTES], "little")
            return head + stream.read(max(end - len(head), 0)) if end <= _MOST_HEADER else head
    except IsADirectoryError:
        fail(f"{file} is a directory; a model is one safetensors file")
    except OSError as error:
        fail(f"{file}: {error.strerror or error}")
