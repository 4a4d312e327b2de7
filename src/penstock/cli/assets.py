"""`penstock assets` and `penstock folders`."""

from __future__ import annotations

import itertools
import json
from typing import Annotated

import typer

from penstock.cli.sessions import KeyOption, UrlOption, session

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]


def list_assets(  # noqa: PLR0913, PLR0917 - a command's options
    q: Annotated[str | None, typer.Option("--q", metavar="WORDS", help="Words of name and tags.")] = None,
    folder: Annotated[
        str | None, typer.Option(metavar="FOLDER_ID", help="What is in that folder; `none`: in none.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="What has that tag; repeatable: all.")] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="image, video, audio, model or other.")] = None,
    most: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 100,
    as_json: AsJson = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """List assets that fit, newest first: id, size in bytes, type, name."""
    with session(url, api_key) as client:
        found = client.assets(q=q, folder_id=folder, tags=tag or (), kind=kind, page_size=min(most, 100))
        for asset in itertools.islice(found, most):
            row = f"{asset.id}  {asset.size_bytes:>12}  {asset.content_type:<16}  {asset.filename}"
            print(json.dumps(asset.as_json()) if as_json else row)


def list_folders(
    parent: Annotated[
        str | None, typer.Argument(metavar="FOLDER_ID", help="The folder to look into. [default: the top]")
    ] = None,
    create: Annotated[
        str | None, typer.Option(metavar="NAME", help="Create a folder of that name there first.")
    ] = None,
    as_json: AsJson = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """List the folders in a folder, by name: id, name."""
    with session(url, api_key) as client:
        if create is not None:
            client.create_folder(create, parent_id=parent)
        for folder in client.folders(parent):
            print(json.dumps(folder.as_json()) if as_json else f"{folder.id}  {folder.name}")
