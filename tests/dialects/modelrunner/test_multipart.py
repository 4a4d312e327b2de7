"""Uploads in three steps: initiate-multipart, a URL and a PUT per part, complete."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from penstock.ports.runners import FileInput
from tests.dialects.modelrunner.client import LIFECYCLE, PNG, envelope, issues, put
from tests.support.exchange import exchange, fetch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.dialects.modelrunner.client import ModelRunner
    from tests.support.exchange import Answer
    from tests.support.house import House

LEAST = 5 * 2**20
FIRST = PNG + bytes(LEAST + 7 - len(PNG))
NOISE = bytes(range(256)) * (LEAST // 256)
REST = b"the end"
DECLARED: dict[str, object] = {"file_name": "clip.mp4", "content_type": "video/mp4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InParts:
    """An upload in parts, driven by one key: what the guide's third section does."""

    api: ModelRunner
    file_url: str
    upload_id: str
    upload_key: str

    def url(self, number: object) -> Answer:
        """The answer about a part's URL."""
        query = f"uploadKey={quote(self.upload_key)}&uploadId={quote(self.upload_id)}&partNumber={number}"
        return self.api.call("GET", f"/storage/upload/multipart-url?{query}")

    def send(self, number: int, content: bytes) -> str:
        """The ETag of a part, as its PUT answered it."""
        answer = put(self.url(number).must(200)["presignedUrl"], content, None)
        assert answer.status == 200, answer.body
        return answer.headers["etag"]

    def complete(self, *parts: tuple[int, str], **headers: str) -> Answer:
        """The answer about the whole."""
        body = {
            "uploadId": self.upload_id,
            "uploadKey": self.upload_key,
            "parts": [{"partNumber": number, "etag": etag} for number, etag in parts],
        }
        return self.api.call("POST", "/storage/upload/complete", body, **headers)


def begin(api: ModelRunner, lifecycle: object = None, **more: object) -> InParts:
    headers = {} if lifecycle is None else lasting(lifecycle)
    said = api.call("POST", "/storage/upload/initiate-multipart", {**DECLARED, **more}, **headers).must(200)
    assert set(said) == {"fileUrl", "uploadId", "uploadKey"}
    return InParts(api=api, file_url=said["fileUrl"], upload_id=said["uploadId"], upload_key=said["uploadKey"])


def digest(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    """What the model read of its picture."""
    file = inputs["image"]
    assert isinstance(file, FileInput)
    return {"sha256": hashlib.sha256(context.fetch(file).read_bytes()).hexdigest()}


def lasting(seconds: object) -> dict[str, str]:
    return {LIFECYCLE: json.dumps({"expiration_duration_seconds": seconds})}


@pytest.mark.statement("MR-13")
def test_initiate_multipart_names_the_upload_and_its_url(acme: ModelRunner) -> None:
    answer = acme.call("POST", "/storage/upload/initiate-multipart", {**DECLARED, "size": 2**30})

    assert answer.headers["content-type"] == "application/json"
    said = answer.must(200)
    assert said["fileUrl"] == f"{acme.base}/media/{said['uploadKey']}"
    assert re.fullmatch(r"[0-9a-f]{32}-clip\.mp4", said["uploadKey"])
    assert isinstance(said["uploadId"], str)
    assert said["uploadId"]


@pytest.mark.statement("MR-14")
def test_a_parts_url_is_given_as_often_as_it_is_asked_for(acme: ModelRunner) -> None:
    upload = begin(acme)

    first, again = upload.url(10_000).must(200), upload.url(10_000).must(200)

    for said in (first, again):
        assert set(said) == {"presignedUrl"}
        assert "partNumber=10000" in said["presignedUrl"]
        assert not said["presignedUrl"].startswith(acme.base)
        assert put(said["presignedUrl"], b"x", None).status == 200


@pytest.mark.statement("MR-14")
@pytest.mark.parametrize(
    ("number", "code"), [("0", "too_small"), ("10001", "too_big"), ("x", "invalid_type"), ("", "invalid_type")]
)
def test_a_part_number_that_no_part_can_have_is_refused(acme: ModelRunner, number: str, code: str) -> None:
    assert issues(begin(acme).url(number)) == {"partNumber": code}


@pytest.mark.statement("MR-14", "MR-46")
def test_an_unknown_pair_is_not_found(acme: ModelRunner) -> None:
    upload, other = begin(acme), begin(acme)
    single = acme.initiate()["file_url"].rpartition("/")[2]

    for stranger in (
        replace(upload, upload_id=other.upload_id),
        replace(upload, upload_key=other.upload_key),
        replace(upload, upload_id="nothing"),
        replace(upload, upload_id="x" * 21),
        replace(upload, upload_key=single),
    ):
        envelope(stranger.url(1), 404)
        envelope(stranger.complete((1, "9b2c")), 404)


@pytest.mark.parametrize("missing", ["uploadKey", "uploadId", "partNumber"])
def test_a_parts_url_needs_all_three(acme: ModelRunner, missing: str) -> None:
    upload = begin(acme)
    given = {"uploadKey": upload.upload_key, "uploadId": upload.upload_id, "partNumber": "1"}
    query = "&".join(f"{name}={value}" for name, value in given.items() if name != missing)

    assert issues(acme.call("GET", f"/storage/upload/multipart-url?{query}")) == {missing: "invalid_type"}


@pytest.mark.statement("MR-15")
def test_a_part_needs_no_content_type_and_answers_a_quoted_etag(acme: ModelRunner) -> None:
    url = begin(acme).url(1).must(200)["presignedUrl"]

    answer = put(url, b"some bytes", None)

    assert (answer.status, answer.body) == (200, b"")
    assert re.fullmatch(r'"[^"]+"', answer.headers["etag"])


@pytest.mark.statement("MR-16", "MR-17", "MR-19", "MR-20")
@pytest.mark.parametrize("quoted", [True, False], ids=["quoted, as Python sends it", "bare, as JS and the guide do"])
def test_a_file_is_there_when_its_parts_are_completed_and_not_before(acme: ModelRunner, *, quoted: bool) -> None:
    upload = begin(acme)
    etags = [upload.send(1, NOISE), upload.send(2, REST)]
    named = [(number, etag if quoted else etag.strip('"')) for number, etag in enumerate(etags, 1)]

    envelope(exchange("GET", upload.file_url), 404)
    said = upload.complete(*named).must(200)

    assert said == {"fileUrl": upload.file_url}
    served = fetch(upload.file_url)
    assert (served.status, served.headers["content-type"], served.body) == (200, "video/mp4", NOISE + REST)
    assert upload.complete(*named).must(200) == said


@pytest.mark.statement("MR-19", "MR-44")
def test_a_file_of_known_size_waits_for_its_completion_too(acme: ModelRunner, house: House) -> None:
    upload = begin(acme, size=len(FIRST + REST))
    named = [(1, upload.send(1, FIRST)), (2, upload.send(2, REST))]

    assert exchange("GET", upload.file_url).status == 404
    envelope(acme.call("POST", "/acme/model", {"image": upload.file_url}), 404)
    house.sweep()
    assert exchange("GET", upload.file_url).status == 404

    upload.complete(*named).must(200)
    assert fetch(upload.file_url).body == FIRST + REST


@pytest.mark.statement("MR-18")
def test_parts_may_come_in_any_order_and_the_last_copy_of_each_counts(acme: ModelRunner) -> None:
    upload = begin(acme)
    middle = b"m" * (LEAST + 2**20)
    last = upload.send(3, REST)
    replaced = upload.send(1, b"x" * LEAST)
    second = upload.send(2, middle)
    first = upload.send(1, FIRST)

    envelope(upload.complete((1, replaced), (2, second), (3, last)), 400)
    upload.complete((1, first), (2, second), (3, last)).must(200)

    assert fetch(upload.file_url).body == FIRST + middle + REST


@pytest.mark.statement("MR-21", "MR-46")
def test_a_list_that_does_not_make_the_file_is_refused_and_can_be_mended(acme: ModelRunner) -> None:
    upload = begin(acme)
    short, first, last = upload.send(3, b"short"), upload.send(1, FIRST), upload.send(2, REST)

    for wrong in (
        [(1, "9b2c"), (2, last)],
        [(1, first), (2, last), (4, last)],
        [(1, first), (2, last), (3, short)],
        [(2, last)],
        [(2, last), (1, first)],
        [(1, first), (1, first)],
        [],
    ):
        envelope(upload.complete(*wrong), 400)
        assert exchange("GET", upload.file_url).status == 404, wrong

    upload.complete((1, first), (2, last)).must(200)
    assert fetch(upload.file_url).body == FIRST + REST


@pytest.mark.parametrize("asked_for_url", [True, False])
def test_parts_of_which_none_arrived_are_refused(acme: ModelRunner, *, asked_for_url: bool) -> None:
    upload = begin(acme)
    if asked_for_url:
        upload.url(1).must(200)

    assert envelope(upload.complete((1, "9b2c")), 400)["details"]["code"] == "UPLOAD_INCOMPLETE"


@pytest.mark.statement("MR-22")
def test_the_lifecycle_header_of_the_completion_counts(acme: ModelRunner, house: House) -> None:
    kept, mortal, inherited = begin(acme, 60), begin(acme), begin(acme, 60)
    house.clock.advance(timedelta(minutes=10))

    kept.complete((1, kept.send(1, REST)), **lasting(None)).must(200)
    mortal.complete((1, mortal.send(1, REST)), **lasting(60)).must(200)
    inherited.complete((1, inherited.send(1, REST))).must(200)

    assert all(fetch(upload.file_url).status == 200 for upload in (kept, mortal, inherited))
    house.clock.advance(timedelta(seconds=66))
    assert fetch(kept.file_url).status == 200
    assert exchange("GET", mortal.file_url).status == 404
    assert exchange("GET", inherited.file_url).status == 404


@pytest.mark.statement("MR-11", "MR-22")
@pytest.mark.parametrize("header", ['{"expiration_duration_seconds": 59}', "1h", '{"initial_acl": {}}'])
def test_a_wrong_lifecycle_header_is_refused_at_both_ends(acme: ModelRunner, header: str) -> None:
    upload = begin(acme)
    part = (1, upload.send(1, REST))

    begun = acme.call("POST", "/storage/upload/initiate-multipart", DECLARED, **{LIFECYCLE: header})
    assert issues(begun) == {LIFECYCLE: "custom"}
    assert issues(upload.complete(part, **{LIFECYCLE: header})) == {LIFECYCLE: "custom"}
    assert exchange("GET", upload.file_url).status == 404


@pytest.mark.statement("MR-40")
def test_another_accounts_upload_is_not_there(acme: ModelRunner, rival: ModelRunner) -> None:
    upload = begin(acme)
    part = (1, upload.send(1, REST))
    stranger = replace(upload, api=rival)

    envelope(stranger.url(1), 404)
    envelope(stranger.complete(part), 404)

    upload.complete(part).must(200)
    envelope(stranger.complete(part), 404)


@pytest.mark.statement("MR-42")
def test_the_type_that_comes_with_a_part_is_nobodys(acme: ModelRunner) -> None:
    upload = begin(acme)
    url = upload.url(1).must(200)["presignedUrl"]
    content = b"a=1&b=%20" + bytes(range(256))

    answer = put(url, content, "application/x-www-form-urlencoded", Expect="100-continue")
    upload.complete((1, answer.headers["etag"])).must(200)

    served = fetch(upload.file_url)
    assert (served.headers["content-type"], served.body) == ("video/mp4", content)


@pytest.mark.statement("MR-43")
@pytest.mark.parametrize("field", ["image", "image_url", "image_path", "init_image"])
def test_the_url_is_an_input_straight_after_completion(acme: ModelRunner, house: House, field: str) -> None:
    house.models["acme/model"] = digest
    upload = begin(acme, file_name="large.png", content_type="image/png")
    upload.complete((1, upload.send(1, FIRST))).must(200)

    queued = acme.submit(body={field: upload.file_url})
    house.work()

    result = acme.call("GET", queued["response_url"]).must(200)
    assert result["output"] == {"sha256": hashlib.sha256(FIRST).hexdigest()}
    assert result["input"] == {field: upload.file_url}


@pytest.mark.statement("MR-44")
def test_parts_that_do_not_add_up_to_the_size_make_no_file(acme: ModelRunner) -> None:
    upload = begin(acme, size=len(FIRST) + len(REST))
    first = upload.send(1, FIRST)

    for wrong in (REST + b"!", REST[1:]):
        envelope(upload.complete((1, first), (2, upload.send(2, wrong))), 400)
        assert exchange("GET", upload.file_url).status == 404

    upload.complete((1, first), (2, upload.send(2, REST))).must(200)


@pytest.mark.statement("MR-45")
def test_a_file_in_parts_may_be_larger_than_a_single_put(acme: ModelRunner) -> None:
    for size in (5_368_709_120, 5_368_709_121, 5 * 2**40):
        assert begin(acme, size=size).url(10_000).status == 200

    body = {**DECLARED, "size": 5 * 2**40 + 1}
    assert issues(acme.call("POST", "/storage/upload/initiate-multipart", body)) == {"size": "too_big"}


@pytest.mark.statement("MR-46")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"content_type": "image/png"}, {"file_name": "invalid_type"}),
        ({"file_name": "", "content_type": "image/png"}, {"file_name": "too_small"}),
        ({"file_name": "a.png"}, {"content_type": "invalid_type"}),
        ({"file_name": "a.png", "content_type": ""}, {"content_type": "too_small"}),
        ({"file_name": "a.png", "content_type": "image/png", "size": -1}, {"size": "too_small"}),
        ({"file_name": "a.png", "content_type": "image/png", "size": "7"}, {"size": "invalid_type"}),
        ({"file_name": "a.png", "content_type": "image/png", "size": 7.5}, {"size": "invalid_type"}),
    ],
)
def test_a_wrong_declaration_names_the_field(
    acme: ModelRunner, body: dict[str, object], expected: dict[str, str]
) -> None:
    assert issues(acme.call("POST", "/storage/upload/initiate-multipart", body)) == expected


@pytest.mark.statement("MR-46")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"uploadId": None}, {"uploadId": "invalid_type"}),
        ({"uploadKey": None}, {"uploadKey": "invalid_type"}),
        ({"parts": None}, {"parts": "invalid_type"}),
        ({"parts": []}, {"parts": "too_small"}),
        ({"parts": {}}, {"parts": "invalid_type"}),
        ({"parts": [{"etag": "9b2c"}]}, {"parts.0.partNumber": "invalid_type"}),
        ({"parts": [{"partNumber": 1}]}, {"parts.0.etag": "invalid_type"}),
        ({"parts": [{"partNumber": "1", "etag": "9b2c"}]}, {"parts.0.partNumber": "invalid_type"}),
        ({"parts": [{"partNumber": 0, "etag": "9b2c"}]}, {"parts.0.partNumber": "too_small"}),
        ({"parts": [{"partNumber": 10_001, "etag": "9b2c"}]}, {"parts.0.partNumber": "too_big"}),
        ({"parts": [{"partNumber": 1, "etag": ""}]}, {"parts.0.etag": "too_small"}),
    ],
)
def test_a_completion_that_lacks_something_says_what(
    acme: ModelRunner, change: dict[str, object], expected: dict[str, str]
) -> None:
    upload = begin(acme)
    whole = {
        "uploadId": upload.upload_id,
        "uploadKey": upload.upload_key,
        "parts": [{"partNumber": 1, "etag": "9b2c"}],
        **change,
    }
    body = {name: value for name, value in whole.items() if value is not None}

    assert issues(acme.call("POST", "/storage/upload/complete", body)) == expected


@pytest.mark.statement("MR-46")
@pytest.mark.parametrize("path", ["initiate-multipart", "complete"])
@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"null", b'{"size": NaN}'])
def test_a_body_that_is_no_json_object_is_refused(acme: ModelRunner, path: str, body: bytes) -> None:
    envelope(acme.call("POST", f"/storage/upload/{path}", body), 400)


@pytest.mark.statement("MR-47")
def test_a_broken_off_upload_is_gone_on_with_from_its_names_and_etags(acme: ModelRunner, house: House) -> None:
    begun = begin(acme)
    first = (1, begun.send(1, FIRST))
    house.clock.advance(timedelta(days=6))
    house.sweep()

    other = InParts(api=acme, file_url="unknown", upload_id=begun.upload_id, upload_key=begun.upload_key)
    said = other.complete(first, (2, other.send(2, REST))).must(200)

    assert fetch(said["fileUrl"]).body == FIRST + REST


def test_an_upload_that_nobody_goes_on_with_ends_after_seven_days(acme: ModelRunner, house: House) -> None:
    upload = begin(acme)
    part = (1, upload.send(1, REST))
    house.clock.advance(timedelta(days=7, hours=2))
    house.sweep()

    assert upload.url(2).status == 409
    envelope(upload.complete(part), 409)
    assert exchange("GET", upload.file_url).status == 404


def test_a_list_of_ten_thousand_parts_is_read(acme: ModelRunner) -> None:
    upload = begin(acme)

    answer = upload.complete(*((number, "0123456789abcdef" * 2) for number in range(1, 10_001)))

    assert envelope(answer, 400)["details"]["code"] == "UPLOAD_INCOMPLETE"


@pytest.mark.statement("MR-23")
@pytest.mark.parametrize("authorization", [None, "Bearer KEY", "Key nothing", "Key "])
def test_every_step_needs_the_key(acme: ModelRunner, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.replace("KEY", acme.key)}

    for method, path in (
        ("POST", "initiate-multipart"),
        ("GET", "multipart-url?uploadKey=a&uploadId=b&partNumber=1"),
        ("POST", "complete"),
    ):
        envelope(exchange(method, f"{acme.base}/storage/upload/{path}", b"{}", headers=headers), 401)


def test_a_key_without_the_right_to_write_files_is_refused(acme: ModelRunner, house: House) -> None:
    upload = begin(acme)
    reader = replace(acme, key=house.accounts.create_key("acme", ("runs:read",))[1])

    envelope(reader.call("POST", "/storage/upload/initiate-multipart", DECLARED), 403)
    envelope(replace(upload, api=reader).url(1), 403)
    envelope(replace(upload, api=reader).complete((1, "9b2c")), 403)


@pytest.mark.statement("MR-39")
def test_a_get_with_a_content_type_and_no_body_is_accepted(acme: ModelRunner) -> None:
    upload = begin(acme)
    query = f"uploadKey={upload.upload_key}&uploadId={upload.upload_id}&partNumber=1"

    answer = acme.call("GET", f"/storage/upload/multipart-url?{query}", Content_Type="application/json")

    assert answer.status == 200
