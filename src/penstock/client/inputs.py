"""A run's inputs: plain JSON values, with files and results anywhere in them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from penstock.client.files import File, Source, is_file, open_source
from penstock.client.results import Asset, OutputFile, Upload

if TYPE_CHECKING:
    from collections.abc import Iterator


def open_files(inputs: Mapping[str, object]) -> dict[int | str, Source]:
    """A source for every file in the inputs, once each however often it is named.

    Raises `OSError` for one that cannot be read, `TypeError` or `ValueError` for a value that has no place in inputs.
    """
    files = {_name(file): file for file in _files_in(inputs, "inputs")}
    sources: dict[int | str, Source] = {}
    try:
        for name, file in files.items():
            sources[name] = open_source(file)
    except BaseException:
        close_all(sources)
        raise
    return sources


def close_all(sources: Mapping[int | str, Source]) -> None:
    """Close every source."""
    for source in sources.values():
        source.close()


def with_ids(value: object, ids: Mapping[int | str, str]) -> object:
    """The inputs as sent: every file replaced by its asset's id, every result by its own."""
    if isinstance(value, Asset | Upload):
        return value.id
    if isinstance(value, OutputFile):
        return value.asset_id
    if is_file(value):
        return ids[_name(value)]
    if isinstance(value, Mapping):
        return {key: with_ids(item, ids) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [with_ids(item, ids) for item in value]
    return value


def _name(file: object) -> int | str:
    return os.path.abspath(file) if isinstance(file, os.PathLike) else id(file)  # noqa: PTH100 - keeps links apart


def _files_in(value: object, where: str) -> Iterator[File]:
    if is_file(value):
        yield value  # type: ignore[misc]  # `is_file` says so
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                msg = f"{where}: the name {key!r} is not a string"
                raise TypeError(msg)
            yield from _files_in(item, f"{where}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _files_in(item, f"{where}.{index}")
    else:
        _check_plain(value, where)


def _check_plain(value: object, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"{where}: {value} is no JSON number"
        raise ValueError(msg)
    if not isinstance(value, str | int | float | Asset | Upload | OutputFile | None):
        msg = f"{where}: a {type(value).__name__} cannot be sent"
        raise TypeError(msg)
