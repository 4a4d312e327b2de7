from __future__ import annotations

import errno
import json
from io import StringIO

import pytest

from penstock.telemetry import Log


class FullDisk(StringIO):
    """A stream that takes nothing, as a file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "no space left")


def test_an_event_is_one_json_line_with_its_part_and_fields() -> None:
    stream = StringIO()

    Log("store", stream)("store.swept", files=3)

    event = json.loads(stream.getvalue())
    assert (event["part"], event["event"], event["files"]) == ("store", "store.swept", 3)
    assert stream.getvalue().count("\n") == 1


def test_a_log_that_cannot_be_written_fails_nobody() -> None:
    Log("store", FullDisk())("store.swept", files=3)


@pytest.mark.parametrize("event", ["store.unheard_of", ""])
def test_an_undeclared_event_raises(event: str) -> None:
    with pytest.raises(ValueError, match="undeclared"):
        Log("store", None)(event)


@pytest.mark.parametrize("field", ["secret", "signature", "url", "query", "authorization"])
def test_a_field_that_could_hold_a_secret_raises(field: str) -> None:
    with pytest.raises(ValueError, match="forbidden"):
        Log("store", None)("store.swept", **{field: "x"})
