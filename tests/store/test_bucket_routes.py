from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.store.support import Response, Store


def listed(body: bytes, tag: str) -> list[str]:
    """The texts of all elements of a name, in the order of the document."""
    return re.findall(rf"<{tag}>([^<]*)</{tag}>", body.decode())


@pytest.fixture(scope="module")
def filled(shared_store: Store) -> Store:
    for key in ("v/a", "v/b/1", "v/b/2", "v/c ü", "w"):
        shared_store.put(key, key.encode())
    return shared_store


# --- versions: every object is the one version, `null`, of its key


def test_every_object_is_listed_as_the_latest_version_of_its_key(filled: Store) -> None:
    body = filled.call("GET", "", query={"versions": "", "prefix": "v/"}).body

    assert listed(body, "Key") == ["v/a", "v/b/1", "v/b/2", "v/c ü"]
    assert listed(body, "VersionId") == ["null"] * 4
    assert listed(body, "IsLatest") == ["true"] * 4
    assert listed(body, "IsTruncated") == ["false"]
    assert listed(body, "DeleteMarker") == []


def test_versions_page_with_markers_and_group_under_a_delimiter(filled: Store) -> None:
    query = {"versions": "", "prefix": "v/", "delimiter": "/", "max-keys": "1", "encoding-type": "url"}
    found: list[tuple[list[str], list[bytes]]] = []
    markers: dict[str, str] = {}
    while True:
        body = filled.call("GET", "", query={**query, **markers}).body
        found.append((listed(body, "Key"), re.findall(rb"<CommonPrefixes><Prefix>([^<]*)", body)))
        if listed(body, "IsTruncated") == ["false"]:
            break
        markers = {"key-marker": listed(body, "NextKeyMarker")[0]}
        if versions := listed(body, "NextVersionIdMarker"):
            markers["version-id-marker"] = versions[0]

    assert found == [(["v/a"], []), ([], [b"v/b/"]), (["v/c%20%C3%BC"], [])]


@pytest.mark.parametrize("query", [{"version-id-marker": "null"}, {"key-marker": "a", "version-id-marker": "7"}])
def test_a_version_marker_without_its_key_or_of_no_version_is_refused(filled: Store, query: dict[str, str]) -> None:
    assert filled.call("GET", "", query={"versions": "", **query}).code == "InvalidArgument"


def test_the_only_version_of_a_key_is_read_and_deleted_by_its_name(shared_store: Store) -> None:
    shared_store.put("versioned", b"1")
    only = {"versionId": "null"}

    read = [shared_store.call(method, "versioned", query=only) for method in ("GET", "HEAD")]

    assert [response.status for response in read] == [200, 200]
    assert shared_store.call("DELETE", "versioned", query=only).status == 204
    assert shared_store.get("versioned").status == 404


def test_no_key_has_another_version(shared_store: Store) -> None:
    shared_store.put("unversioned", b"1")
    other = {"versionId": "3HL4kqtJlcpXroDTDmjVBH40Nrjfkd"}

    answers = [shared_store.call(method, "unversioned", query=other) for method in ("GET", "HEAD", "DELETE")]

    assert [response.status for response in answers] == [404, 404, 404]
    assert answers[0].code == "NoSuchVersion"
    assert shared_store.call(
        "PUT", "copied", headers={"x-amz-copy-source": "penstock/unversioned?versionId=x"}
    ).code == ("NoSuchVersion")
    assert shared_store.get("unversioned").body == b"1"


def test_deleting_many_takes_the_only_version_and_reports_any_other(shared_store: Store) -> None:
    for key in ("d1", "d2", "d3"):
        shared_store.put(key, b"1")
    body = (
        b"<Delete><Quiet>true</Quiet><Object><Key>d1</Key><VersionId>null</VersionId></Object>"
        b"<Object><Key>d2</Key><VersionId>other</VersionId></Object><Object><Key>d3</Key></Object></Delete>"
    )

    response = shared_store.call("POST", "", query={"delete": ""}, body=body)

    assert (response.status, listed(response.body, "Key"), listed(response.body, "Code")) == (
        200,
        ["d2"],
        ["NoSuchVersion"],
    )
    assert [shared_store.get(key).status for key in ("d1", "d2", "d3")] == [404, 200, 404]


# --- names


def test_buckets_are_named_like_hosts(store: Store) -> None:
    good = ["abc", "a.b-c.d", "1-a", "a" * 63, "192.168.5.1a"]
    bad = ["aa", "a" * 64, "Abc", "a_b", "-ab", "ab-", "a..b", "a.-b", "a-.b", ".ab", "ab.", "192.168.5.123"]

    def create(name: str) -> Response:
        return store.exchange(store.head_bytes("PUT", f"/{name}", headers={"content-length": "0"}))

    assert {name: create(name).status for name in good} == dict.fromkeys(good, 200)
    assert {name: create(name).code for name in bad} == dict.fromkeys(bad, "InvalidBucketName")


def test_buckets_are_listed_by_prefix_and_page(store: Store) -> None:
    for name in ("page-a", "page-b", "page-c", "other"):
        store.exchange(store.head_bytes("PUT", f"/{name}", headers={"content-length": "0"}))

    def names(**query: str) -> tuple[list[str], list[str]]:
        sent = {name.replace("_", "-"): value for name, value in query.items()}
        body = store.exchange(store.head_bytes("GET", "/", query=sent)).body
        return listed(body, "Name"), listed(body, "ContinuationToken")

    assert names() == (["other", "page-a", "page-b", "page-c", "penstock"], [])
    assert names(prefix="page-", max_buckets="2") == (["page-a", "page-b"], ["page-b"])
    assert names(prefix="page-", max_buckets="2", continuation_token="page-b") == (["page-c"], [])
    assert names(prefix="page-", max_buckets="3") == (["page-a", "page-b", "page-c"], [])
