"""`penstock models`: bring weights to the registry, look at them, check them, take them away."""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.failures import fail
from penstock.cli.sessions import KeyOption, UrlOption, progress_bar, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from penstock.client import Examination, ModelUpload, Penstock, RegisteredModel

_LENGTH_BYTES = 8
_MOST_HEADER = 16 * 2**20
"""Bytes of a header that the server examines before the file is sent."""
_PIECE = 2**20
_ASSET_SECONDS = 24 * 3600
"""The file as it was sent goes by itself; the model has bytes of its own."""
_TYPES = {"checkpoint": ("base", "inpainting", "refiner"), "embeddings": ("positive", "negative")}
_NEEDED = ("category", "type", "architecture", "name", "version_label")
_FLAGS = {"version_label": "--version"}
_WORDS = {
    "validated": "accepted",
    "downloaded": "all bytes are here, and they are what was said",
    "optimized": "laid out for loading",
    "stored": "at rest",
    "ready": "it can be used",
}

Air = Annotated[str, typer.Argument(metavar="AIR", help="`source:number@version`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
    name: Annotated[str | None, typer.Option(metavar="NAME", help="How lists call it. [default: the file's]")] = None,
    version: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Shown beside the name. [default: the AIR's]")
    ] = None,
    identifier: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Stands for the content. [default: the file's SHA-256, or the URL]"),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Repeatable.")] = None,
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
        "short_description": description,
        "private": None if public is None else not public,
    }
    said = {field: value for field, value in given.items() if value is not None}
    with session(url, api_key) as client:
        if what.startswith(("http://", "https://")):
            begun = _register_url(client, what, air, said)
        else:
            begun = _register_file(client, Path(what), air, said)
        with _phases(as_json=as_json) as told:
            client.wait_model_upload(begun.id, on_change=told)
        model = client.registered_model(air)
        print(json.dumps(model.as_json(), indent=2) if as_json else f"{model.air}  {model.urn}")


def list_models(  # noqa: PLR0913, PLR0917 - a command's options
    q: Annotated[
        str | None, typer.Option("--q", metavar="WORDS", help="Words of name, AIR, tags, description.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Repeatable: all.")] = None,
    category: Annotated[str | None, typer.Option(metavar="WORD", help="Only that category.")] = None,
    architecture: Annotated[str | None, typer.Option(metavar="WORD", help="Only that architecture.")] = None,
    visibility: Annotated[str, typer.Option(metavar="WORD", help="all, public, private or owned.")] = "all",
    most: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """List your own models and public ones, newest first: AIR, category, architecture, who sees it, name."""
    with session(url, api_key) as client:
        found = client.registered_models(
            q=q,
            tags=tag or (),
            category=category,
            architecture=architecture,
            visibility=visibility,
            page_size=min(most, 100),
        )
        for model in itertools.islice(found, most):
            seen = "private" if model.private else "public"
            row = f"{model.air:<32}  {model.category:<10}  {model.architecture:<14}  {seen:<7}  {model.name}"
            print(json.dumps(model.as_json()) if as_json else row)


def show(
    air: Air,
    against: Annotated[
        str | None, typer.Option(metavar="AIR", help="Say also how many of its tensors that model has, too.")
    ] = None,
    as_json: AsJson = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Show a model: what is said of it, and what became of its weights."""
    with session(url, api_key) as client:
        model = client.registered_model(air)
        reuse = client.compare_models(air, against) if against is not None else None
    if as_json:
        print(json.dumps(model.as_json(), indent=2))
        return
    for label, value in _described(model):
        print(f"{label:<14}{value}")
    if reuse is not None:
        of = f"{reuse.shared_tensors} of {reuse.tensors} tensors, {reuse.shared_bytes} of {reuse.bytes} bytes"
        print(f"{'shared':<14}{of}, with {against}")


def verify(air: Air, url: UrlOption = None, api_key: KeyOption = None) -> None:
    """Read a model's weights back, all of them, and compare their hashes with what was registered."""
    with session(url, api_key) as client:
        client.verify_model(air)
    print(f"{air}: all bytes are as they were registered")


def remove(air: Air, url: UrlOption = None, api_key: KeyOption = None) -> None:
    """Remove a model. Its file goes when no other model needs it."""
    with session(url, api_key) as client:
        client.delete_model(air)
    print(f"{air}: removed")


def _register_file(client: Penstock, file: Path, air: str, said: Mapping[str, Any]) -> ModelUpload:
    """Look at the header, complete what is said, hash and send the file, register it."""
    head, size = _header(file), file.stat().st_size
    declared = {field: said.get(field) for field in ("category", "architecture", "type", "conditioning")}
    found = client.examine_model(head, size_bytes=size, **declared)
    if found.verdict in {"mismatch", "incomplete", "unsupported", "unknown"}:
        fail(f"{file.name}: {found.message}")
    for warning in found.warnings:
        print(f"penstock: {file.name}: {warning}", file=sys.stderr)
    complete = _complete(said, found, air=air, name=file.stem)
    if "unique_identifier" not in complete:
        complete["unique_identifier"] = _sha256(file)
    with progress_bar(file.name) as advance:
        asset = client.upload_file(
            file, content_type="application/octet-stream", expires_in=_ASSET_SECONDS, on_progress=advance
        )
    return client.register_model(air, asset_id=asset.id, **complete)


def _register_url(client: Penstock, source: str, air: str, said: Mapping[str, Any]) -> ModelUpload:
    """The server looks at the header before it fetches the rest."""
    name = source.partition("?")[0].rstrip("/").rpartition("/")[2].removesuffix(".safetensors")
    complete = _complete(said, None, air=air, name=name)
    complete.setdefault("unique_identifier", source.partition("?")[0])
    return client.register_model(air, url=source, **complete)


def _complete(said: Mapping[str, Any], found: Examination | None, *, air: str, name: str) -> dict[str, Any]:
    """What is said, what the header says, and what somebody at a terminal says to the rest."""
    complete: dict[str, Any] = {**(found.proposal if found is not None else {}), **said}
    complete.setdefault("name", name or air)
    complete.setdefault("version_label", air.rpartition("@")[2])
    for field in _NEEDED:
        if complete.get(field) is None and (field != "type" or complete.get("category") in _TYPES):
            complete[field] = _asked(field, _choices(field, complete, found))
    if complete.get("category") not in _TYPES:
        complete.pop("type", None)
    return complete


def _choices(field: str, said: Mapping[str, Any], found: Examination | None) -> tuple[str, ...]:
    if field == "type":
        return _TYPES[said["category"]]
    if field == "architecture" and found is not None:
        return found.architectures
    return ()


def _asked(field: str, choices: tuple[str, ...]) -> str:
    """Ask at a terminal; elsewhere say which option is missing."""
    flag = _FLAGS.get(field, f"--{field.replace('_', '-')}")
    likely = f" ({', '.join(choices)})" if choices else ""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        fail(f"the file does not tell its {field}; say it with {flag}{likely}")
    # On standard error, for standard output is what the command prints; click's own prompt writes to both.
    usual = f" [{choices[0]}]" if choices else ""
    print(f"{field}{likely}{usual}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip() or next(iter(choices), "")
    if not answer:
        fail(f"{field} is needed; say it with {flag}")
    return answer


def _header(file: Path) -> bytes:
    """The first bytes up to the end of the header, or as many as there are."""
    try:
        with file.open("rb") as stream:
            head = stream.read(_LENGTH_BYTES)
            length = int.from_bytes(head, "little")
            return head + (stream.read(length) if length <= _MOST_HEADER - _LENGTH_BYTES else b"")
    except OSError as error:
        fail(f"{file}: {error.strerror or error}")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def _phases(*, as_json: bool) -> Iterator[Callable[[ModelUpload], None]]:
    """Gives what tells each phase on standard error, once."""
    told: list[str] = []

    def tell(upload: ModelUpload) -> None:
        if upload.phase in told or upload.phase not in _WORDS:
            return
        order = list(_WORDS)
        for phase in order[len(told) : order.index(upload.phase) + 1]:  # some may have passed since the last look
            told.append(phase)
            if not as_json:
                print(f"{upload.air}: {phase}: {_WORDS[phase]}", file=sys.stderr)
        if upload.phase == "ready":
            for warning in upload.warnings:
                print(f"penstock: {upload.air}: {warning}", file=sys.stderr)

    yield tell


def _described(model: RegisteredModel) -> Iterator[tuple[str, object]]:
    yield "AIR", model.air
    yield "URN", model.urn
    yield "name", f"{model.name} {model.version_label}"
    words = (model.category, model.type, model.architecture, model.conditioning)
    yield "is", ", ".join(word for word in words if word)
    yield "seen by", "its account" if model.private else "everybody"
    if model.tags:
        yield "tags", ", ".join(model.tags)
    if model.file is None:
        return
    yield "original", f"{model.file.original.size_bytes} bytes, SHA-256 {model.file.original.sha256}"
    yield "optimized", f"{model.file.optimized.size_bytes} bytes, SHA-256 {model.file.optimized.sha256}"
    if model.file.shared_with:
        yield "same file as", ", ".join(model.file.shared_with)
    yield from _weights(model.file.summary)


def _weights(summary: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """What the manifest says in short, as far as it is there."""
    if "saved_bytes" in summary:
        saved = int(summary["saved_bytes"])
        yield ("saved", f"{saved} bytes") if saved >= 0 else ("added", f"{-saved} bytes")
    for label, key in (("numbers were", "dtypes_before"), ("numbers are", "dtypes_after")):
        types: Mapping[str, Any] = summary.get(key) or {}
        for dtype, share in types.items():
            yield label, f"{dtype}: {share['tensors']} tensors, {share['bytes']} bytes"
    if summary.get("dropped_count"):
        names = ", ".join(map(str, summary.get("dropped_names", ())))
        yield "dropped", f"{summary['dropped_count']} tensors, {summary['dropped_bytes']} bytes: {names}"
    if summary.get("least_sqnr_db") is not None:
        yield "least SQNR", f"{summary['least_sqnr_db']} dB"
