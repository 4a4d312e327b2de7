"""`penstock upload`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.sessions import KeyOption, UrlOption, progress_bar, session


def upload(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The file to upload.")],
    content_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Its media type. [default: by its first bytes and its name]")
    ] = None,
    expires_in: Annotated[
        int | None, typer.Option(min=1, metavar="SECONDS", help="How long to keep it. [default: until deleted]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole asset as JSON.")] = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Upload a file and print its asset id and its URL."""
    with session(url, api_key) as client:
        with progress_bar(file.name) as advance:
            asset = client.upload_file(file, content_type=content_type, expires_in=expires_in, on_progress=advance)
        if as_json:
            print(json.dumps(asset.as_json(), indent=2))
        else:
            print(asset.id)
            print(asset.url)
