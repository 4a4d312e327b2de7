"""`penstock models push`: look at a file's header, complete what is said of it, send it, follow what becomes of it."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.failures import fail
from penstock.cli.models import AsJson
from penstock.cli.sessions import KeyOption, UrlOption, progress_bar, session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.client import Examination, ModelUpload, Penstock

_LENGTH_BYTES = 8
_MOST_HEADER = 16 * 2**20
"""Bytes of a header that the server examines before the file is sent."""
_NAMING_BYTES = 2**16
"""Of a file that does not begin like a safetensors file: enough for the server to tell what it is."""
_PIECE = 2**20
_AIR = re.compile(r"([^:@]+):[0-9]+@[0-9]+")
_LONG_TEXT = 60
_ASSET_SECONDS = 24 * 3600
"""The file as it was sent goes by itself; the model has bytes of its own."""
_TYPES = {"checkpoint": ("base", "inpainting", "refiner"), "embeddings": ("positive", "negative")}
_CATEGORIES = ("checkpoint", "lora", "lycoris", "controlnet", "vae", "embeddings")
_DECLARED = ("category", "architecture", "type", "conditioning")
_NEEDED = ("category", "type", "architecture", "name", "version_label")
_KEPT = (*_DECLARED, "name", "version_label")
"""What a model that is there already keeps, unless the command says otherwise."""
_FLAGS = {"version_label": "--version"}
_WRONG = frozenset({"mismatch", "incomplete", "unsupported", "unknown"})
_WORDS = {
    "validated": "accepted",
    "downloaded": "all bytes are here, and they are what was said",
    "optimized": "laid out for loading",
    "stored": "at rest",
    "ready": "it can be used",
}
"""The phases in their order."""


def push(  # noqa: PLR0913, PLR0917 - a command's options
    what: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="A safetensors file, or where the server fetches it.")
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
    weight: Annotated[float | None, typer.Option(metavar="NUMBER", help="Of a LoRA: its default weight.")] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="A short description.")] = None,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Who sees it. [default: private]")] = None,
    as_json: AsJson = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Register a model: its header is looked at first, then the file is sent, checked and made ready."""
    given: dict[str, Any] = {
        "category": category,
        "type": kind,
        "architecture": architecture,
        "conditioning": conditioning,
        "name": name,
        "version_label": version,
        "unique_identifier": identifier,
        "tags": tag,
        "positive_trigger_words": trigger,
        "default_weight": weight,
        "short_description": description,
        "private": None if public is None else not public,
    }
    said = {field: value for field, value in given.items() if value is not None}
    with session(url, api_key) as client:
        register = _register_url if what.startswith(("http://", "https://")) else _register_file
        told = _Told(air, as_json=as_json)
        begun = register(client, what, air, said, told)
        client.wait_model_upload(begun.id, on_change=told)
        model = client.registered_model(air)
        print(json.dumps(model.as_json(), indent=2) if as_json else f"{model.air}  {model.urn}")


def _register_file(client: Penstock, source: str, air: str, said: Mapping[str, Any], told: _Told) -> ModelUpload:
    """Look at the header, complete what is said, hash and send the file, register it."""
    file = Path(source)
    _check_air(client, air)
    head, size = _header(file), file.stat().st_size
    found = client.examine_model(head, size_bytes=size)
    present = _present(client, air)
    known = present or found.proposal
    judged = _judged(client, file, head, size, {**known, **said})
    complete = _complete(
        said, known, air=air, name=file.stem, architectures=judged.architectures or found.architectures
    )
    if any(complete.get(field) != {**known, **said}.get(field) for field in _DECLARED):
        judged = _judged(client, file, head, size, complete)
    if not present:
        told.note(_taken({field: value for field, value in found.proposal.items() if field not in said}))
    for warning in judged.warnings:
        told.note(warning)
    complete.setdefault("unique_identifier", _sha256(file))
    with progress_bar(file.name) as advance:
        asset = client.upload_file(
            file, content_type="application/octet-stream", expires_in=_ASSET_SECONDS, on_progress=advance
        )
    return client.register_model(air, asset_id=asset.id, **complete)


def _register_url(client: Penstock, source: str, air: str, said: Mapping[str, Any], told: _Told) -> ModelUpload:
    """The server looks at the header before it fetches the rest, and warns at the end."""
    del told
    address = source.partition("?")[0]
    name = address.rstrip("/").rpartition("/")[2].removesuffix(".safetensors")
    complete = _complete(said, _present(client, air), air=air, name=name)
    complete.setdefault("unique_identifier", address)
    return client.register_model(air, url=source, **complete)


def _check_air(client: Penstock, air: str) -> None:
    """Whether the account could register under it: said now, not after a long file was sent."""
    found = _AIR.fullmatch(air)
    if found is None:
        fail(f"{air}: must be `source:number@version`")
    own = [source.name for source in client.model_sources()]
    if found[1].lower() not in own:
        fail(f"the account has no AIR source {found[1]}; its sources: {', '.join(own) or 'none'} (source_not_owned)")


def _taken(proposal: Mapping[str, Any]) -> str:
    """In one line, what the header says for options that were left out; long values not to their end."""
    texts = {field: ", ".join(value) if isinstance(value, list) else str(value) for field, value in proposal.items()}
    words = ", ".join(
        f"{field} {text if len(text) <= _LONG_TEXT else text[:_LONG_TEXT] + '…'}" for field, text in texts.items()
    )
    return f"the file says {words}" if words else ""


def _present(client: Penstock, air: str) -> Mapping[str, Any]:
    """What is said already of the account's own model under that AIR; nothing where there is none."""
    from penstock.client import NotFoundError

    try:
        model = client.registered_model(air)
    except NotFoundError:
        return {}
    return {field: getattr(model, field) for field in _KEPT} if model.owned else {}


def _judged(client: Penstock, file: Path, head: bytes, size: int, words: Mapping[str, Any]) -> Examination:
    """Ends the program where the file is not what is declared, or nothing that could be."""
    declared = {field: words.get(field) for field in _DECLARED}
    found = client.examine_model(head, size_bytes=size, **declared)
    if found.verdict in _WRONG or (found.verdict is None and found.message):
        fail(f"{file.name}: {found.message}")
    return found


def _complete(
    said: Mapping[str, Any], known: Mapping[str, Any], *, air: str, name: str, architectures: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What is said, what the model or the file's header says, and what somebody at a terminal says to the rest."""
    complete = {field: value for field, value in {**known, **said}.items() if value is not None}
    complete.setdefault("name", name or air)
    complete.setdefault("version_label", air.rpartition("@")[2])
    for field in _NEEDED:
        if field not in complete and (field != "type" or complete.get("category") in _TYPES):
            choices = {"category": _CATEGORIES, "type": _TYPES.get(complete.get("category", ""), ())}
            complete[field] = _asked(field, choices.get(field, architectures), read=bool(architectures))
    if complete["category"] not in _TYPES:
        complete.pop("type", None)
    return complete


def _asked(field: str, choices: tuple[str, ...], *, read: bool) -> str:
    """Ask at a terminal; elsewhere say which option is missing. `read`: the file's header was looked at."""
    flag = _FLAGS.get(field, f"--{field.replace('_', '-')}")
    likely = f" ({', '.join(choices)})" if choices else ""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        missing = f"the file does not tell its {field}" if read else f"the model's {field} is needed"
        fail(f"{missing}; say it with {flag}{likely}")
    # On standard error, for standard output is what the command prints; click's own prompt writes to both.
    usual = f" [{choices[0]}]" if choices else ""
    print(f"{field}{likely}{usual}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip() or next(iter(choices), "")
    if not answer:
        fail(f"{field} is needed; say it with {flag}")
    return answer


def _header(file: Path) -> bytes:
    """The first bytes up to the end of the header, or as many as there are; a few where there is no header."""
    try:
        with file.open("rb") as stream:
            head = stream.read(_NAMING_BYTES)
            end = _LENGTH_BYTES + int.from_bytes(head[:_LENGTH_BYTES], "little")
            return head + stream.read(max(end - len(head), 0)) if end <= _MOST_HEADER else head
    except OSError as error:
        fail(f"{file}: {error.strerror or error}")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


class _Told:
    """Tells on standard error, once: notes, and each phase, also those that passed between two looks."""

    def __init__(self, air: str, *, as_json: bool) -> None:
        self._air = air
        self._silent = as_json
        self._coming = list(_WORDS)
        self._noted = {""}

    def note(self, words: str) -> None:
        """Something about the model that is not a phase."""
        if words not in self._noted:
            print(f"penstock: {self._air}: {words}", file=sys.stderr)
        self._noted.add(words)

    def __call__(self, upload: ModelUpload) -> None:
        """A new look at the upload."""
        while upload.phase in self._coming:
            phase = self._coming.pop(0)
            if not self._silent:
                print(f"{self._air}: {phase}: {_WORDS[phase]}", file=sys.stderr)
            if phase == "ready":
                for warning in upload.warnings:
                    self.note(warning)
