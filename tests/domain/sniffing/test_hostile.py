"""Hostile bytes: whatever they are declared, types that bind refuse them, and nothing shows them in place (S10)."""

from __future__ import annotations

import pytest

from penstock.domain.media_types import MEDIA_TYPES, contradicts, is_shown_inline, names_shown_inline
from tests.support.hostile import HOSTILE
from tests.support.looking import look


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_bytes_are_no_medium_whatever_they_are_declared(what: str) -> None:
    found = look(HOSTILE[what]).found

    assert found is not None
    assert not MEDIA_TYPES[found].inline
    for declared in names_shown_inline():
        assert contradicts(declared, found)
        assert not is_shown_inline(declared, found)


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_another_encoding_makes_no_medium_of_them(what: str, encoding: str) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    found = look(mark + HOSTILE[what].decode("latin-1").encode(encoding)).found

    assert found is None or not MEDIA_TYPES[found].inline
