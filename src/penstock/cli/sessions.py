"""What the commands that talk to a server share: its address and key, its errors, the progress on a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.failures import clear_failures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.client import Penstock, PenstockClientError

UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The server. [env: PENSTOCK_URL] [default: http://127.0.0.1:8000]"),
]
KeyOption = Annotated[
    str | None,
    typer.Option("--api-key", metavar="KEY", help="The API key; better in the environment. [env: PENSTOCK_API_KEY]"),
]


@contextmanager
def session(
    url: str | None,
    api_key: str | None,
    *,
    retries: int = 4,
    on_retry: Callable[[PenstockClientError, float], object] | None = None,
) -> Iterator[Penstock]:
    """A client for the server; its errors end the command in one line. `retries` of each request, at most."""
    from penstock.client import Penstock, PenstockClientError

    with (
        clear_failures(PenstockClientError),
        Penstock(url=url, api_key=api_key, retries=retries, on_retry=on_retry) as client,
    ):
        yield client


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress callback that draws on standard error, or None when that is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return

    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(escape(label), total=None)

        def advance(sent: int, total: int) -> None:
            progress.update(task, completed=sent, total=total)

        yield advance
