"""Replays the transcripts beside this file: what was documented, recorded or inferred, against the server.

`<name>` in an answer stands for any string, and from then on for that one. An answer may hold more than the transcript.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.domain.errors import RunnerFailed
from tests.dialects.modelrunner.client import PNG
from tests.support.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.dialects.modelrunner.client import ModelRunner
    from tests.support.house import House

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.toml"))
NAME = re.compile(r"<(\w+)>")


def echo(inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    return dict(inputs)


def refuse(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    raise RunnerFailed("the picture shows nothing")


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_server_answers_as_the_transcript_says(acme: ModelRunner, house: House, path: Path) -> None:
    house.models |= {"acme/model": echo, "acme/strict": refuse}
    transcript = tomllib.loads(path.read_text(encoding="utf-8"))
    names = {"base": acme.base}

    assert transcript["source"]
    assert transcript["standing"] in {"documented", "recorded", "inferred"}
    for step in transcript["exchange"]:
        replay(step, names, key=acme.key, house=house)


def replay(step: Mapping[str, Any], names: dict[str, str], *, key: str, house: House) -> None:
    """One exchange: send it as it stands, compare the answer, learn its names."""
    if step.get("after_work"):
        house.work()
    method, _, target = filled(step["send"], names).partition(" ")
    headers = dict(step.get("headers", {})) | ({"Authorization": f"Key {key}"} if step.get("key", True) else {})
    body = PNG if step.get("picture") else filled(step.get("body", ""), names).encode()

    answer = exchange(method, target if "://" in target else names["base"] + target, body or None, headers=headers)

    assert answer.status == step["status"], (step["send"], answer.body[:1000])
    if "answer" in step:
        compare(json.loads(step["answer"]), answer.json(), names)


def filled(text: str, names: Mapping[str, str]) -> str:
    """The text with every known name replaced; a name that nothing has taught fails."""
    return NAME.sub(lambda found: names[found[1]], text)


def compare(expected: object, said: Any, names: dict[str, str]) -> None:  # noqa: ANN401 - JSON
    """Everything that is expected is there."""
    match expected:
        case dict():
            for name, value in expected.items():
                assert name in said, (name, said)
                compare(value, said[name], names)
        case list():
            assert len(expected) == len(said), (expected, said)
            for one, other in zip(expected, said, strict=True):
                compare(one, other, names)
        case str() if (alone := NAME.fullmatch(expected)) and alone[1] not in names:
            assert isinstance(said, str)
            assert said
            names[alone[1]] = said
        case str():
            assert said == filled(expected, names)
        case _:
            assert said == expected
