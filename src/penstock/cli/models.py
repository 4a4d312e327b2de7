"""`penstock models`: look at what is registered, check it, take it away. `model_push` brings it."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.progress import display
from penstock.cli.sessions import KeyOption, UrlOption, session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock.client import RegisteredModel

_FEW = 3
"""Names of tensors that are shown."""

Air = Annotated[str, typer.Argument(metavar="AIR", help="`source:number@version`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
    """Read a model's weights back, as they came and as they are served, and compare them with what was registered.

    Nothing is kept. Whoever may read a model may verify it. The exit status is 1 where a file is not what it was.
    """
    with session(url, api_key) as client, display() as shown:
        client.verify_model(air, on_step=lambda part, done, total: shown.step(f"{air}: {part}: read", done, total))
    print(f"{air}: all bytes are as they were registered")


def remove(air: Air, url: UrlOption = None, api_key: KeyOption = None) -> None:
    """Remove a model. Its file goes when no other model needs it."""
    with session(url, api_key) as client:
        client.delete_model(air)
    print(f"{air}: removed")


def _described(model: RegisteredModel) -> Iterator[tuple[str, object]]:
    yield "AIR", model.air
    yield "URN", model.urn
    yield "name", f"{model.name} {model.version_label}"
    words = (model.category, model.type, model.architecture, model.conditioning)
    yield "is", ", ".join(word for word in words if word)
    yield "seen by", "its account" if model.private else "everybody"
    yield from _told(model)
    if model.file is None:
        return
    yield "original", f"{model.file.original.size_bytes} bytes, SHA-256 {model.file.original.sha256}"
    yield "optimized", f"{model.file.optimized.size_bytes} bytes, SHA-256 {model.file.optimized.sha256}"
    if model.file.shared_with:
        yield "same file as", ", ".join(model.file.shared_with)
    yield from _weights(model.file.summary)


def _told(model: RegisteredModel) -> Iterator[tuple[str, object]]:
    """What somebody has said of it beside that, as far as they have."""
    for label, words in (
        ("tags", model.tags),
        ("triggers", model.positive_trigger_words),
        ("negative", model.negative_trigger_words),
    ):
        if words:
            yield label, ", ".join(words)
    for label, value in (
        ("steps", model.default_steps),
        ("scheduler", model.default_scheduler),
        ("CFG", model.default_cfg),
        ("strength", model.default_strength),
        ("weight", model.default_weight),
        ("hero image", model.hero_image_url),
        ("description", model.short_description),
        ("comment", model.comment),
    ):
        if value is not None:
            yield label, value


def _weights(summary: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """What the manifest says in short, as far as it is there."""
    saved = summary.get("saved_bytes", 0)
    if saved:
        yield "saved" if saved > 0 else "added", f"{abs(saved)} bytes"
    for label, key in (("numbers were", "dtypes_before"), ("numbers are", "dtypes_after")):
        types: Mapping[str, Any] = summary.get(key) or {}
        for dtype, share in types.items():
            yield label, f"{dtype}: {share['tensors']} tensors, {share['bytes']} bytes"
    if summary.get("dropped_count"):
        more = summary["dropped_count"] - _FEW
        names = ", ".join(map(str, summary.get("dropped_names", ())[:_FEW])) + (f" and {more} more" if more > 0 else "")
        yield "dropped", f"{summary['dropped_count']} tensors, {summary['dropped_bytes']} bytes: {names}"
    if summary.get("least_sqnr_db") is not None:
        yield "least SQNR", f"{summary['least_sqnr_db']} dB"
