"""POST policies: the published example, botocore's forms, our own, and everything that a policy must keep out."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from penstock.sigv4 import (
    AccessDenied,
    Credentials,
    Form,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidPolicyDocument,
    InvalidRequest,
    SignatureDoesNotMatch,
    SignatureError,
    Signer,
    VerifiedForm,
    Verifier,
    sign_form,
    verify_form,
)
from penstock.sigv4.canonical import sign, signing_key

ACCESS_KEY = "AKIDTEST"
SECRET_KEY = "a secret/with+marks"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SIGNER = Signer(credentials=Credentials(ACCESS_KEY, SECRET_KEY), region="us-east-1")
VERIFIER = Verifier(lookup={ACCESS_KEY: SECRET_KEY}.get, region="us-east-1")
EXPIRATION = "2026-11-21T13:00:00Z"
SIGNING_FIELDS = [
    ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
    ("x-amz-credential", "AKIDTEST/20261121/us-east-1/s3/aws4_request"),
    ("x-amz-date", "20261121T120000Z"),
]
SIGNING_CONDITIONS: list[object] = [{name: value} for name, value in SIGNING_FIELDS]
CONDITIONS: list[object] = [{"bucket": "b"}, {"key": "k"}, *SIGNING_CONDITIONS]
FORM = Form(
    bucket="b",
    key="staging/é",
    min_bytes=1,
    max_bytes=100,
    fields=(("Content-Type", "image/png"),),
    free=(("tag", "t"),),
)


def verify(
    fields: list[tuple[str, str]], *, bucket: str = "b", file_name: str = "f.png", now: datetime = NOW
) -> VerifiedForm:
    return verify_form(VERIFIER, fields, bucket=bucket, file_name=file_name, now=now)


def signed(policy: object, *fields: tuple[str, str]) -> list[tuple[str, str]]:
    """A form with a policy of our making, signed as it is."""
    text = policy if isinstance(policy, str) else json.dumps(policy)
    encoded = base64.b64encode(text.encode()).decode()
    signature = sign(signing_key(SECRET_KEY, "20261121", "us-east-1", "s3"), encoded)
    return [*fields, *SIGNING_FIELDS, ("policy", encoded), ("x-amz-signature", signature)]


def form(conditions: list[object], *fields: tuple[str, str]) -> list[tuple[str, str]]:
    return signed({"expiration": EXPIRATION, "conditions": conditions}, *fields)


def own_form() -> list[tuple[str, str]]:
    return [*sign_form(SIGNER, FORM, now=NOW, expires_in=timedelta(hours=1)).items(), ("tag", "tea")]


PUBLISHED_POLICY = """\
{ "expiration": "2015-12-30T12:00:00.000Z",
  "conditions": [
    {"bucket": "sigv4examplebucket"},
    ["starts-with", "$key", "user/user1/"],
    {"acl": "public-read"},
    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},
    ["starts-with", "$Content-Type", "image/"],
    {"x-amz-meta-uuid": "14365123651274"},
    {"x-amz-server-side-encryption": "AES256"},
    ["starts-with", "$x-amz-meta-tag", ""],

    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},
    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
    {"x-amz-date": "20151229T000000Z" }
  ]
}""".replace("\n", "\r\n")


def test_the_published_form_of_the_s3_documentation_is_let_in() -> None:
    verifier = Verifier(lookup=lambda _: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region="us-east-1")
    fields = [
        ("key", "user/user1/${filename}"),
        ("acl", "public-read"),
        ("success_action_redirect", "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"),
        ("Content-Type", "image/jpeg"),
        ("x-amz-meta-uuid", "14365123651274"),
        ("x-amz-server-side-encryption", "AES256"),
        ("X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Date", "20151229T000000Z"),
        ("x-amz-meta-tag", ""),
        ("Policy", base64.b64encode(PUBLISHED_POLICY.encode()).decode()),
        ("X-Amz-Signature", "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"),
    ]

    verified = verify_form(
        verifier,
        fields,
        bucket="sigv4examplebucket",
        file_name="C:\\pictures\\me.jpg",
        now=datetime(2015, 12, 29, 12, tzinfo=UTC),
    )

    assert verified.key == "user/user1/me.jpg"
    assert verified.fields["content-type"] == "image/jpeg"
    assert (verified.min_bytes, verified.max_bytes) == (0, None)


def test_our_own_form_is_let_in_with_its_facts() -> None:
    verified = verify(own_form())

    assert (verified.access_key, verified.bucket, verified.key) == (ACCESS_KEY, "b", "staging/é")
    assert (verified.min_bytes, verified.max_bytes) == (1, 100)
    assert verified.fields["content-type"] == "image/png"
    assert verified.expires_at == NOW + timedelta(hours=1)


def test_a_form_that_botocore_signs_is_let_in() -> None:
    request = AWSRequest(method="POST", url="http://127.0.0.1:9000/b")
    request.context["s3-presign-post-fields"] = {"key": "k"}
    request.context["s3-presign-post-policy"] = {
        "expiration": EXPIRATION,
        "conditions": [{"bucket": "b"}, {"key": "k"}],
    }
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        botocore.auth.S3SigV4PostAuth(BotoCredentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)

    assert verify(list(request.context["s3-presign-post-fields"].items())).key == "k"


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("key", "staging/other", AccessDenied),
        ("Content-Type", "text/html", AccessDenied),
        ("tag", "coffee", AccessDenied),
        ("x-amz-signature", "0" * 64, SignatureDoesNotMatch),
        ("policy", "e30=", SignatureDoesNotMatch),
        ("x-amz-date", "20261121T120001Z", AccessDenied),
        ("x-amz-date", "20261120T120000Z", InvalidArgument),
        ("x-amz-date", "now", InvalidArgument),
        ("x-amz-algorithm", "AWS4-ECDSA-P256-SHA256", InvalidArgument),
        ("x-amz-credential", "AKIDTEST/20261121/eu-west-1/s3/aws4_request", InvalidArgument),
        ("x-amz-credential", "AKIDTEST", InvalidArgument),
        ("x-amz-credential", "AKIDNOBODY/20261121/us-east-1/s3/aws4_request", InvalidAccessKeyId),
    ],
)
def test_a_form_with_a_changed_field_is_refused(name: str, value: str, error: type[SignatureError]) -> None:
    fields = [(field, value if field == name else old) for field, old in own_form()]

    with pytest.raises(error):
        verify(fields)


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [
        ("key", InvalidArgument, 400),
        ("policy", InvalidArgument, 400),
        ("x-amz-signature", InvalidArgument, 400),
        ("x-amz-credential", InvalidArgument, 400),
        ("x-amz-date", InvalidArgument, 400),
        ("x-amz-algorithm", InvalidArgument, 400),
        ("Content-Type", AccessDenied, 403),
        ("tag", AccessDenied, 403),
    ],
)
def test_a_form_with_a_missing_field_is_refused(name: str, error: type[SignatureError], status: int) -> None:
    fields = [field for field in own_form() if field[0] != name]

    with pytest.raises(error) as caught:
        verify(fields)

    assert caught.value.status == status


@pytest.mark.parametrize("name", ["key", "Key", "policy", "x-amz-signature", "X-Amz-Credential", "file"])
def test_a_repeated_reserved_field_is_a_bad_request(name: str) -> None:
    fields = [*own_form(), ("file", "x"), (name, dict(own_form()).get(name.lower(), ""))]

    with pytest.raises(InvalidArgument, match="more than once"):
        verify(fields)


def test_another_repeated_field_counts_with_its_last_value() -> None:
    assert verify([*own_form(), ("tag", "tin")]).fields["tag"] == "tin"


def test_every_value_of_a_repeated_field_must_meet_the_policy() -> None:
    with pytest.raises(AccessDenied):
        verify([("tag", "coffee"), *own_form()])


def test_a_field_that_no_condition_names_is_refused() -> None:
    with pytest.raises(AccessDenied, match="Extra input fields: 'acl'"):
        verify([*own_form(), ("acl", "public-read")])


@pytest.mark.parametrize("name", ["x-ignore-me", "X-Ignore-This", "x-amz-checksum-sha256", "X-Amz-Checksum-Algorithm"])
def test_a_field_to_be_ignored_or_that_only_tightens_needs_no_condition(name: str) -> None:
    assert verify([*own_form(), (name, "x")]).key == "staging/é"


def test_a_form_for_another_bucket_is_refused() -> None:
    with pytest.raises(AccessDenied):
        verify(own_form(), bucket="c")


def test_a_policy_without_a_bucket_opens_none() -> None:
    with pytest.raises(AccessDenied, match="bucket"):
        verify(form([{"key": "k"}, *SIGNING_CONDITIONS], ("key", "k")))


@pytest.mark.parametrize("seconds", [0, 3600])
def test_a_form_is_good_until_its_policy_expires(seconds: int) -> None:
    assert verify(own_form(), now=NOW + timedelta(seconds=seconds)).key == "staging/é"


@pytest.mark.parametrize("seconds", [-901, 3600.001])
def test_a_form_is_refused_before_its_signing_time_and_after_its_policy_expires(seconds: float) -> None:
    with pytest.raises(AccessDenied):
        verify(own_form(), now=NOW + timedelta(seconds=seconds))


def test_a_form_signed_more_than_a_week_ago_is_refused() -> None:
    fields = signed({"expiration": "2030-01-01T00:00:00Z", "conditions": CONDITIONS}, ("key", "k"))

    with pytest.raises(AccessDenied, match="too long ago"):
        verify(fields, now=NOW + timedelta(days=7, seconds=1))


def test_names_and_operators_are_the_same_in_any_case() -> None:
    conditions = [{"bUcKeT": "b"}, ["StArTs-WiTh", "$KeY", "k"], ["EQ", "$AcL", "private"], *SIGNING_CONDITIONS]

    assert verify(form(conditions, ("kEy", "k1"), ("aCl", "private"))).key == "k1"


def test_the_name_of_the_file_fills_the_key_before_the_conditions_are_checked() -> None:
    conditions = [{"bucket": "b"}, ["eq", "$key", "u/passwd"], *SIGNING_CONDITIONS]

    assert verify(form(conditions, ("key", "u/${filename}")), file_name="../../etc/passwd").key == "u/passwd"


@pytest.mark.parametrize(
    ("value", "allowed"), [("image/png", True), ("image/png, image/gif", True), ("image/png,text/html", False)]
)
def test_each_item_of_a_list_of_content_types_must_begin_as_asked(value: str, allowed: bool) -> None:
    fields = form([*CONDITIONS, ["starts-with", "$Content-Type", "image/"]], ("key", "k"), ("Content-Type", value))

    if allowed:
        assert verify(fields).fields["content-type"] == value
        return
    with pytest.raises(AccessDenied):
        verify(fields)


def test_the_narrowest_of_several_size_ranges_counts() -> None:
    conditions = [*CONDITIONS, ["content-length-range", 0, 10], ["content-length-range", 5, 20]]

    verified = verify(form(conditions, ("key", "k")))

    assert (verified.min_bytes, verified.max_bytes) == (5, 10)


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param("not json", id="not-json"),
        pytest.param("[]", id="not-an-object"),
        pytest.param({"conditions": CONDITIONS}, id="no-expiration"),
        pytest.param({"EXPIRATION": EXPIRATION, "conditions": CONDITIONS}, id="expiration-in-capitals"),
        pytest.param({"expiration": EXPIRATION}, id="no-conditions"),
        pytest.param({"expiration": EXPIRATION, "CONDITIONS": CONDITIONS}, id="conditions-in-capitals"),
        pytest.param({"expiration": EXPIRATION, "conditions": {}}, id="conditions-not-a-list"),
        pytest.param({"expiration": "tomorrow", "conditions": CONDITIONS}, id="expiration-in-words"),
        pytest.param({"expiration": "2026-13-21T13:00:00Z", "conditions": CONDITIONS}, id="expiration-no-date"),
        pytest.param({"expiration": "2026-11-21T13:00:00", "conditions": CONDITIONS}, id="expiration-without-zone"),
        pytest.param({"expiration": 1, "conditions": CONDITIONS}, id="expiration-a-number"),
        pytest.param('{"expiration": "2026-11-21T13:00:00Z", "expiration": "", "conditions": []}', id="name-twice"),
        pytest.param('{"expiration": "2026-11-21T13:00:00Z", "conditions": [NaN]}', id="nan"),
        pytest.param("[" * 15_000, id="too-deep"),
        pytest.param(" " * 30_000, id="too-long"),
    ],
)
def test_a_policy_that_cannot_be_read_is_a_bad_request(policy: object) -> None:
    with pytest.raises(InvalidPolicyDocument) as caught:
        verify(signed(policy, ("key", "k")))

    assert caught.value.status == 400


@pytest.mark.parametrize(
    "condition",
    [
        {},
        [],
        {"acl": 1},
        ["content-length-range", 0],
        ["content-length-range", -1, 0],
        ["content-length-range", 5, 4],
        ["content-length-range", True, 4],
        ["content-length-range", "a", "b"],
        ["ends-with", "$key", "k"],
        ["eq", "key", "k"],
        ["eq", "$key"],
        "key",
        None,
    ],
)
def test_a_condition_that_s3_does_not_define_is_a_bad_request(condition: object) -> None:
    with pytest.raises(InvalidPolicyDocument):
        verify(form([*CONDITIONS, condition], ("key", "k")))


def test_a_form_without_a_signature_is_denied() -> None:
    with pytest.raises(AccessDenied, match="Anonymous"):
        verify([("key", "k")])


def test_a_form_of_signature_version_two_is_a_bad_request() -> None:
    with pytest.raises(InvalidRequest):
        verify([("AWSAccessKeyId", "a"), ("signature", "b"), ("policy", "e30="), ("key", "k")])


NAMES = st.sampled_from(["key", "bucket", "Content-Type", "acl", "x-amz-meta-a", "X-Ignore-b", "x-amz-checksum-crc32"])
TEXTS = st.sampled_from(["", "k", "b", "image/", "image/png", "image/png,text/html", "${filename}", "a/b"])
POSSIBLE_CONDITIONS = st.one_of(
    st.dictionaries(NAMES, TEXTS, min_size=1, max_size=2),
    st.tuples(st.sampled_from(["eq", "starts-with"]), NAMES.map("${}".format), TEXTS).map(list),
)


@given(
    conditions=st.lists(POSSIBLE_CONDITIONS, max_size=5),
    covering=st.booleans(),
    fields=st.dictionaries(NAMES.filter(lambda name: name not in {"key", "bucket"}), TEXTS, max_size=3),
    key=TEXTS,
)
def test_a_form_is_let_in_exactly_when_each_field_has_a_condition_and_each_condition_holds(
    conditions: list[object], covering: bool, fields: dict[str, str], key: str
) -> None:
    usual: list[object] = [["starts-with", "$key", ""], {"bucket": "b"}] if covering else []
    conditions = [*SIGNING_CONDITIONS, *usual, *conditions]
    sent = [("key", key), *fields.items()]

    try:
        verify(form(conditions, *sent), file_name="k")
    except AccessDenied:
        let_in = False
    else:
        let_in = True

    assert let_in is plainly_allowed(conditions, dict([*sent, *SIGNING_FIELDS]))


def plainly_allowed(conditions: list[object], fields: dict[str, str]) -> bool:
    """The rules for forms of the S3 API, once more: conditions as triples, one look per condition and per field."""
    triples: list[tuple[str, str, str]] = []
    for condition in conditions:
        if isinstance(condition, dict):
            triples += [("eq", name.lower(), value) for name, value in condition.items()]
        elif isinstance(condition, list):
            triples.append((condition[0], condition[1][1:].lower(), condition[2]))
    facts = {name.lower(): value for name, value in fields.items()} | {"bucket": "b"}
    facts["key"] = facts["key"].replace("${filename}", "k")
    for operator, name, value in triples:
        actual = facts.get(name)
        if actual is None or (operator == "eq" and actual != value):
            return False
        items = actual.split(",") if name == "content-type" else [actual]
        if operator == "starts-with" and not all(item.startswith(value) for item in items):
            return False
    free = ("x-ignore-", "x-amz-checksum-")
    return all(name in {triple[1] for triple in triples} or name.startswith(free) for name in facts)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inside: st.one_of(st.lists(inside, max_size=4), st.dictionaries(st.text(max_size=8), inside, max_size=3)),
    max_leaves=12,
)


@given(
    policy=st.one_of(
        JSON,
        st.fixed_dictionaries({"expiration": st.just(EXPIRATION), "conditions": st.lists(JSON, max_size=4)}),
        st.text(max_size=60),
    ),
    fields=st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=4),
)
def test_no_policy_and_no_fields_raise_anything_but_a_refusal(policy: object, fields: list[tuple[str, str]]) -> None:
    with pytest.raises(SignatureError):
        verify(signed(policy, *fields, ("key", "k")))
