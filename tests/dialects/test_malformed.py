"""No request, however wrong, is a fault of ours: each gets an answer in its dialect's form, and changes nothing."""

from __future__ import annotations

import http.client
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from penstock.dialects.registry import DIALECTS
from tests.dialects.conftest import CATALOG
from tests.dialects.malformed import TONGUES, malformed
from tests.support.exchange import Answer
from tests.support.house import open_house
from tests.support.native import Native

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.dialects.base import Dialect
    from tests.dialects.malformed import Malformed
    from tests.support.house import House

_SECONDS = 60
INSIDE = (b"Traceback", b"site-packages", b".py", b"sqlalchemy", b"sqlite", b"SELECT ", b"INSERT ", b"pydantic")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("malformed")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    with open_house(directory / "house", f"sqlite:///{directory / 'penstock.db'}", CATALOG) as opened:
        yield opened


class Line:
    """One connection that is kept, and made anew when the server has closed it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)

    def ask(self, request: Malformed, mount: str) -> Answer:
        """One answer."""
        path = mount + request.path
        try:
            self._connection.request(request.method, path, request.body, dict(request.headers))
            answer = self._connection.getresponse()
            return Answer(status=answer.status, headers=answer.headers, body=answer.read())
        except http.client.HTTPException as error:
            raise AssertionError(f"{request.method} {path[:80]} ({request.what}) got no answer") from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def fault(answer: Answer, request: Malformed, dialect: Dialect) -> str:
    """What is wrong with an answer; empty when nothing is."""
    if answer.status >= 500:
        return f"{answer.status}"
    if request.refused and answer.status < 400:
        return f"{answer.status}, not refused"
    if answer.status >= 400 and not answer.headers["content-type"].endswith("json"):
        return f"{answer.status} of {answer.headers['content-type']}"
    if answer.status >= 400 and not isinstance(answer.json(), dict):
        return "no object"
    if dialect.request_id_header not in answer.headers:
        return "no request id"
    told = [word for word in INSIDE if word in answer.body and word not in (request.body or b"")]
    return f"tells {told}" if told else ""


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_malformed_request_is_answered_in_the_dialects_form_and_leaves_nothing_behind(
    house: House, dialect: Dialect
) -> None:
    key = house.create_key(dialect.name)
    account = Native(url=house.url, key=key)
    before = account.kept()
    requests = sorted(malformed(TONGUES[dialect.name], key), key=lambda request: not request.refused)
    wrong = [request for request in requests if request.refused]

    with closing(Line(house.url)) as line:
        found = [fault(line.ask(request, dialect.mount), request, dialect) for request in wrong]
        after = account.kept()
        found += [fault(line.ask(request, dialect.mount), request, dialect) for request in requests[len(wrong) :]]

    assert [told(request, said) for request, said in zip(requests, found, strict=True) if said] == []
    assert after == before


def told(request: Malformed, said: str) -> str:
    return f"{request.method} {request.path[:80]} ({request.what}): {said}"


def test_there_are_more_than_two_hundred_of_them() -> None:
    refused: list[Any] = [
        request for tongue in TONGUES.values() for request in malformed(tongue, "sk_a") if request.refused
    ]

    assert set(TONGUES) == {dialect.name for dialect in DIALECTS}
    assert len(refused) > 200
