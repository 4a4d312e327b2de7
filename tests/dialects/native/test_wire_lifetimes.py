"""What an absent field, null and a number mean for a lifetime."""

from __future__ import annotations

from datetime import timedelta

import pytest

from penstock.dialects.native.wire.lifetimes import chosen
from penstock.dialects.native.wire.runs import CreateRun

HOUR = timedelta(hours=1)
ASKED = {"model": "a/b", "input": {}}


@pytest.mark.parametrize(
    ("said", "default", "life"),
    [
        ({}, HOUR, HOUR),
        ({}, None, None),
        ({"output_expires_in": None}, HOUR, None),
        ({"output_expires_in": 60}, HOUR, timedelta(minutes=1)),
        ({"output_expires_in": 60}, None, timedelta(minutes=1)),
    ],
)
def test_only_an_absent_field_means_the_default(
    said: dict[str, object], default: timedelta | None, life: timedelta | None
) -> None:
    body = CreateRun.model_validate({**ASKED, **said})

    assert chosen(body, "output_expires_in", default=default) == life
