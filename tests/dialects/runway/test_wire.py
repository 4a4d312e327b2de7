"""Runway's shapes apart from any server: references, tasks' costs, and errors at the members that they are about."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.dialects.runway import wire
from penstock.dialects.runway.bodies import FileMember
from penstock.domain import errors as e
from penstock.domain.ids import UploadId
from penstock.domain.references import UploadReference

FILES = (
    FileMember(path=("promptImage", 0, "uri"), text="runway://a", kinds=("image",), name="promptImage"),
    FileMember(path=("references", 1, "uri"), text="runway://b", kinds=("image",), name="references2"),
)
AT = ("input", "references2")


@given(st.uuids(version=4))
def test_a_reference_is_parsed_as_it_was_formatted(identifier: object) -> None:
    upload_id = UploadId(str(identifier))
    text = wire.format_reference(upload_id)

    assert wire.reference_parser("")(text) == UploadReference(upload_id=upload_id, names_for=timedelta(hours=24))
    assert 13 <= len(text) <= 5000


@pytest.mark.parametrize("text", ["", "file_1", "https://example.com/runway://x", "RUNWAY"])
def test_a_text_of_another_syntax_is_left_to_others(text: str) -> None:
    assert wire.reference_parser("")(text) is None


@pytest.mark.parametrize("usd", ["0.001", "0.01", "0.0101", "0.60", "123.456"])
def test_credits_are_never_fewer_than_the_money(usd: str) -> None:
    credits_ = wire.credits_of(Decimal(usd))

    assert Decimal(usd) <= Decimal(credits_) / 100 < Decimal(usd) + Decimal("0.01")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (e.ReferenceInvalid(AT, "any", rule="url_scheme"), "Only HTTPS URLs are allowed."),
        (e.ReferenceInvalid(AT, "any", rule="url_host"), "URLs must be hosted on a domain."),
        (e.ReferenceInvalid(AT, "any", rule="data_uri"), "Invalid data URI."),
        (e.ReferenceInvalid(AT, "any"), "Invalid URL"),
        (e.AssetNotFound("x"), "Failed to fetch asset. The upload does not exist, has expired, or has no file yet."),
        (e.FileNotStored("x"), "Failed to fetch asset. The upload does not exist, has expired, or has no file yet."),
        (e.FileTypeRefused("text/plain", accepted=("image",)), "Unsupported asset type."),
        (e.FileTooLarge(limit=1, actual=2), "Failed to fetch asset."),
    ],
)
def test_what_is_wrong_with_a_file_is_told_at_its_member(error: e.PenstockError, said: str) -> None:
    told = wire.refused_file(error.about(AT), FILES)

    assert isinstance(told, e.ReferenceInvalid)
    assert told.path == ("references", 1, "uri")
    assert told.reason.startswith(said)


def test_an_error_that_is_about_no_file_stays_as_it_is() -> None:
    for error in (e.InsufficientCredits(needed=Decimal(1), balance=Decimal(0)), e.AssetNotFound("x")):
        assert wire.refused_file(error, FILES) is error
    full = e.DatabaseUnavailable("gone").about(AT)
    assert wire.refused_file(full, FILES) is full


def test_a_span_of_usage_is_thirty_days_unless_said_otherwise() -> None:
    today, month = date(2026, 11, 21), timedelta(days=30)

    assert wire.UsageQuery().span(today) == (today - month, today)
    assert wire.UsageQuery.model_validate({"startDate": "2026-11-01"}).span(today)[1] == date(2026, 12, 1)
    with pytest.raises(e.InvalidField):
        wire.UsageQuery.model_validate({"startDate": "2026-11-02", "beforeDate": "2026-11-01"}).span(today)
