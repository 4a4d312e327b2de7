from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.store.conditions import (
    copy_source_conditions,
    range_still_applies,
    request_conditions,
)
from penstock.store.faults import NotModified, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

ETAG, MODIFIED = "abc", 1_700_000_000
BEFORE, SAME, AFTER = (
    "Tue, 14 Nov 2023 22:13:19 GMT",
    "Tue, 14 Nov 2023 22:13:20 GMT",
    "Tue, 14 Nov 2023 22:13:21 GMT",
)


def outcome(check: Callable[[], None]) -> int:
    try:
        check()
    except NotModified:
        return 304
    except Refused as refused:
        return refused.fault.status
    return 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 200),
        ({"if-match": '"abc"'}, 200),
        ({"if-match": "abc"}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": '"x", "abc"'}, 200),
        ({"if-match": '"x"'}, 412),
        ({"if-none-match": '"abc"'}, 304),
        ({"if-none-match": 'W/"abc"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"x"'}, 200),
        ({"if-modified-since": SAME}, 304),
        ({"if-modified-since": AFTER}, 304),
        ({"if-modified-since": BEFORE}, 200),
        ({"if-modified-since": "yesterday"}, 200),
        ({"if-unmodified-since": BEFORE}, 412),
        ({"if-unmodified-since": SAME}, 200),
        ({"if-match": '"abc"', "if-unmodified-since": BEFORE}, 200),
        ({"if-none-match": '"x"', "if-modified-since": AFTER}, 200),
        ({"if-match": '"x"', "if-none-match": '"abc"'}, 412),
    ],
)
def test_reads_follow_the_precedence_of_rfc_9110(fields: dict[str, str], status: int) -> None:
    assert outcome(lambda: request_conditions(fields).check_read(ETAG, MODIFIED)) == status


def test_a_copy_knows_no_304() -> None:
    conditions = copy_source_conditions({"x-amz-copy-source-if-none-match": '"abc"'})

    with pytest.raises(Refused) as refused:
        conditions.check_copy(ETAG, MODIFIED)

    assert refused.value.fault.status == 412


@pytest.mark.parametrize(
    ("fields", "current", "status"),
    [
        ({"if-none-match": "*"}, None, 200),
        ({"if-none-match": "*"}, ETAG, 412),
        ({"if-match": '"abc"'}, ETAG, 200),
        ({"if-match": '"x"'}, ETAG, 412),
        ({"if-match": '"abc"'}, None, 404),
        ({"if-match": 'W/"abc"'}, ETAG, 412),
        ({"if-match": "*"}, ETAG, 200),
        ({"if-match": "*"}, None, 404),
        ({"if-none-match": '"abc"'}, ETAG, 412),
        ({"if-none-match": 'W/"abc"'}, ETAG, 412),
        ({"if-none-match": '"x"'}, ETAG, 200),
        ({"if-none-match": '"abc"'}, None, 200),
    ],
)
def test_writes_depend_on_what_stands_under_the_key(fields: dict[str, str], current: str | None, status: int) -> None:
    assert outcome(lambda: request_conditions(fields).check_write(current)) == status


@pytest.mark.parametrize(
    ("header", "applies"),
    [(None, True), ('"abc"', True), ('"x"', False), ('W/"abc"', False), (SAME, True), (BEFORE, False), ("?", False)],
)
def test_if_range_lets_the_range_act_only_on_the_same_version(header: str | None, applies: bool) -> None:
    assert range_still_applies(header, ETAG, MODIFIED) is applies
