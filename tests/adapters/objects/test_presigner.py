"""URLs on the store's public address, each checked by the verifier of a server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penstock.adapters.objects.s3 import Bucket, S3Presigner
from penstock.sigv4 import Credentials, SignatureDoesNotMatch, Verified, Verifier

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
PUBLIC = Bucket(
    endpoint="https://Media.example.com:443/", name="b", region="us-east-1", credentials=Credentials("AK", "SK")
)
PRESIGNER = S3Presigner(PUBLIC)


def verify(method: str, url: str, headers: dict[str, str], *, host: str = "media.example.com") -> Verified:
    verifier = Verifier(lookup={"AK": "SK"}.get, region="us-east-1")
    return verifier.verify(method, url.split(".com", 1)[1], [("Host", host), *headers.items()], now=NOW)


def test_a_url_is_on_the_public_address_as_clients_spell_it() -> None:
    url = PRESIGNER.get("assets/k", expires_in=HOUR, now=NOW)

    assert url.startswith("https://media.example.com/b/assets/k?X-Amz-Algorithm=")
    assert verify("GET", url, {}).target.path == "/b/assets/k"


def test_a_url_for_one_address_is_not_good_for_another() -> None:
    url = PRESIGNER.get("assets/k", expires_in=HOUR, now=NOW)

    with pytest.raises(SignatureDoesNotMatch):
        verify("GET", url, {}, host="127.0.0.1:9000")


def test_an_upload_binds_type_and_exact_size() -> None:
    signed = PRESIGNER.put("staging/k", content_type="image/png", size=20, max_size=None, expires_in=HOUR, now=NOW)

    assert (signed.method, signed.headers) == ("PUT", {"Content-Type": "image/png", "Content-Length": "20"})
    assert verify("PUT", signed.url, signed.headers).signed_headers == {"host", "content-type", "content-length"}
    with pytest.raises(SignatureDoesNotMatch):
        verify("PUT", signed.url, {**signed.headers, "Content-Length": "21"})


def test_an_upload_of_advisory_size_carries_its_limit_in_the_signed_query() -> None:
    signed = PRESIGNER.put("staging/k", content_type=None, size=None, max_size=1000, expires_in=HOUR, now=NOW)

    verified = verify("PUT", signed.url, signed.headers)

    assert signed.headers == {}
    assert ("x-penstock-max-length", "1000") in verified.target.query
    with pytest.raises(SignatureDoesNotMatch):
        verify("PUT", signed.url.replace("max-length=1000", "max-length=9999"), {})


def test_a_download_forces_type_and_disposition() -> None:
    disposition = "attachment; filename=\"a.png\"; filename*=UTF-8''%C3%A4.png"

    url = PRESIGNER.get("k", expires_in=HOUR, now=NOW, content_type="image/png", disposition=disposition)

    query = verify("GET", url, {}).target.query
    assert ("response-content-type", "image/png") in query
    assert ("response-content-disposition", disposition) in query


def test_a_url_ends_when_it_was_promised_to() -> None:
    url = PRESIGNER.get("k", expires_in=HOUR, now=NOW)

    assert verify("GET", url, {}).expires_at == NOW + HOUR


def test_an_address_with_a_path_is_refused_at_once() -> None:
    bucket = Bucket(
        endpoint="https://example.com/media", name="b", region="us-east-1", credentials=Credentials("AK", "SK")
    )

    with pytest.raises(ValueError, match="not of the form"):
        S3Presigner(bucket)


def test_the_mark_of_a_url_is_told_while_the_url_holds() -> None:
    url = PRESIGNER.get("assets/k", expires_in=HOUR, now=NOW, mark="m 1")

    assert PRESIGNER.mark_of(url, now=NOW + HOUR) == "m 1"
    assert PRESIGNER.mark_of(url, now=NOW + HOUR + timedelta(seconds=1)) == ""


def test_what_was_changed_signed_for_something_else_or_has_no_mark_has_none() -> None:
    url = PRESIGNER.get("assets/k", expires_in=HOUR, now=NOW, mark="m")
    put = PRESIGNER.put("staging/k", content_type=None, size=None, max_size=None, expires_in=HOUR, now=NOW)
    wrong = [
        url.replace("x-penstock-mark=m", "x-penstock-mark=n"),
        url.replace("x-penstock-mark=m", "x-penstock-mark=n&x-penstock-mark=m"),
        url[:-1],
        url.partition("?")[0],
        url + "é",
        url + "%",
        PRESIGNER.get("assets/k", expires_in=HOUR, now=NOW, mark="m", method="HEAD"),
        PRESIGNER.get("assets/k", expires_in=HOUR, now=NOW),
        put.url,
    ]

    assert [PRESIGNER.mark_of(one, now=NOW) for one in wrong] == [""] * len(wrong)


def test_a_url_of_another_place_is_not_looked_at() -> None:
    elsewhere = S3Presigner(replace(PUBLIC, endpoint="https://elsewhere.example.com")).get(
        "assets/k", expires_in=HOUR, now=NOW, mark="m"
    )

    for url in (
        elsewhere,
        elsewhere.replace("elsewhere", "media.example.com.evil"),
        "https://media.example.com/c/k",
        "",
    ):
        assert PRESIGNER.mark_of(url, now=NOW) is None
