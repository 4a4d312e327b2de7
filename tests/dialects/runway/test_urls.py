"""Files of other servers: the product's rules for URLs, as they are, on a real https server; and what a task shows."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.fetch import GuardedFetcher
from penstock.dialects.runway import REFERENCES
from penstock.domain.egress import EgressRules, parse_rules
from penstock.domain.foreign import wanted_file
from penstock.ports.fetch import Download, SourceError, SourceFailedError
from penstock.telemetry import Log
from tests.dialects.runway.client import PICTURE
from tests.support.remote import ADDRESS, make_certificate, redirecting, remote_server, serving
from tests.support.repeatable import SteppedClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.dialects.runway.client import Runway
    from tests.support.house import House
    from tests.support.remote import Remote

MIB = 2**20
HOST = "files.test"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), names=(HOST,))


@pytest.fixture(scope="module")
def remote(certificate: Path) -> Iterator[Remote]:
    with remote_server(certificate=certificate) as running:
        yield running


def fetched(url: str, certificate: Path) -> bytes:
    """What the product's rules let a field for images have of a URL. Raises `SourceError`."""
    allowed = parse_rules("127.0.0.0/8")
    file = wanted_file(url, REFERENCES.urls, allowed, kinds=("image",))
    tls = ssl.create_default_context(cafile=str(certificate))
    client = GuardedFetcher(
        allowed,
        clock=SteppedClock(),
        log=Log("test", None),
        tls=tls,
        resolve=lambda _host: [ipaddress.ip_address(ADDRESS)],
    )
    wanted = Download(
        url=file.place.url,
        start=0,
        etag=None,
        max_bytes=file.max_bytes,
        within=file.rules.within,
        watch=lambda: None,
        manner=file.manner,
    )
    with client.get(wanted) as answer:
        return b"".join(answer.blocks())


@pytest.mark.statement("RW-53")
def test_a_conforming_url_is_asked_by_head_first_in_the_products_name(remote: Remote, certificate: Path) -> None:
    remote.on("/fine", serving(PICTURE, Content_Type="image/png"))
    before = len(remote.visits)

    assert fetched(remote.url("/fine", host=HOST), certificate) == PICTURE

    visits = remote.visits[before:]
    assert [visit.method for visit in visits] == ["HEAD", "GET"]
    assert all(visit.headers["user-agent"].startswith("RunwayML API/") for visit in visits)


@pytest.mark.statement("RW-53")
def test_what_does_not_conform_is_refused_at_the_first_answer(remote: Remote, certificate: Path) -> None:
    answers = {
        "/redirect": redirecting("/fine"),
        "/generic": serving(PICTURE, Content_Type="application/octet-stream"),
        "/untyped": serving(PICTURE),
        "/film": serving(PICTURE, Content_Type="video/mp4"),
        "/unmeasured": lambda visit: visit.head("200 OK", Content_Type="image/png", Connection="close"),
        "/huge": lambda visit: visit.head("200 OK", Content_Type="image/png", Content_Length=str(16 * MIB + 1)),
        "/no-head": lambda visit: visit.answer("405 Method Not Allowed"),
    }

    for path, answer in answers.items():
        remote.on(path, answer)
        before = len(remote.visits)
        with pytest.raises(SourceError):
            fetched(remote.url(path, host=HOST), certificate)
        assert [visit.method for visit in remote.visits[before:]] == ["HEAD"], path


@pytest.mark.statement("RW-54")
@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.0.1", "::1", "fe80::1", "fc00::1"]
)
def test_a_name_of_an_address_that_is_not_public_is_never_connected_to(address: str) -> None:
    connected: list[object] = []

    def connect(*place: object) -> socket.socket:
        connected.append(place)
        raise ConnectionRefusedError

    rules = EgressRules()
    file = wanted_file("https://innocent.example.com/a.png", REFERENCES.urls, rules, kinds=("image",))
    client = GuardedFetcher(
        rules,
        clock=SteppedClock(),
        log=Log("test", None),
        resolve=lambda _host: [ipaddress.ip_address(address)],
        connect=connect,
    )

    with (
        pytest.raises(SourceFailedError),
        client.get(
            Download(
                url=file.place.url,
                start=0,
                etag=None,
                max_bytes=1000,
                within=timedelta(minutes=1),
                watch=lambda: None,
                manner=file.manner,
            )
        ),
    ):
        pass

    assert connected == []


def test_a_task_whose_file_cannot_be_had_fails_and_costs_nothing(acme: Runway, house: House) -> None:
    with socket.socket() as deaf:  # nobody listens there
        deaf.bind((ADDRESS, 0))
        path = acme.task(f"https://localhost:{deaf.getsockname()[1]}/a.png")
        waiting = acme.call("GET", path).must(200)
        for _ in range(6):
            house.work()
            house.clock.advance(timedelta(minutes=2))
        house.work()

    ended = acme.call("GET", path).must(200)
    assert waiting["status"] == "PENDING"
    assert (ended["status"], ended["failureCode"], ended["cost"]) == ("FAILED", "ASSET.INVALID", {"credits": 0})
    assert ended["failure"].startswith("promptImage: ")
