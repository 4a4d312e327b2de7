"""`penstock upload`."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.sessions import KeyOption, UrlOption, progress_bar, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from penstock.client import Penstock, Upload

_LATEST = "latest"
_OVER = frozenset(
    {
        *("file_hash_mismatch", "file_size_mismatch", "file_too_large", "file_too_small", "file_type_mismatch"),
        *("quota_exceeded", "upload_not_completable"),
    }
)
"""What ends an upload for good: nothing of it is kept."""
_LOOK_BACK = 2000
"""So many uploads are looked at, newest first: what is not completed within a day is over anyway."""


def upload(  # noqa: PLR0913, PLR0917 - a command's options
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, metavar="FILE", help="What to upload.")
    ],
    content_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="The media type. [default: by the first bytes and the name]")
    ] = None,
    expires_in: Annotated[
        int | None, typer.Option(min=60, metavar="SECONDS", help="How long to keep it. [default: until deleted]")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="UPLOAD_ID",
            help="Go on with the upload of a large file that broke off; one FILE only. `latest`: the newest of a file "
            "of this name and size, if there is one.",
        ),
    ] = None,
    connections: Annotated[
        int, typer.Option(min=1, max=32, metavar="N", help="How many parts of a large file to send at once.")
    ] = 4,
    instant: Annotated[
        bool, typer.Option("--instant", help="Hash each file first, and do not send what the account holds already.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole asset as JSON.")] = False,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Upload files and print the asset id and the URL of each. Large files are sent in parts, and can be resumed."""
    from penstock.client import InParts

    if resume is not None and len(files) > 1:
        raise typer.BadParameter("one upload is resumed with one file", param_hint="--resume")
    for number, file in enumerate(files, start=1):
        with _named(file, files[number:]), _told_how_to_go_on(file) as on_begin, session(url, api_key) as client:
            if resume == _LATEST:
                resume = _latest(client, file)
            with progress_bar(file.name) as advance:
                asset = client.upload_file(
                    file,
                    content_type=content_type,
                    expires_in=expires_in,
                    on_progress=advance,
                    on_begin=on_begin,
                    parts=InParts(connections=connections),
                    resume=resume,
                    instant=instant,
                )
            if as_json:
                print(json.dumps(asset.as_json(), indent=2))
            else:
                print(asset.id)
                print(asset.url)


@contextmanager
def _named(file: Path, later: Sequence[Path]) -> Iterator[None]:
    """Of several files, say which one failed and what was not sent because of it."""
    try:
        yield
    except SystemExit:
        if later:
            rest = shlex.join(str(path) for path in later)
            print(f"penstock: that was {file}; not sent: {rest}", file=sys.stderr)
        raise


def _latest(client: Penstock, file: Path) -> str | None:
    """The id of the newest upload of a file of this name and size that waits for parts; they are compared later."""
    wanted = ("pending", "multipart", file.name, file.stat().st_size)
    for found in islice(client.uploads(), _LOOK_BACK):
        if (found.state, found.method, found.filename, found.size_bytes) == wanted:
            return found.id
    print(f"penstock: no upload of {file.name} broke off; it is sent anew", file=sys.stderr)
    return None


@contextmanager
def _told_how_to_go_on(file: Path) -> Iterator[Callable[[Upload], None]]:
    """Gives what to call when the upload has begun; says how to go on if the command ends too early after that."""
    begun: list[Upload] = []
    try:
        yield begun.append
        if begun and begun[-1].state == "ready":
            print(f"{file.name}: the account has these bytes already; nothing was sent", file=sys.stderr)
    except SystemExit as ended:
        code = getattr(ended.__context__, "code", "")
        if code == "file_type_mismatch":
            print("penstock: --content-type application/octet-stream lets the bytes decide", file=sys.stderr)
        if begun and begun[0].method == "multipart" and code not in _OVER:
            command = shlex.join(["penstock", "upload", str(file), "--resume", begun[0].id])
            print(f"penstock: what has arrived is kept; go on with: {command}", file=sys.stderr)
        raise
