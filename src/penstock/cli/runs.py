"""`penstock run`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.failures import fail
from penstock.cli.sessions import KeyOption, UrlOption, progress_bar, session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.client import Penstock

_INPUT_HELP = "A model's input, repeatable: NAME=TEXT, NAME=@FILE to upload a file, NAME:=JSON for a number, a list, …"


def run(
    model: Annotated[str, typer.Argument(help="The model's name, such as builtin/remove-background.")],
    given: Annotated[list[str] | None, typer.Option("--input", "-i", metavar="NAME=VALUE", help=_INPUT_HELP)] = None,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, writable=True, metavar="FILE", help="Save the first file of the result here."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the result.")
    ] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Run a model, wait for its result and print it as JSON."""
    inputs = parse_inputs(given or [])
    if out is not None and not os.access(out.absolute().parent, os.W_OK):
        fail(f"{out} cannot be written")  # said now, not after a run that costs
    with session(url, api_key) as client:
        finished = client.run(model, _upload_files(client, inputs), timeout=timeout)
        print(json.dumps(finished.as_json(), indent=2))
        if out is not None:
            if not finished.files:
                fail(f"{model} returned no file to save")
            client.download(finished.files[0], out)


def parse_inputs(given: list[str]) -> dict[str, object]:
    """The inputs that `NAME=TEXT`, `NAME=@FILE` (a Path) and `NAME:=JSON` mean. Raises `BadParameter` (status 2)."""
    inputs: dict[str, object] = {}
    for item in given:
        name, equals, value = item.partition("=")
        raw = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            raise _wrong(item, "expected NAME=VALUE")
        if name in inputs:
            raise _wrong(item, f"{name} is given twice")
        inputs[name] = _parse_json(item, value) if raw else _parse_value(item, value)
    return inputs


def _parse_json(item: str, value: str) -> object:
    try:
        return json.loads(value, parse_constant=_refuse_constant)
    except ValueError as error:
        raise _wrong(item, f"not JSON: {error}") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _parse_value(item: str, value: str) -> object:
    if not value.startswith("@"):
        return value
    path = Path(value[1:])
    if not path.is_file():
        raise _wrong(item, f"no such file: {path}")
    return path


def _wrong(item: str, reason: str) -> typer.BadParameter:
    return typer.BadParameter(f"{item!r}: {reason}", param_hint="'--input'")


def _upload_files(client: Penstock, inputs: Mapping[str, object]) -> dict[str, object]:
    """The inputs with every file uploaded, each with its own progress bar."""
    ready = dict(inputs)
    for name, value in inputs.items():
        if isinstance(value, Path):
            with progress_bar(value.name) as advance:
                ready[name] = client.upload_file(value, on_progress=advance)
    return ready
