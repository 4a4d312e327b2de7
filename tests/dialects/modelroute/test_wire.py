"""The spellings of the ModelRoute dialect, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.dialects.modelroute import callbacks, wire
from penstock.domain.errors import AssetNotFound, EndpointNotFound, InvalidField, RunNotFound
from penstock.domain.ids import AccountId, AssetId, EndpointId, RunId
from penstock.domain.references import AssetReference
from penstock.domain.runs import RunFault, RunState
from tests.support.records import make_run

BASE = "http://127.0.0.1:8000/modelroute"
NOW = datetime(2026, 11, 21, 1, 0, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STATES = {"PENDING", "PROCESSING", "AWAITING_WEBHOOK", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"}

uuids = st.uuids(version=4).map(str)


@given(uuids)
def test_what_is_formatted_is_parsed_back(identifier: str) -> None:
    assert wire.parse_file(wire.format_file(AssetId(identifier))) == identifier
    assert wire.parse_execution(wire.format_execution(RunId(identifier))) == identifier
    assert callbacks.parse_endpoint(callbacks.format_endpoint(EndpointId(identifier))) == identifier
    for text in (f"file_{identifier}", f"{BASE}/v1/files/file_{identifier}/url"):
        assert wire.reference_parser(BASE)(text) == AssetReference(asset_id=AssetId(identifier))


@given(st.text())
def test_other_texts_name_nothing_and_break_nothing(text: str) -> None:
    for parse, error in (
        (wire.parse_file, AssetNotFound),
        (wire.parse_execution, RunNotFound),
        (callbacks.parse_endpoint, EndpointNotFound),
    ):
        with pytest.raises(error):
            parse(text)
    assert wire.named_files({"a": [text, {"b": text}]}) == ()


def test_foreign_texts_are_left_to_other_dialects() -> None:
    parse = wire.reference_parser(BASE)
    known = "file_0b8f3a52-88a4-4d0c-9b0e-2f1f3c0d9a11"

    for text in ("asset_0", "https://example.com/a.png", f"http://elsewhere/v1/files/{known}/url", f" {known}"):
        assert parse(text) is None
    for text in ("file_", f"{known}\n", f"{BASE}/v1/files/file_x/download"):
        with pytest.raises(AssetNotFound):
            parse(text)


def test_an_input_names_each_of_its_files_once_and_not_without_end() -> None:
    names = [f"file_0b8f3a52-88a4-4d0c-9b0e-{number:012x}" for number in range(101)]

    assert wire.named_files({"a": names[:2], "b": {"c": names[0]}, names[3]: 1}) == tuple(names[:2])
    assert len(wire.named_files(names[:100])) == 100
    with pytest.raises(InvalidField):
        wire.named_files(names)


@given(st.decimals(min_value=0, max_value=10**6, places=9))
def test_an_amount_is_exact_and_has_three_places_at_least(value: Decimal) -> None:
    told = wire.amount(value)

    assert Decimal(told) == value
    assert len(told.partition(".")[2]) >= 3
    assert "E" not in told


def test_amounts_and_times_are_written_as_in_the_examples() -> None:
    assert [wire.amount(Decimal(text)) for text in ("0.04", "0.0480", "1E+2", "0", "0.00001")] == [
        *("0.040", "0.048", "100.000", "0.000", "0.00001"),
    ]
    there = timezone(timedelta(hours=2))
    assert wire.timestamp(datetime(2026, 11, 21, 3, 0, 5, 999_999, tzinfo=there)) == "2026-11-21T01:00:05Z"


@pytest.mark.statement("MO-13", part="every state")
def test_every_run_is_in_one_of_the_documented_states() -> None:
    for state in RunState:
        fault = RunFault.MODEL if state is RunState.FAILED else None
        run = make_run(1, AccountId("a"), state=state, fault=fault, output=None)
        assert wire.execution_out(run, assets={}).status in STATES
        assert wire.result_out(run, assets={}).status in STATES


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (RunFault.MODEL, "GENERATION_FAILED"),
        (RunFault.SERVER, "INTERNAL_ERROR"),
        (RunFault.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (RunFault.TIMEOUT, "GENERATION_TIMEOUT"),
        (RunFault.INPUT, "FILE_NOT_FOUND"),
        (None, "INTERNAL_ERROR"),
    ],
)
def test_a_failure_is_told_in_the_products_codes(fault: RunFault | None, code: str) -> None:
    run = make_run(1, AccountId("a"), state=RunState.FAILED, fault=fault, error="words", output=None)

    said = wire.execution_out(run, assets={})

    assert (said.status, said.error) == ("FAILED", wire.FailureOut(code=code, message="words"))
    assert wire.result_out(run, assets={}).error == said.error


def test_a_run_that_did_not_end_in_its_time_has_expired() -> None:
    late = make_run(
        1,
        AccountId("a"),
        state=RunState.FAILED,
        fault=RunFault.TIMEOUT,
        output=None,
        created_at=NOW,
        deadline_at=NOW + 7 * MINUTE,
        finished_at=NOW + 8 * MINUTE,
    )

    said = wire.execution_out(late, assets={})

    assert (said.status, said.expires_at, said.error is not None) == ("EXPIRED", "2026-11-21T01:07:00Z", True)
    assert wire.result_out(late, assets={}).status == "EXPIRED"
