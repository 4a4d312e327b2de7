"""The official Python SDK, unchanged but for address and key, sync and async, against a house."""

from __future__ import annotations

import asyncio
import io
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import runwayml
from runwayml import AsyncRunwayML, RunwayML
from runwayml.lib import polling

from penstock.domain.errors import RunnerFailed
from tests.dialects.runway.client import PICTURE
from tests.support.exchange import fetch
from tests.support.native import Native

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from penstock.ports.runners import JsonLike, RunContext
    from tests.dialects.runway.client import Runway
    from tests.support.house import House


@pytest.fixture(autouse=True)
def _poll_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK waits six seconds before each look."""
    monkeypatch.setattr(polling, "POLL_TIME", 0.05)
    monkeypatch.setattr(polling, "POLL_JITTER", 0)


@pytest.fixture
def client(acme: Runway) -> Iterator[RunwayML]:
    with RunwayML(base_url=acme.base, api_key=acme.key) as made:
        yield made


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "my picture é.png"
    path.write_bytes(PICTURE)
    return path


def begin(client: RunwayML, image: str) -> polling.NewTaskCreatedResponse:
    return client.image_to_video.create(
        model="gen4.5", prompt_image=image, prompt_text="The scene comes to life", ratio="1280:720", duration=5
    )


@contextmanager
def working(house: House) -> Iterator[None]:
    """A worker beside the test."""
    worker = threading.Thread(target=house.work)
    worker.start()
    try:
        yield
    finally:
        worker.join()


@pytest.mark.statement("RW-30")
def test_every_form_of_a_file_becomes_a_reference(client: RunwayML, picture: Path) -> None:
    named = io.BytesIO(PICTURE)
    named.name = "named.png"
    with picture.open("rb") as opened:
        uris = [
            client.uploads.create_ephemeral(file=picture).uri,
            client.uploads.create_ephemeral(file=opened).uri,
            client.uploads.create_ephemeral(file=named).uri,
            client.uploads.create_ephemeral(file=("two.png", PICTURE)).uri,
            client.uploads.create_ephemeral(file=("three.png", PICTURE, "image/png")).uri,
            client.uploads.create_ephemeral(file=picture, file_metadata='{"job": "7"}').uri,
        ]

    assert len({*uris}) == len(uris)
    for uri in uris:
        assert uri.startswith("runway://")
        assert begin(client, uri).id


@pytest.mark.statement("RW-31")
def test_refused_files_are_errors_of_the_api(client: RunwayML) -> None:
    with pytest.raises(runwayml.BadRequestError) as extension:
        client.uploads.create_ephemeral(file=("notes.txt", PICTURE))
    with pytest.raises(runwayml.APIStatusError) as small:
        client.uploads.create_ephemeral(file=("small.png", PICTURE[:100]))

    assert extension.value.body["issues"][0]["path"] == ["filename"]  # type: ignore[index]  # which it has not, would fail
    assert small.value.status_code == 400
    assert "EntityTooSmall" in small.value.response.text


@pytest.mark.statement("RW-43")
def test_a_run_is_awaited_to_its_output(client: RunwayML, house: House, picture: Path) -> None:
    task = begin(client, client.uploads.create_ephemeral(file=picture).uri)
    assert client.tasks.retrieve(task.id).status == "PENDING"

    with working(house):
        done = task.wait_for_task_output(timeout=60)
    again = client.tasks.retrieve(task.id).wait_for_task_output(timeout=60)

    for seen in (done, again):
        assert isinstance(seen, runwayml.types.task_retrieve_response.Succeeded)
        assert seen.cost.credits == 60
        assert [fetch(url).body for url in seen.output] == [PICTURE]


@pytest.mark.statement("RW-32")
def test_the_asynchronous_client_does_the_same(acme: Runway, house: House, picture: Path) -> None:
    async def story() -> list[str]:
        async with AsyncRunwayML(base_url=acme.base, api_key=acme.key) as client:
            forms = (picture, ("two.png", PICTURE), ("three.png", PICTURE, "image/png"))
            uris = [(await client.uploads.create_ephemeral(file=form)).uri for form in forms]
            with picture.open("rb") as opened:
                uris.append((await client.uploads.create_ephemeral(file=opened)).uri)
            tasks = [
                await client.image_to_video.create(model="gen4_turbo", prompt_image=uri, ratio="960:960")
                for uri in uris
            ]
            with working(house):
                ended = [await task.wait_for_task_output(timeout=60) for task in tasks]
            return [url for task in ended if task.status == "SUCCEEDED" for url in task.output]

    urls = asyncio.run(story())

    assert [fetch(url).body for url in urls] == [PICTURE] * 4


@pytest.mark.statement("RW-04")
@pytest.mark.parametrize("slash", ["", "/"])
def test_an_address_with_a_prefix_works_with_and_without_a_slash_behind_it(
    acme: Runway, monkeypatch: pytest.MonkeyPatch, slash: str
) -> None:
    monkeypatch.setenv("RUNWAYML_BASE_URL", acme.base + slash)
    monkeypatch.setenv("RUNWAYML_API_SECRET", acme.key)

    with RunwayML() as client:
        uri = client.uploads.create_ephemeral(file=("a.png", PICTURE)).uri
        task = begin(client, uri)
        client.tasks.delete(task.id)

    assert uri.startswith("runway://")


@pytest.mark.statement("RW-49")
def test_nobody_is_left_polling(client: RunwayML, acme: Runway, house: House) -> None:
    def broken(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        raise RunnerFailed("nothing to see")

    house.models["gen4.5"] = broken
    uri = client.uploads.create_ephemeral(file=("a.png", PICTURE)).uri
    failing, deleted, cancelled = begin(client, uri), begin(client, uri), begin(client, uri)
    client.tasks.delete(deleted.id)
    Native(url=house.url, key=acme.key).post(f"/runs/run_{cancelled.id.replace('-', '')}/cancel").must(200)

    with working(house), pytest.raises(polling.TaskFailedError) as failed:
        failing.wait_for_task_output(timeout=60)
    with pytest.raises(runwayml.NotFoundError):
        deleted.wait_for_task_output(timeout=60)

    assert failed.value.task_details.status == "FAILED"
    assert client.tasks.retrieve(cancelled.id).status == "CANCELLED"


def test_refusals_and_the_organization_are_typed(client: RunwayML, acme: Runway) -> None:
    with RunwayML(base_url=acme.base, api_key="wrong") as stranger, pytest.raises(runwayml.AuthenticationError):
        stranger.organization.retrieve()
    with pytest.raises(runwayml.BadRequestError) as refused:
        begin(client, "http://example.com/a.png")
    organization = client.organization.retrieve()
    usage = client.organization.retrieve_usage(start_date="2026-11-21", before_date="2026-11-22")

    assert refused.value.body["issues"][0]["message"] == "Only HTTPS URLs are allowed."  # type: ignore[index]  # as above
    assert organization.credit_balance == 10_000
    assert organization.tier.models["gen4.5"].max_daily_generations is None
    assert usage.results == []
