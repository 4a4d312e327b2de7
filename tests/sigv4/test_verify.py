"""The verifier: what botocore and our signer sign is let in; every change of it is kept out (F20, F21)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from penstock.sigv4 import (
    EMPTY_SHA256,
    STREAMING_SIGNED,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
    AccessDenied,
    AuthKind,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    Credentials,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidRequest,
    InvalidToken,
    InvalidURI,
    MissingSecurityHeader,
    Request,
    RequestTimeTooSkewed,
    SignatureDoesNotMatch,
    SignatureError,
    Signer,
    Verified,
    Verifier,
)
from penstock.sigv4.canonical import (
    canonical_request,
    encode_path,
    parse_target,
    sign,
    signing_key,
    string_to_sign,
    uri_encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ACCESS_KEY = "AKIDTEST"
SECRET_KEY = "a secret/with+marks"
ORIGIN = "http://127.0.0.1:9000"
HOST = ("Host", "127.0.0.1:9000")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SIGNER = Signer(credentials=Credentials(ACCESS_KEY, SECRET_KEY), region="us-east-1")
VERIFIER = Verifier(lookup={ACCESS_KEY: SECRET_KEY, "AKIDOTHER": "another"}.get, region="us-east-1")
PUT = Request(
    method="PUT",
    origin=ORIGIN,
    path="/penstock/staging/é 1",
    query=(("x-penstock-max-length", "1000"),),
    headers=(("content-type", "image/png"), ("content-length", "20")),
)
PUT_HEADERS = [HOST, ("Content-Type", "image/png"), ("Content-Length", "20"), ("User-Agent", "x")]
GET = Request(method="GET", origin=ORIGIN, path="/penstock/k", headers=(("range", "bytes=0-9"),))


def presigned_put() -> str:
    url = SIGNER.presign(PUT, now=NOW, expires_in=timedelta(hours=1))
    return url.removeprefix(ORIGIN)


def verify_put(
    target: str, *, method: str = "PUT", headers: list[tuple[str, str]] = PUT_HEADERS, now: datetime = NOW
) -> Verified:
    return VERIFIER.verify(method, target, headers, now=now)


def signed_get(
    request: Request = GET, *, signer: Signer = SIGNER, payload_hash: str = EMPTY_SHA256
) -> tuple[str, dict[str, str]]:
    target, added = signer.sign_headers(request, now=NOW, payload_hash=payload_hash)
    return target, {"host": "127.0.0.1:9000", **dict(request.headers), **added}


def verify_get(target: str, headers: dict[str, str], *, now: datetime = NOW) -> Verified:
    return VERIFIER.verify("GET", target, list(headers.items()), now=now)


def test_a_presigned_url_is_let_in_with_its_facts() -> None:
    verified = verify_put(presigned_put())

    assert verified.access_key == ACCESS_KEY
    assert verified.kind is AuthKind.QUERY
    assert verified.target.path == "/penstock/staging/é 1"
    assert ("x-penstock-max-length", "1000") in verified.target.query
    assert verified.payload_hash == UNSIGNED_PAYLOAD
    assert verified.signed_headers == {"host", "content-type", "content-length"}
    assert (verified.signed_at, verified.expires_at) == (NOW, NOW + timedelta(hours=1))


def test_a_header_signed_request_is_let_in_with_its_facts() -> None:
    verified = verify_get(*signed_get())

    assert verified.access_key == ACCESS_KEY
    assert verified.kind is AuthKind.HEADER
    assert verified.target.path == "/penstock/k"
    assert verified.payload_hash == EMPTY_SHA256
    assert verified.signed_headers == {"host", "range", "x-amz-content-sha256", "x-amz-date"}
    assert (verified.signed_at, verified.expires_at) == (NOW, None)


def test_a_repr_of_a_verified_request_carries_neither_signature_nor_key() -> None:
    verified = verify_put(presigned_put())

    text = repr(verified)

    assert verified.signature not in text
    assert repr(verified.signing_key) not in text


def test_a_published_header_example_of_the_s3_documentation_is_let_in() -> None:
    verifier = Verifier(lookup=lambda _: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region="us-east-1")
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
    headers = [
        ("Host", "examplebucket.s3.amazonaws.com"),
        ("Authorization", authorization),
        ("Range", "bytes=0-9"),
        ("x-amz-content-sha256", EMPTY_SHA256),
        ("x-amz-date", "20130524T000000Z"),
    ]

    verified = verifier.verify("GET", "/test.txt", headers, now=datetime(2013, 5, 24, tzinfo=UTC))

    assert verified.access_key == "AKIAIOSFODNN7EXAMPLE"


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)


@given(
    method=st.sampled_from(["GET", "PUT", "DELETE"]),
    key=TEXT,
    query=st.dictionaries(st.text("abzABZ09-_.~é+ ", min_size=1, max_size=9), TEXT),
    headers=st.dictionaries(
        st.sampled_from(["Content-Type", "x-amz-meta-a", "Content-MD5"]), st.text("abcXYZ019 /;=\t", max_size=20)
    ),
    presigned=st.booleans(),
)
def test_what_botocore_signs_is_let_in(
    method: str, key: str, query: dict[str, str], headers: dict[str, str], presigned: bool
) -> None:
    pairs = "&".join(f"{uri_encode(name)}={uri_encode(value)}" for name, value in query.items())
    oracle = AWSRequest(method, f"{ORIGIN}{encode_path('/b/' + key)}" + (f"?{pairs}" if pairs else ""), headers)
    credentials = BotoCredentials(ACCESS_KEY, SECRET_KEY)
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        if presigned:
            botocore.auth.S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=60).add_auth(oracle)
        else:
            botocore.auth.S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(oracle)

    verified = VERIFIER.verify(method, oracle.url.removeprefix(ORIGIN), [HOST, *oracle.headers.items()], now=NOW)

    assert verified.target.path == f"/b/{key}"
    assert set(query.items()) <= set(verified.target.query)


@given(place=st.floats(0, 1, exclude_max=True), character=st.characters(min_codepoint=0x21, max_codepoint=0x7E))
def test_a_url_with_one_character_changed_is_kept_out_or_means_the_same(place: float, character: str) -> None:
    good = presigned_put()
    position = int(place * len(good))
    changed = good[:position] + character + good[position + 1 :]

    try:
        verified = verify_put(changed)
    except SignatureError:
        return

    assert verified.target.path == parse_target(good).path
    assert sorted(verified.target.query) == sorted(parse_target(good).query)


def test_the_order_and_the_spelling_of_a_query_do_not_matter() -> None:
    path, _, query = presigned_put().partition("?")
    respelled = "&".join(reversed(query.replace("aws4_request", "aws4%5frequest").split("&")))

    assert verify_put(f"{path}?{respelled}").access_key == ACCESS_KEY


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda target: target.replace("/penstock/", "/another/", 1), id="bucket"),
        pytest.param(lambda target: target.replace("/staging/", "/final/", 1), id="key"),
        pytest.param(lambda target: target.replace("?", "/?", 1), id="slash-after-key"),
        pytest.param(lambda target: target.replace("max-length=1000", "max-length=1001"), id="value-of-a-parameter"),
        pytest.param(lambda target: target.replace("x-penstock-max-length=1000&", ""), id="parameter-dropped"),
        pytest.param(lambda target: f"{target}&x-penstock-max-length=9", id="parameter-repeated"),
        pytest.param(lambda target: f"{target}&uploadId=1", id="parameter-added"),
        pytest.param(lambda target: f"{target}&acl", id="bare-parameter-added"),
        pytest.param(lambda target: target.replace("Expires=3600", "Expires=3601"), id="longer-life"),
        pytest.param(lambda target: target.replace("T120000Z", "T120001Z"), id="later-date"),
        pytest.param(lambda target: target.replace("20261121", "20261120"), id="another-day"),
        pytest.param(lambda target: target.replace("AKIDTEST", "AKIDOTHER"), id="another-known-key"),
        pytest.param(lambda target: target.replace("content-length%3B", ""), id="signed-header-left-out"),
        pytest.param(lambda target: target.replace("%3Bhost", "%3Bhost%3Bx-a"), id="signed-header-invented"),
        pytest.param(lambda target: target[:-1] + ("0" if target[-1] != "0" else "1"), id="signature-digit"),
        pytest.param(lambda target: target[:-64] + target[-64:].upper(), id="signature-upper-case"),
        pytest.param(lambda target: target[:-64], id="signature-empty"),
        pytest.param(lambda target: target[:-64] + "%C3%A9" * 64, id="signature-not-ascii"),
    ],
)
def test_a_changed_presigned_url_does_not_match(change: Callable[[str], str]) -> None:
    target = change(presigned_put())

    with pytest.raises((SignatureDoesNotMatch, AccessDenied)) as caught:
        verify_put(target)

    assert caught.value.status == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST", "put"])
def test_a_presigned_url_is_good_for_one_method(method: str) -> None:
    with pytest.raises(SignatureDoesNotMatch):
        verify_put(presigned_put(), method=method)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("Host", "127.0.0.1:9001"), *PUT_HEADERS[1:]], id="host"),
        pytest.param([("Host", "127.0.0.1"), *PUT_HEADERS[1:]], id="host-without-port"),
        pytest.param([HOST, ("Content-Type", "text/html"), ("Content-Length", "20")], id="content-type"),
        pytest.param([HOST, ("Content-Type", "image/png"), ("Content-Length", "21")], id="content-length"),
        pytest.param([HOST, ("Content-Length", "20")], id="content-type-missing"),
        pytest.param([*PUT_HEADERS, ("content-type", "image/png")], id="content-type-repeated"),
        pytest.param(PUT_HEADERS[1:], id="host-missing"),
    ],
)
def test_a_changed_signed_header_does_not_match(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(SignatureDoesNotMatch):
        verify_put(presigned_put(), headers=headers)


@pytest.mark.parametrize("name", ["x-amz-acl", "X-Amz-Copy-Source", "x-amz-content-sha256", "Content-MD5"])
def test_a_header_that_s3_acts_on_must_be_signed(name: str) -> None:
    with pytest.raises(AccessDenied, match="not signed"):
        verify_put(presigned_put(), headers=[*PUT_HEADERS, (name, "x")])


def test_a_signature_that_leaves_host_out_is_refused() -> None:
    target, headers = signed_get()
    headers["authorization"] = headers["authorization"].replace("host;", "")

    with pytest.raises(AccessDenied, match="not signed"):
        verify_get(target, headers)


@pytest.mark.parametrize("seconds", [-900, 0, 3600])
def test_a_presigned_url_lives_as_long_as_promised(seconds: int) -> None:
    assert verify_put(presigned_put(), now=NOW + timedelta(seconds=seconds)).access_key == ACCESS_KEY


@pytest.mark.parametrize(("seconds", "reason"), [(-901, "not yet valid"), (3600.001, "expired"), (90_000, "expired")])
def test_a_presigned_url_is_refused_before_and_after_its_life(seconds: float, reason: str) -> None:
    with pytest.raises(AccessDenied, match=reason):
        verify_put(presigned_put(), now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("minutes", [-15, -14, 0, 14, 15])
def test_a_header_signed_request_may_be_a_quarter_of_an_hour_off(minutes: int) -> None:
    assert verify_get(*signed_get(), now=NOW + timedelta(minutes=minutes)).access_key == ACCESS_KEY


@pytest.mark.parametrize("minutes", [-16, 16, -1440, 1440])
def test_a_header_signed_request_further_off_is_too_skewed(minutes: int) -> None:
    target, headers = signed_get()

    with pytest.raises(RequestTimeTooSkewed) as caught:
        verify_get(target, headers, now=NOW + timedelta(minutes=minutes))

    assert (caught.value.code, caught.value.status) == ("RequestTimeTooSkewed", 403)


@pytest.mark.parametrize("seconds", ["0", "00", "-1", "-0", "604801", "99999999999999999999"])
def test_a_life_outside_of_a_week_permits_nothing(seconds: str) -> None:
    target = presigned_put().replace("Expires=3600", f"Expires={seconds}", 1)

    with pytest.raises(AccessDenied) as caught:
        VERIFIER.verify("PUT", target, [HOST], now=NOW)

    assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Expires=3600", "Expires=3600.0"),
        ("Expires=3600", "Expires=%2B3600"),
        ("Expires=3600", "Expires=٣"),
        ("Expires=3600", "Expires="),
        ("X-Amz-Expires=3600&", ""),
        ("X-Amz-Date=20261121T120000Z&", ""),
        ("T120000Z", "T126000Z"),
        ("T120000Z", "T1200Z"),
        ("Date=20261121T", "Date=20261122T"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("us-east-1", "eu-west-1"),
        ("%2Fs3%2F", "%2Fec2%2F"),
        ("aws4_request", "aws4"),
        ("AKIDTEST%2F", ""),
        ("SignedHeaders=content-length%3Bcontent-type%3Bhost", "SignedHeaders="),
        ("SignedHeaders=content-length%3Bcontent-type%3Bhost", "SignedHeaders=content-type%3Bcontent-length%3Bhost"),
        ("SignedHeaders=content-length%3Bcontent-type%3Bhost", "SignedHeaders=Host"),
        ("X-Amz-Date=", "X-Amz-Date=20261121T120000Z&X-Amz-Date="),
        ("X-Amz-Date=", "x-amz-date=20261121T120000Z&X-Amz-Date="),
    ],
)
def test_malformed_signed_parameters_are_a_bad_request(old: str, new: str) -> None:
    target = presigned_put().replace(old, new.encode().decode("latin-1"), 1)

    with pytest.raises(AuthorizationQueryParametersError) as caught:
        verify_put(target)

    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("Signature=", "Sig=", AuthorizationHeaderMalformed),
        ("SignedHeaders=host;range;", "SignedHeaders=range;host;", AuthorizationHeaderMalformed),
        ("us-east-1", "eu-west-1", AuthorizationHeaderMalformed),
        ("/s3/", "/sts/", AuthorizationHeaderMalformed),
        ("20261121/", "20261120/", AuthorizationHeaderMalformed),
        ("aws4_request", "aws5_request", AuthorizationHeaderMalformed),
        ("Credential=", "Credential=x,Credential=", AuthorizationHeaderMalformed),
        ("AWS4-HMAC-SHA256 Credential", "Bearer Credential", InvalidArgument),
        ("AWS4-HMAC-SHA256 Credential=", "AWS AKID:", InvalidRequest),
    ],
)
def test_a_malformed_authorization_header_is_a_bad_request(old: str, new: str, error: type[SignatureError]) -> None:
    target, headers = signed_get()
    headers["authorization"] = headers["authorization"].replace(old, new, 1)

    with pytest.raises(error) as caught:
        verify_get(target, headers)

    assert caught.value.status == 400


def test_an_unsigned_request_is_denied() -> None:
    with pytest.raises(AccessDenied, match="Anonymous"):
        VERIFIER.verify("GET", "/penstock/k", [HOST], now=NOW)


def test_two_signatures_on_one_request_are_a_bad_request() -> None:
    _, headers = signed_get()

    with pytest.raises(InvalidArgument):
        verify_put(presigned_put(), headers=[*PUT_HEADERS, ("Authorization", headers["authorization"])])


def test_a_signature_of_version_two_in_the_query_is_a_bad_request() -> None:
    with pytest.raises(InvalidRequest):
        VERIFIER.verify("GET", "/b/k?AWSAccessKeyId=a&Signature=b&Expires=1", [HOST], now=NOW)


def test_a_session_token_is_refused() -> None:
    with pytest.raises(InvalidToken):
        verify_put(presigned_put() + "&X-Amz-Security-Token=abc")


def test_an_unknown_key_is_named_as_such_whatever_the_signature() -> None:
    stranger = Signer(credentials=Credentials("AKIDNOBODY", "the secret of no key at all"), region="us-east-1")
    url = stranger.presign(PUT, now=NOW, expires_in=timedelta(hours=1))

    with pytest.raises(InvalidAccessKeyId) as caught:
        verify_put(url.removeprefix(ORIGIN))

    assert (caught.value.code, caught.value.status) == ("InvalidAccessKeyId", 403)


def test_a_known_key_with_a_wrong_secret_does_not_match() -> None:
    thief = Signer(credentials=Credentials(ACCESS_KEY, "guess"), region="us-east-1")

    with pytest.raises(SignatureDoesNotMatch):
        verify_get(*signed_get(signer=thief))


@pytest.mark.parametrize("payload_hash", ["0" * 64, UNSIGNED_PAYLOAD, STREAMING_SIGNED, STREAMING_UNSIGNED_TRAILER])
def test_the_declared_payload_is_handed_on(payload_hash: str) -> None:
    assert verify_get(*signed_get(payload_hash=payload_hash)).payload_hash == payload_hash


@pytest.mark.parametrize("payload_hash", ["", "A" * 64, "0" * 63, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"])
def test_a_payload_declaration_that_is_not_defined_is_a_bad_request(payload_hash: str) -> None:
    target, headers = signed_get(payload_hash=payload_hash)

    with pytest.raises(InvalidArgument):
        verify_get(target, headers)


def test_a_header_signed_request_must_declare_its_payload() -> None:
    target, headers = signed_get()
    del headers["x-amz-content-sha256"]
    headers["authorization"] = headers["authorization"].replace("x-amz-content-sha256;", "")

    with pytest.raises(MissingSecurityHeader):
        verify_get(target, headers)


def test_a_url_may_declare_its_payload_as_a_parameter() -> None:
    request = Request(method="GET", origin=ORIGIN, path="/b/k", query=(("X-Amz-Content-Sha256", UNSIGNED_PAYLOAD),))
    url = SIGNER.presign(request, now=NOW, expires_in=timedelta(hours=1))

    assert VERIFIER.verify("GET", url.removeprefix(ORIGIN), [HOST], now=NOW).payload_hash == UNSIGNED_PAYLOAD


@pytest.mark.parametrize("value", ["Sat, 21 Nov 2026 12:00:00 GMT", "20261121T120000Z"])
def test_the_date_header_stands_in_for_a_missing_amz_date(value: str) -> None:
    request = Request(
        method="GET", origin=ORIGIN, path="/b/k", headers=(("date", value), ("x-amz-content-sha256", EMPTY_SHA256))
    )
    target, headers = _signed_with_date(request)

    assert verify_get(target, headers).signed_at == NOW


@pytest.mark.parametrize("value", ["", "yesterday", "Sat, 99 Nov 2026 12:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"])
def test_a_date_that_cannot_be_read_is_denied(value: str) -> None:
    target, headers = signed_get()
    del headers["x-amz-date"]
    headers["date"] = value

    with pytest.raises(AccessDenied, match="valid Date"):
        verify_get(target, headers)


def test_a_request_without_any_date_is_denied() -> None:
    target, headers = signed_get()
    del headers["x-amz-date"]

    with pytest.raises(AccessDenied, match="valid Date"):
        verify_get(target, headers)


def test_a_target_that_cannot_be_parsed_is_refused_before_anything_else() -> None:
    with pytest.raises(InvalidURI):
        verify_put("/b/%zz")


def test_a_value_signed_as_utf8_bytes_is_verified_as_those_bytes() -> None:
    wire = "caf\u00e9 \u00e0 la carte".encode().decode("latin-1")
    request = Request(method="GET", origin=ORIGIN, path="/b/k", headers=(("x-amz-meta-name", wire),))

    assert verify_get(*signed_get(request)).access_key == ACCESS_KEY


def _signed_with_date(request: Request) -> tuple[str, dict[str, str]]:
    """Header-sign with `date` in the place of `x-amz-date`, as the oldest clients do."""
    headers = [("date", dict(request.headers)["date"]), HOST, ("x-amz-content-sha256", EMPTY_SHA256)]
    lowered = [(name.lower(), value) for name, value in headers]
    canonical = canonical_request("GET", request.path, query="", headers=lowered, payload_hash=EMPTY_SHA256)
    scope = "20261121/us-east-1/s3/aws4_request"
    signature = sign(
        signing_key(SECRET_KEY, "20261121", "us-east-1", "s3"), string_to_sign("20261121T120000Z", scope, canonical)
    )
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, "
        f"SignedHeaders=date;host;x-amz-content-sha256, Signature={signature}"
    )
    return request.path, {**dict(lowered), "authorization": authorization}
