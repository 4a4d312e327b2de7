"""The signer against the worked examples of the S3 documentation and against botocore."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from penstock.sigv4 import EMPTY_SHA256, Credentials, Request, Signer, clean_origin
from penstock.sigv4.canonical import encode_path, uri_encode

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SIGNER = Signer(credentials=Credentials(ACCESS_KEY, SECRET_KEY), region="us-east-1")
ORIGIN = "https://examplebucket.s3.amazonaws.com"
NOW = datetime(2013, 5, 24, tzinfo=UTC)


def test_the_presigned_example_of_the_s3_documentation_is_reproduced() -> None:
    request = Request(method="GET", origin=ORIGIN, path="/test.txt")

    url = SIGNER.presign(request, now=NOW, expires_in=timedelta(days=1))

    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize(
    ("request_", "payload_hash", "signature"),
    [
        pytest.param(
            Request(method="GET", origin=ORIGIN, path="/test.txt", headers=(("Range", "bytes=0-9"),)),
            EMPTY_SHA256,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            id="get-object",
        ),
        pytest.param(
            Request(
                method="PUT",
                origin=ORIGIN,
                path="/test$file.text",
                headers=(
                    ("Date", "Fri, 24 May 2013 00:00:00 GMT"),
                    ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                ),
            ),
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            id="put-object",
        ),
        pytest.param(
            Request(method="GET", origin=ORIGIN, path="/", query=(("lifecycle", ""),)),
            EMPTY_SHA256,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            id="get-bucket-lifecycle",
        ),
        pytest.param(
            Request(method="GET", origin=ORIGIN, path="/", query=(("max-keys", "2"), ("prefix", "J"))),
            EMPTY_SHA256,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            id="list-objects",
        ),
    ],
)
def test_a_header_signed_example_of_the_s3_documentation_is_reproduced(
    request_: Request, payload_hash: str, signature: str
) -> None:
    _, headers = SIGNER.sign_headers(request_, now=NOW, payload_hash=payload_hash)

    assert headers["authorization"].endswith(f"Signature={signature}")


KEYS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)
VALUES = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)
NAMES = st.sampled_from(
    ["x-penstock-max-length", "response-content-disposition", "partNumber", "uploadId", "a~b", "Zé"]
)
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "content-length", "x-amz-meta-a", "cache-control"]),
    st.text("abcXYZ019 /;=\t", max_size=20),
)


@given(
    method=st.sampled_from(["GET", "PUT", "HEAD", "POST"]),
    key=KEYS,
    query=st.dictionaries(NAMES, VALUES),
    headers=HEADERS,
    seconds=st.integers(1, 604_800),
    now=st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds of a strategy
)
def test_a_presigned_url_says_the_same_as_botocores(
    method: str, key: str, query: dict[str, str], headers: dict[str, str], seconds: int, now: datetime
) -> None:
    request = Request(
        method=method, origin=ORIGIN, path=f"/{key}", query=tuple(query.items()), headers=tuple(headers.items())
    )

    ours = SIGNER.presign(request, now=now, expires_in=timedelta(seconds=seconds))

    theirs = _botocore_presigns(request, seconds=seconds, now=now)
    assert urlsplit(ours)[:3] == urlsplit(theirs)[:3]
    assert dict(parse_qsl(urlsplit(ours).query)) == dict(parse_qsl(urlsplit(theirs).query))


@given(
    method=st.sampled_from(["GET", "PUT", "DELETE"]),
    key=KEYS,
    query=st.dictionaries(NAMES, VALUES),
    headers=HEADERS,
    now=st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds of a strategy
)
def test_an_authorization_header_is_botocores(
    method: str, key: str, query: dict[str, str], headers: dict[str, str], now: datetime
) -> None:
    request = Request(
        method=method, origin=ORIGIN, path=f"/{key}", query=tuple(query.items()), headers=tuple(headers.items())
    )

    theirs = _botocore_signs(request, now=now)

    target, ours = SIGNER.sign_headers(request, now=now, payload_hash=theirs["X-Amz-Content-SHA256"])

    assert ours["authorization"] == theirs["Authorization"]
    assert ours["x-amz-date"] == theirs["X-Amz-Date"]
    assert target.startswith(encode_path(f"/{key}"))


@pytest.mark.parametrize("seconds", [-1, 0, 0.5, 604_801])
def test_a_lifetime_that_s3_would_refuse_is_refused_at_once(seconds: float) -> None:
    with pytest.raises(ValueError, match="604800"):
        SIGNER.presign(Request(method="GET", origin=ORIGIN, path="/k"), now=NOW, expires_in=timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://Example.COM:80/", "http://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_an_origin_is_spelled_as_clients_spell_the_host_header(url: str, origin: str) -> None:
    assert clean_origin(url) == origin


@pytest.mark.parametrize(
    "url", ["http://h/prefix", "h:9000", "ftp://h", "http://u@h", "http://h?x", "http://h#x", "http://", "http://é"]
)
def test_more_or_less_than_an_origin_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        clean_origin(url)


def _botocore_request(request: Request) -> AWSRequest:
    query = "&".join(f"{uri_encode(name)}={uri_encode(value)}" for name, value in request.query)
    url = request.origin + encode_path(request.path) + (f"?{query}" if query else "")
    return AWSRequest(method=request.method, url=url, headers=dict(request.headers))


def _botocore_presigns(request: Request, *, seconds: int, now: datetime) -> str:
    oracle = _botocore_request(request)
    auth = botocore.auth.S3SigV4QueryAuth(BotoCredentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1", expires=seconds)
    with _botocore_clock(now):
        auth.add_auth(oracle)
    return str(oracle.url)


def _botocore_signs(request: Request, *, now: datetime) -> dict[str, str]:
    oracle = _botocore_request(request)
    auth = botocore.auth.S3SigV4Auth(BotoCredentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1")
    with _botocore_clock(now):
        auth.add_auth(oracle)
    return dict(oracle.headers.items())


def _botocore_clock(now: datetime) -> Any:  # noqa: ANN401 - the type of a patcher is private
    """The oracle reads the time itself; nothing of ours is replaced."""
    return mock.patch.object(botocore.auth, "get_current_datetime", return_value=now.replace(tzinfo=None))
