"""What is counted and logged of requests: every one once, by its operation and outcome, and nothing that is secret."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.store import faults
from penstock.store.metering import CODES, OPERATIONS, operation_of, store_meters
from penstock.store.request import S3Request, subresources_of
from penstock.store.routes import Routes
from penstock.telemetry import METRICS, Log, Meters
from tests.store.support import BUCKET, PATIENCE_SECONDS, Store, StoreProcess, store_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Numbers = dict[tuple[str, ...], float]
FORM = b"--b\r\nContent-Disposition: form-data; name=X-Amz-Signature\r\n\r\n"
FORM_HEADERS = {"content-type": "multipart/form-data; boundary=b", "content-length": str(len(FORM))}
PRESIGNED_SECRETS = ("X-Amz", "Signature", "Credential=", "a secret")


@dataclass(frozen=True, slots=True)
class Watched:
    """A store whose events and metrics can be read."""

    store: Store
    events: list[dict[str, object]] = field(default_factory=list)

    @property
    def metrics_port(self) -> int:
        return int(str(self.named("store.metrics")[0]["port"]))

    def named(self, *names: str) -> list[dict[str, object]]:
        return [event for event in self.events if event["event"] in names]

    def requests(self, number: int) -> list[dict[str, object]]:
        """The events of so many requests: an answer is read before its request is reported."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found := self.named("store.request", "store.abandoned")) < number:
            assert time.monotonic() < deadline, found
            time.sleep(0.01)
        return found

    def scrape(self) -> Numbers:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=PATIENCE_SECONDS) as page:
            return numbers(page.read().decode())


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    events: list[dict[str, object]] = []
    check = Log("store", None)

    def log(event: str, **fields: object) -> None:
        check(event, **fields)
        events.append({"event": event, **fields})

    with store_in_thread(tmp_path, metrics_port=0, log=log) as store:
        yield Watched(store, events)


def numbers(page: str) -> Numbers:
    """Samples by their name and the values of their labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_requests_are_counted_by_operation_and_outcome_and_bytes_both_ways(watched: Watched) -> None:
    watched.store.put("key", bytes(1000))
    watched.store.get("key")
    watched.store.get("absent")
    watched.store.call("PUT", "copy", headers={"x-amz-copy-source": f"{BUCKET}/key"})
    watched.store.call("GET", "", query={"list-type": "2"})
    watched.requests(5)

    seen = watched.scrape()

    for series in (("PutObject", "2xx"), ("GetObject", "2xx"), ("GetObject", "4xx"), ("CopyObject", "2xx")):
        assert seen["penstock_store_requests_total", *series] == 1, series
    assert seen["penstock_store_requests_total", "ListObjectsV2", "2xx"] == 1
    assert seen["penstock_store_errors_total", "NoSuchKey"] == 1
    assert seen["penstock_store_received_bytes_total",] == 1000
    assert seen["penstock_store_sent_bytes_total",] > 1000
    assert seen["penstock_store_request_seconds_count", "GetObject"] == 2
    assert seen["penstock_store_request_seconds_bucket", "+Inf", "GetObject"] == 2
    assert seen["penstock_store_request_seconds_sum", "GetObject"] > 0


def test_every_write_shows_the_fsyncs_it_waited_for(watched: Watched) -> None:
    before = watched.scrape()
    watched.store.put("key", b"x")

    after = watched.scrape()

    for of in ("file", "directory"):
        series = ("penstock_store_fsync_seconds_count", of)
        assert after[series] == before[series] + 1


def test_open_connections_free_space_and_health_are_shown(watched: Watched) -> None:
    with watched.store.connect() as connection:
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        connection.read_response()

        seen = watched.scrape()

    disk = os.statvfs(watched.store.directory)
    assert seen["penstock_store_connections",] == 1
    assert seen["penstock_store_degraded",] == 0
    assert seen["penstock_store_free_bytes",] == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.2)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while watched.scrape()["penstock_store_connections",]:
        assert time.monotonic() < deadline


def test_refused_signatures_count_as_no_operation_and_name_their_code(watched: Watched) -> None:
    target = watched.store.presign("GET", "key") + "0"
    watched.store.exchange(watched.store.plain_head("GET", target))
    watched.requests(1)

    seen = watched.scrape()

    assert seen["penstock_store_requests_total", "none", "4xx"] == 1
    assert seen["penstock_store_errors_total", "SignatureDoesNotMatch"] == 1


def test_the_public_listener_shows_no_metrics(watched: Watched) -> None:
    response = watched.store.exchange(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")

    assert (response.status, response.code) == (403, "AccessDenied")


def test_the_admin_listener_shows_nothing_but_metrics(watched: Watched) -> None:
    with socket.create_connection(("127.0.0.1", watched.metrics_port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(b"GET /penstock/key HTTP/1.0\r\n\r\n")

        assert client.recv(1000).startswith(b"HTTP/1.1 404")


def test_a_client_that_stays_silent_does_not_keep_others_from_the_metrics(watched: Watched) -> None:
    with socket.create_connection(("127.0.0.1", watched.metrics_port), timeout=PATIENCE_SECONDS):
        assert watched.scrape()["penstock_store_degraded",] == 0


def test_openmetrics_is_spoken_to_those_who_accept_it(watched: Watched) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{watched.metrics_port}/metrics",
        headers={"Accept": "application/openmetrics-text; version=1.0.0"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as page:  # noqa: S310 - the address is ours
        assert page.read().endswith(b"# EOF\n")
        assert page.headers["content-type"].startswith("application/openmetrics-text")


def test_metrics_are_not_served_unless_asked_for(tmp_path: Path) -> None:
    with StoreProcess(tmp_path) as process:
        process.ready()
        listening = [line.split()[1] for line in sockets_of(process.process.pid)]

    assert len(listening) == 1


def sockets_of(pid: int) -> list[str]:
    """The lines of /proc/net/tcp for listening sockets that a process has open."""
    held = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()
    return [line for line in table if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in held]


FORKS = """
import os, sys
from penstock.store.metering import store_meters
meters = store_meters(processes=2)
if not os.fork():
    meters.of(1).add(5, "penstock_store_received_bytes")
    os._exit(0)
os.wait()
meters.of(0).add(2, "penstock_store_received_bytes")
sys.stdout.buffer.write(meters.render("", {})[0])
"""


def test_processes_forked_later_are_summed() -> None:
    page = subprocess.run([sys.executable, "-c", FORKS], check=True, capture_output=True, text=True).stdout

    assert numbers(page)["penstock_store_received_bytes_total",] == 7


def test_a_process_that_replaces_a_dead_one_counts_on_but_holds_no_connections() -> None:
    meters = store_meters()
    dead = meters.of(0)
    dead.add(5, "penstock_store_received_bytes")
    dead.add(3, "penstock_store_connections")

    meters.of(0).add(1, "penstock_store_received_bytes")

    seen = numbers(meters.render("", {})[0].decode())
    assert seen["penstock_store_received_bytes_total",] == 6
    assert seen["penstock_store_connections",] == 0


def test_no_count_of_many_threads_is_lost() -> None:
    meters = store_meters()
    meter = meters.of(0)

    def count() -> None:
        for _ in range(5000):
            meter.add(1, "penstock_store_received_bytes")
            meter.observe(0.3, "penstock_store_fsync_seconds", "file")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    seen = numbers(meters.render("", {})[0].decode())
    assert seen["penstock_store_received_bytes_total",] == 20_000
    assert seen["penstock_store_fsync_seconds_count", "file"] == 20_000


@pytest.mark.parametrize("series", [("penstock_store_unheard_of",), ("penstock_store_errors", "NoSuchCode")])
def test_an_undeclared_metric_or_label_raises(series: tuple[str, ...]) -> None:
    with pytest.raises(KeyError):
        store_meters().of(0).add(1, *series)


def test_a_value_falls_into_the_bucket_whose_bound_it_does_not_exceed() -> None:
    meters = Meters("penstock_store_fsync", {"of": ["file"]})
    bounds = METRICS["penstock_store_fsync_seconds"].bounds
    for value in (bounds[0], bounds[1], bounds[-1] + 1):
        meters.of(0).observe(value, "penstock_store_fsync_seconds", "file")

    seen = numbers(meters.render("", {})[0].decode())

    buckets = [seen["penstock_store_fsync_seconds_bucket", str(bound), "file"] for bound in bounds]
    assert buckets == [1.0] + [2.0] * (len(bounds) - 1)
    assert seen["penstock_store_fsync_seconds_bucket", "+Inf", "file"] == 3


def test_every_fault_has_a_place_and_the_operations_of_the_api_too() -> None:
    assert {faults.SLOW_DOWN.code, "SignatureDoesNotMatch", "other"} <= set(CODES)
    assert {"PutObject", "UploadPart", "CompleteMultipartUpload", "PostObject", "none"} <= set(OPERATIONS)


# --- the request log


def test_a_refusal_is_logged_with_its_code_and_a_success_without(watched: Watched) -> None:
    watched.store.put("key", b"x")
    (done,) = watched.requests(1)
    watched.store.get("absent")
    _, refused = watched.requests(2)

    assert (done["status"], "code" in done) == (200, False)
    assert (refused["status"], refused["code"], refused["path"]) == (404, "NoSuchKey", f"/{BUCKET}/absent")


def test_an_upload_whose_client_went_away_is_logged_as_abandoned_and_as_no_success(watched: Watched) -> None:
    with watched.store.connect() as connection:
        connection.send(watched.store.plain_head("PUT", watched.store.presign("PUT", "k"), {"content-length": "10"}))
        connection.send(b"12345")
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end

    (event,) = watched.requests(1)

    assert (event["event"], event["path"], "status" in event) == ("store.abandoned", f"/{BUCKET}/k", False)
    assert watched.scrape()["penstock_store_requests_total", "PutObject", "abandoned"] == 1


def test_a_download_that_was_broken_off_counts_the_bytes_that_left(watched: Watched) -> None:
    watched.store.put("large", bytes(30_000_000))
    watched.requests(1)
    with watched.store.connect() as connection:
        connection.send(watched.store.head_bytes("GET", f"/{BUCKET}/large"))
        connection.receive()
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    _, event = watched.requests(2)

    assert event["event"] == "store.abandoned"
    assert 0 < int(str(event["bytes"])) < 30_000_000


@pytest.mark.parametrize(
    "path",
    [
        "/penstock/line%0D%0A%7B%22event%22:%22forged%22%7D",
        "/penstock/%1B[31mred%1B[0m",
        '/penstock/","status":200,"x":"',
        "/penstock/%00",
        "/penstock/%E2%80%AE",
    ],
)
def test_no_key_breaks_a_line_of_the_log_or_colours_it(tmp_path: Path, path: str) -> None:
    stream = StringIO()
    with store_in_thread(tmp_path, log=Log("store", stream)) as store:
        store.exchange(store.plain_head("GET", path))

    lines = [line for line in stream.getvalue().splitlines() if "store.request" in line]
    assert len(lines) == 1
    assert lines[0].isascii()
    assert lines[0].isprintable()
    assert json.loads(lines[0])["path"] == path


@pytest.mark.parametrize("kind", ["presigned", "header", "bad signature", "form", "garbage"])
def test_nothing_that_grants_or_proves_anything_is_logged(tmp_path: Path, kind: str) -> None:
    stream = StringIO()
    with store_in_thread(tmp_path, log=Log("store", stream)) as store:
        target = store.presign("PUT", "key")
        heads = {
            "presigned": store.plain_head("PUT", target, {"content-length": "0"}),
            "header": store.head_bytes("PUT", f"/{BUCKET}/key", headers={"content-length": "0"}),
            "bad signature": store.plain_head("PUT", target + "0", {"content-length": "0"}),
            "form": store.plain_head("POST", f"/{BUCKET}", FORM_HEADERS) + FORM,
            "garbage": b"GET http://h/?X-Amz-Signature=1 HTTP/1.1\r\nHost: h\r\n\r\n",
        }
        with store.connect() as connection:
            connection.send(heads[kind])
            connection.socket.shutdown(socket.SHUT_WR)
            connection.read_response()

    log = stream.getvalue()
    assert log.count('"store.request"') == 1
    assert not [word for word in PRESIGNED_SECRETS if word.lower() in log.replace("SignatureDoesNotMatch", "").lower()]
    assert "?" not in log


def request(method: str, bucket: str, key: str, query: Mapping[str, str], fields: Mapping[str, str]) -> S3Request:
    """A request as the router sees it; who signed it and its body do not matter here."""
    return S3Request(
        method=method,
        bucket=bucket,
        key=key,
        query=dict(query),
        fields=dict(fields),
        verified=None,  # type: ignore[arg-type]  # the name of an operation does not depend on it
        body=None,  # type: ignore[arg-type]  # as above
        subresources=subresources_of(query),
        parameters=dict(fields),
    )


@pytest.mark.parametrize(
    ("method", "bucket", "key", "query", "operation"),
    [
        ("GET", "", "", {}, "ListBuckets"),
        ("GET", "b", "", {}, "ListObjects"),
        ("POST", "b", "k", {"uploads": ""}, "CreateMultipartUpload"),
        ("PUT", "b", "k", {"partNumber": "1", "uploadId": "u"}, "UploadPart"),
        ("DELETE", "b", "k", {"uploadId": "u"}, "AbortMultipartUpload"),
        ("DELETE", "b", "k", {"lifecycle": ""}, "none"),
        ("PUT", "b", "k", {"X-Amz-Expires": "1"}, "PutObject"),
    ],
)
def test_an_operation_is_known_by_its_name_in_the_api(
    method: str, bucket: str, key: str, query: Mapping[str, str], operation: str
) -> None:
    assert operation_of(request(method, bucket, key, query, {})) == operation


class AnyRoutes:
    """Whatever operation is asked for: enough to see which there are."""

    def __getattr__(self, name: str) -> object:
        return lambda _request: name


def test_every_route_is_counted_under_a_name_of_its_own() -> None:
    there: Any = AnyRoutes()
    routes = Routes(there, there, there, there, public_acls=False)
    tables = ((routes._service, "", ""), (routes._bucket, "b", ""), (routes._object, "b", "k"))  # noqa: SLF001 - no use elsewhere

    unnamed = [
        (method, bucket, key, names)
        for table, bucket, key in tables
        for method, names in table
        if operation_of(request(method, bucket, key, dict.fromkeys(names, "1"), {})) == "none"
    ]

    assert unnamed == []


def test_open_multipart_uploads_are_counted_until_they_end(watched: Watched) -> None:
    created = watched.store.call("POST", "key", query={"uploads": ""})
    upload = created.body.partition(b"<UploadId>")[2].partition(b"</UploadId>")[0].decode()
    assert watched.scrape()["penstock_store_uploads",] == 1

    assert watched.store.call("DELETE", "key", query={"uploadId": upload}).status == 204

    assert watched.scrape()["penstock_store_uploads",] == 0


def test_a_write_with_a_source_is_a_copy() -> None:
    source = {"x-amz-copy-source": "b/k"}

    assert operation_of(request("PUT", "b", "k", {}, source)) == "CopyObject"
    assert operation_of(request("PUT", "b", "k", {"partNumber": "1", "uploadId": "u"}, source)) == "UploadPartCopy"
