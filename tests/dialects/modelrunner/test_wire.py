"""The spellings of the ModelRunner dialect, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.dialects.modelrunner.wire import common, requests
from penstock.domain import runs as rules
from penstock.domain.errors import InvalidField, RunNotFound
from penstock.domain.ids import AccountId, AssetId, MediaKey, RunId, format_short
from penstock.domain.references import MediaReference
from penstock.domain.runs import Run, RunFault, RunState

BASE = "http://127.0.0.1:8000/modelrunner"
NOW = datetime(2026, 11, 21, 1, 0, 0, tzinfo=UTC)
RUN_ID = RunId("6c1b2f7e-0d54-4f4e-9a5e-3f1f6a1f8b21")

uuids = st.uuids(version=4).map(str)
names = st.from_regex(r"[A-Za-z0-9._-]{1,120}", fullmatch=True)


def make_run(**changes: object) -> Run:
    """A queued run."""
    fields: dict[str, object] = {
        "id": RUN_ID,
        "account_id": AccountId("a"),
        "dialect": "modelrunner",
        "model": "acme/model",
        "runner": "test",
        "runner_model": "model",
        "state": RunState.QUEUED,
        "inputs": {"text": "a"},
        "values": {},
        "files": {},
        "metadata": {},
        "output": None,
        "error": None,
        "held": Decimal(0),
        "cost": None,
        "cancel_requested": False,
        "created_at": NOW,
        "started_at": None,
        "finished_at": None,
    }
    return Run(**{**fields, **changes})  # type: ignore[arg-type]  # a test names its own fields


def ended_runs() -> dict[str, Run]:
    """A run in every way it can end."""
    running, later = rules.started(make_run(), now=NOW), NOW + timedelta(seconds=2)
    return {
        "succeeded": rules.succeeded(running, output={"ok": True}, cost=Decimal(0), now=later),
        "failed by the model": rules.failed(running, error="no picture", now=later),
        "failed by the server": rules.failed(running, error="no worker", now=later, fault=RunFault.SERVER),
        "cancelled": rules.cancelled(running, now=later),
    }


@given(key=st.builds(lambda value, name: MediaKey(f"{UUID(value).hex}-{name}"), uuids, names))
def test_a_file_url_names_what_it_was_made_for(key: MediaKey) -> None:
    parse = common.reference_parser(BASE)

    assert parse(common.media_url(key, base_url=BASE)) == MediaReference(media_key=key)


@pytest.mark.parametrize(
    "text",
    [
        f"{BASE}/media/",
        f"{BASE}/media/{'0' * 31}-a.png",
        f"{BASE}/media/{'0' * 32}-a.png?x=1",
        f"{BASE}/media/{'0' * 32}-a/b.png",
        f"http://127.0.0.1:8001/modelrunner/media/{'0' * 32}-a.png",
        f"{BASE}/other/{'0' * 32}-a.png",
        f"{'0' * 32}-a.png",
        "",
    ],
)
def test_another_text_is_no_file_url(text: str) -> None:
    assert common.reference_parser(BASE)(text) is None


@given(uuids)
def test_a_request_id_names_its_run(value: str) -> None:
    assert requests.parse_request_id(format_short(value)) == value


@given(st.from_regex(r"[A-Za-z0-9_-]{21}", fullmatch=True))
def test_any_well_formed_request_id_is_known_or_unknown_but_never_malformed(text: str) -> None:
    try:
        found = requests.parse_request_id(text)
    except RunNotFound:
        return
    assert format_short(found) == text


@pytest.mark.parametrize("text", ["", "a" * 20, "a" * 22, "a" * 20 + "\n", "a" * 20 + "=", "ä" * 21])
def test_any_other_text_is_a_malformed_request_id(text: str) -> None:
    with pytest.raises(InvalidField):
        requests.parse_request_id(text)


def test_every_run_that_the_life_cycle_can_make_has_a_status() -> None:
    running = rules.started(make_run(), now=NOW)

    told = {
        name: (
            requests.status_out(run, base_url=BASE, place=0, lines=()).status,
            requests.status_of(run),
            requests.result_of(run),
        )
        for name, run in {"queued": make_run(), "running": running, **ended_runs()}.items()
    }

    assert told == {
        "queued": ("IN_QUEUE", 200, 200),
        "running": ("IN_PROGRESS", 200, 200),
        "succeeded": ("COMPLETED", 200, 200),
        "failed by the model": ("COMPLETED", 200, 422),
        "failed by the server": ("FAILED", 400, 400),
        "cancelled": ("CANCELLED", 400, 400),
    }


def test_a_failure_of_before_faults_were_noted_is_the_servers() -> None:
    run = make_run(state=RunState.FAILED, error="long ago", finished_at=NOW)

    assert (requests.status_of(run), requests.result_of(run)) == (400, 400)


@pytest.mark.parametrize("name", ["failed by the model", "failed by the server", "cancelled"])
def test_a_result_without_output_says_why_in_every_place_where_a_client_looks(name: str) -> None:
    run = ended_runs()[name]

    shown = requests.result_out(run, assets={}, base_url=BASE, lines=()).model_dump(by_alias=True)

    assert shown["error"] == shown["message"] != ""
    assert shown["statusCode"] == requests.result_of(run)
    assert shown["request_id"] == shown["id"] == format_short(RUN_ID)
    assert (shown["output"], shown["billingStatus"]) == ({}, "failed")


@pytest.mark.parametrize("output", [[], "", 0, False, "words", [{"a": 1}]])
def test_an_output_is_shown_as_it_is(output: object) -> None:
    run = rules.succeeded(rules.started(make_run(), now=NOW), output=output, cost=Decimal(0), now=NOW)

    assert requests.result_out(run, assets={}, base_url=BASE, lines=()).output == output


def test_a_file_that_is_gone_has_no_address() -> None:
    output = {"images": [{rules.ASSET_MARK: AssetId("gone")}]}
    run = rules.succeeded(rules.started(make_run(), now=NOW), output=output, cost=Decimal(0), now=NOW)

    assert requests.result_out(run, assets={}, base_url=BASE, lines=()).output == {"images": [{"url": None}]}


@pytest.mark.parametrize(
    ("model", "endpoint"),
    [
        ("acme/model", "acme/model"),
        ("acme/model/a/b", "acme/model"),
        ("workflows/acme/flow/a", "workflows/acme/flow"),
        ("comfy/acme/graph", "comfy/acme/graph"),
        ("flux-1.1-pro", "flux-1.1-pro"),
    ],
)
def test_an_endpoint_is_namespace_owner_and_alias(model: str, endpoint: str) -> None:
    run = make_run(model=model)

    assert requests.endpoint_of(model) == endpoint
    assert requests.require_endpoint(run, endpoint) is run
    with pytest.raises(RunNotFound):
        requests.require_endpoint(run, f"{endpoint}-2")
