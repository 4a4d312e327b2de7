from __future__ import annotations

import pytest

from penstock.store.exposure import INLINE_TYPES, field_value, shown_as
from penstock.store.faults import Refused

OCTETS = "application/octet-stream"


@pytest.mark.parametrize("content_type", sorted(INLINE_TYPES))
def test_media_is_shown_as_what_it_is(content_type: str) -> None:
    assert shown_as(content_type, None, requested_type=None, from_browser=True) == (content_type, None)


@pytest.mark.parametrize(
    "content_type",
    ["image/svg+xml", "text/html", "application/xhtml+xml", "text/xml", "application/pdf", "text/javascript",
     "text/plain", "application/x-unknown", "", "nonsense", "IMAGE/SVG+XML; charset=utf-8"],
)  # fmt: skip
def test_anything_else_is_an_opaque_attachment_for_a_browser(content_type: str) -> None:
    assert shown_as(content_type, "inline", requested_type=None, from_browser=True) == (OCTETS, "attachment")


@pytest.mark.parametrize(
    ("stored", "asked"), [("text/html", "image/png"), ("image/png", "text/html"), (OCTETS, "text/html")]
)
def test_a_response_override_cannot_widen_what_is_shown(stored: str, asked: str) -> None:
    assert shown_as(stored, "inline", requested_type=asked, from_browser=True) == (OCTETS, "attachment")


def test_what_was_stored_without_a_type_may_be_called_media() -> None:
    shown = shown_as(OCTETS, None, requested_type="video/mp4", requested_disposition="inline", from_browser=True)

    assert shown == ("video/mp4", "inline")
    assert shown_as(OCTETS, "inline", requested_type=None, from_browser=True) == (OCTETS, "attachment")


def test_a_response_override_may_choose_among_media_types() -> None:
    assert shown_as("image/png", "inline", requested_type="image/jpeg", from_browser=True) == ("image/jpeg", "inline")


def test_the_file_name_of_a_disposition_survives_its_becoming_an_attachment() -> None:
    shown = shown_as("text/html", 'inline; filename="a;b.html"', requested_type=None, from_browser=True)

    assert shown == (OCTETS, 'attachment; filename="a;b.html"')


def test_a_client_that_signs_headers_learns_the_stored_type_of_an_attachment() -> None:
    assert shown_as("text/html", None, requested_type=None, from_browser=False) == ("text/html", "attachment")


@pytest.mark.parametrize(
    ("from_browser", "shown"),
    [(False, ("text/html", 'inline; filename="a"')), (True, (OCTETS, 'attachment; filename="a"'))],
)
def test_only_a_client_that_signs_headers_chooses_the_disposition_of_other_types(
    from_browser: bool, shown: tuple[str, str]
) -> None:
    asked = 'inline; filename="a"'

    assert (
        shown_as("text/html", None, requested_type=None, requested_disposition=asked, from_browser=from_browser)
        == shown
    )


@pytest.mark.parametrize("text", ["a\r\nSet-Cookie: x", "a\nb", "a\0b", "\x7f", "ünïcode €"])
def test_a_value_that_could_end_a_header_line_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        field_value(text)
