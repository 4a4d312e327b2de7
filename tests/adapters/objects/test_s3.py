"""The S3 adapter when the store misbehaves (F27): a server that answers by script, one step per request."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.objects.s3 import Bucket, Capabilities, Patience, S3ObjectStore
from penstock.domain.errors import ObjectStoreUnavailable, StorageFull
from penstock.ports.objects import ObjectChangedError, ObjectInfo, ObjectNotFoundError
from penstock.sigv4 import Credentials, Verifier
from tests.support.ports import held_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECRET = "secret"
FACTS = 'ETag: "e1"\r\nLast-Modified: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: image/png\r\n'
SHA256_OF_HELLO = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
SEEN = ObjectInfo(key="a", size=5, etag='"e1"', content_type="image/png", modified_at=NOW, sha256="ab")
COPIED = (
    "<CopyObjectResult><LastModified>2026-11-21T12:00:01.000Z</LastModified>"
    "<ETag>&quot;e2&quot;</ETag></CopyObjectResult>"
)


class Clock:
    def now(self) -> datetime:
        return NOW


class Script:
    """A server on one port that answers each request with the next step: bytes, or None to hang up."""

    def __init__(self) -> None:
        self.steps: list[bytes | None] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def hang_up(self) -> None:
        """Close the connections that are idle now, as a restarting server does."""
        for connection in list(self._open):
            with suppress(OSError):  # it may just have ended by itself
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        handlers = []
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                break
            self.connections += 1
            self._open.append(connection)
            handler = threading.Thread(target=self._answer, args=(connection,))
            handler.start()
            handlers.append(handler)
        self.hang_up()
        for handler in handlers:
            handler.join()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while request := _request(stream):
                self.requests.append(request)
                step = self.steps.pop(0)
                if step is None:
                    break
                connection.sendall(step)
                if b"connection: close" in step:
                    break
            self._open.remove(connection)


class Refuser:
    """A server that answers a head and closes: after the body, or with the body still on its way (a reset)."""

    def __init__(self, step: bytes, *, drains: bool) -> None:
        self._step = step
        self._drains = drains
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(4096)
            connection.sendall(self._step)
            while self._drains and connection.recv(65_536):
                pass


def _request(stream: BufferedReader) -> tuple[str, dict[str, str], bytes] | None:
    try:
        line = stream.readline().decode().strip()
        headers: dict[str, str] = {}
        while (header := stream.readline().decode("latin-1").strip()) != "":
            name, _, value = header.partition(": ")
            headers[name.lower()] = value
        return (line, headers, stream.read(int(headers.get("content-length", "0")))) if line else None
    except ConnectionError:
        return None


def answer(status: int, body: str = "", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def error(status: int, code: str) -> bytes:
    return answer(status, f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>m</Message></Error>')


def head(size: int = 5, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\n{FACTS}{headers}Content-Length: {size}\r\n\r\n".encode()


@pytest.fixture
def script() -> Iterator[Script]:
    server = Script()
    yield server
    server.stop()
    assert server.steps == []


def store_at(url: str, *, pauses: tuple[float, ...] = (0.0, 0.0), trusts_checksums: bool = False) -> S3ObjectStore:
    bucket = Bucket(endpoint=url, name="b", region="us-east-1", credentials=Credentials("AK", SECRET))
    return S3ObjectStore(
        bucket,
        clock=Clock(),
        capabilities=Capabilities(trusts_checksums=trusts_checksums),
        patience=Patience(timeout=30.0, pauses=pauses),
    )


@pytest.fixture
def store(script: Script) -> Iterator[S3ObjectStore]:
    store = store_at(script.url)
    yield store
    store.close()


CALLS: dict[str, Callable[[S3ObjectStore], object]] = {
    "head": lambda store: store.head("a"),
    "peek": lambda store: store.peek("a", length=5),
    "read": lambda store: b"".join(store.read("a")),
    "put": lambda store: store.put("a", b"hello", size=5, content_type="image/png"),
    "copy": lambda store: store.copy(SEEN, "t", content_type="image/png"),
    "delete": lambda store: store.delete(["a"]),
    "list": lambda store: list(store.list("")),
}
WITH_BODIES = {name: call for name, call in CALLS.items() if name != "head"}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_every_call_is_signed_for_the_address_it_goes_to(
    script: Script, store: S3ObjectStore, call: Callable[[S3ObjectStore], object]
) -> None:
    script.steps = [answer(403)]
    with pytest.raises(ObjectStoreUnavailable):
        call(store)

    line, headers, _ = script.requests[0]

    method, target, _ = line.split(" ")
    verified = Verifier(lookup={"AK": SECRET}.get, region="us-east-1").verify(method, target, headers.items(), now=NOW)
    assert verified.signed_headers >= headers.keys() - {"authorization"}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("status", [301, 400, 403, 405, 500, 502])
def test_an_answer_that_means_nothing_to_us_is_an_unavailable_store(
    script: Script, store: S3ObjectStore, call: Callable[[S3ObjectStore], object], status: int
) -> None:
    script.steps = [answer(status)]

    with pytest.raises(ObjectStoreUnavailable):
        call(store)

    assert len(script.requests) == 1


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_store_that_stays_busy_is_unavailable_after_a_bounded_number_of_calls(
    script: Script, store: S3ObjectStore, call: Callable[[S3ObjectStore], object]
) -> None:
    script.steps = [answer(503)] * 3

    with pytest.raises(ObjectStoreUnavailable):
        call(store)

    assert len(script.requests) == 3


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_store_that_hangs_up_each_time_is_unavailable(
    script: Script, store: S3ObjectStore, call: Callable[[S3ObjectStore], object]
) -> None:
    script.steps = [None] * 3

    with pytest.raises(ObjectStoreUnavailable):
        call(store)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_store_that_is_not_there_is_unavailable(call: Callable[[S3ObjectStore], object]) -> None:
    with held_port() as port, pytest.raises(ObjectStoreUnavailable):
        call(store_at(f"http://127.0.0.1:{port}", pauses=()))


@pytest.mark.parametrize("call", WITH_BODIES.values(), ids=WITH_BODIES.keys())
def test_a_missing_bucket_is_an_unavailable_store_and_not_a_missing_object(
    script: Script, store: S3ObjectStore, call: Callable[[S3ObjectStore], object]
) -> None:
    script.steps = [error(404, "NoSuchBucket")]

    with pytest.raises(ObjectStoreUnavailable, match="NoSuchBucket"):
        call(store)


@pytest.mark.parametrize("full", [answer(507), error(403, "QuotaExceeded"), error(500, "InsufficientStorage")])
def test_a_full_store_is_said_to_be_full(script: Script, store: S3ObjectStore, full: bytes) -> None:
    script.steps = [full]

    with pytest.raises(StorageFull):
        store.put("a", b"hello", size=5, content_type="image/png")


@pytest.mark.parametrize("drains", [True, False])
def test_a_full_store_that_refuses_a_large_body_early_is_heard(drains: bool) -> None:
    data = bytes(40_000_000)
    refuser = Refuser(answer(507, headers="connection: close\r\n"), drains=drains)

    with pytest.raises(StorageFull):
        store_at(refuser.url).put("a", data, size=len(data), content_type="image/png")

    refuser.stop()


@pytest.mark.parametrize("first", [answer(503), error(500, "InternalError"), error(503, "SlowDown"), None])
def test_a_put_is_sent_again_in_full_when_the_store_asks_or_hangs_up(
    script: Script, store: S3ObjectStore, first: bytes | None
) -> None:
    script.steps = [first, answer(200), head()]

    info = store.put("a", BytesIO(b"hello"), size=5, content_type="image/png")

    assert info.etag == '"e1"'
    assert [body for _, _, body in script.requests] == [b"hello", b"hello", b""]


def test_a_connection_is_used_again(script: Script, store: S3ObjectStore) -> None:
    script.steps = [head(), answer(206, "hello", f"{FACTS}Content-Range: bytes 0-4/9\r\n"), answer(204), answer(404)]

    store.head("a")
    store.peek("a", length=5)
    store.delete(["a"])
    store.delete(["b"])

    assert script.connections == 1


def test_many_objects_are_deleted_a_thousand_at_a_time(script: Script, store: S3ObjectStore) -> None:
    script.steps = [answer(200, "<DeleteResult/>"), answer(204)]

    store.delete(f"k<{number}>" for number in range(1001))

    (many, _, listed), (one, _, _) = script.requests
    assert many.startswith("POST /b?delete")
    assert (listed.count(b"<Key>"), b"<Key>k&lt;999&gt;</Key>" in listed) == (1000, True)
    assert one.startswith("DELETE /b/k%3C1000%3E ")


@pytest.mark.parametrize(
    ("told", "fine"),
    [
        ("<DeleteResult><Error><Key>a</Key><Code>NoSuchKey</Code></Error></DeleteResult>", True),
        ("<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code></Error></DeleteResult>", False),
        ("<Error><Code>AccessDenied</Code></Error>", False),
        ("", False),
    ],
)
def test_one_object_that_was_not_deleted_fails_them_all(
    script: Script, store: S3ObjectStore, told: str, *, fine: bool
) -> None:
    script.steps = [answer(200, told)]

    if fine:
        store.delete(["a", "b"])
    else:
        with pytest.raises(ObjectStoreUnavailable):
            store.delete(["a", "b"])


def test_a_store_without_a_deletion_of_many_is_told(script: Script, store: S3ObjectStore) -> None:
    script.steps = [answer(404, "")]

    with pytest.raises(ObjectStoreUnavailable):
        store.delete(["a", "b"])


def test_a_connection_that_was_closed_meanwhile_is_replaced_without_using_up_a_repetition(script: Script) -> None:
    store = store_at(script.url, pauses=())
    script.steps = [head(), head()]
    store.head("a")
    script.hang_up()

    assert store.head("a").size == 5

    assert script.connections == 2
    store.close()


def test_a_connection_is_not_used_again_after_an_answer_that_closes_it(script: Script, store: S3ObjectStore) -> None:
    script.steps = [head(headers="connection: close\r\n"), head()]

    store.head("a")
    store.head("a")

    assert script.connections == 2


def test_a_connection_with_an_unread_body_is_not_used_again(script: Script, store: S3ObjectStore) -> None:
    script.steps = [answer(200, "hello", FACTS), head()]

    info, data = store.peek("a", length=2)
    store.head("a")

    assert (info.size, data) == (5, b"he")
    assert script.connections == 2


def test_a_body_that_breaks_off_is_an_unavailable_store(script: Script, store: S3ObjectStore) -> None:
    script.steps = [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nconnection: close\r\n\r\nhello"]
    chunks = store.read("a")

    assert next(chunks) == b"hello"
    with pytest.raises(ObjectStoreUnavailable, match="5 bytes before its end"):
        next(chunks)


def test_a_peek_that_breaks_off_is_repeated(script: Script, store: S3ObjectStore) -> None:
    whole = answer(206, "hello", f"{FACTS}Content-Range: bytes 0-4/9\r\n")
    script.steps = [whole[:-3].replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), whole]

    info, data = store.peek("a", length=5)

    assert (info.size, data) == (9, b"hello")


@pytest.mark.parametrize("content_range", ["", "bytes 1-5/9", "bytes 0-4/*", "items 0-4/9"])
def test_another_range_than_the_one_asked_for_is_not_believed(
    script: Script, store: S3ObjectStore, content_range: str
) -> None:
    script.steps = [answer(206, "hello", f"{FACTS}Content-Range: {content_range}\r\n")]

    with pytest.raises(ObjectStoreUnavailable, match="range"):
        store.peek("a", length=5)


def test_a_store_that_ignores_ranges_is_not_read_from_the_middle(script: Script, store: S3ObjectStore) -> None:
    script.steps = [answer(200, "hello", FACTS)]

    with pytest.raises(ObjectStoreUnavailable, match="ignores ranges"):
        list(store.read("a", start=2))


def test_a_store_that_ignores_ranges_is_cut_off_where_the_reader_wanted(script: Script, store: S3ObjectStore) -> None:
    script.steps = [answer(200, "hello", FACTS)]

    assert b"".join(store.read("a", end=2)) == b"he"


def test_an_empty_object_may_answer_a_range_with_416(script: Script, store: S3ObjectStore) -> None:
    script.steps = [error(416, "InvalidRange"), head(size=0)]

    info, data = store.peek("a", length=10)

    assert (info.size, data) == (0, b"")


def test_an_object_that_grew_between_two_looks_is_not_guessed_at(script: Script, store: S3ObjectStore) -> None:
    script.steps = [error(416, "InvalidRange"), head(size=7)]

    with pytest.raises(ObjectStoreUnavailable, match="replaced"):
        store.peek("a", length=10)


@pytest.mark.parametrize("lacking", ["ETag", "Last-Modified", "Content-Length"])
def test_an_answer_without_an_objects_facts_is_not_believed(script: Script, store: S3ObjectStore, lacking: str) -> None:
    script.steps = [head(headers="connection: close\r\n").replace(lacking.encode(), b"X-Nothing")]

    with pytest.raises(ObjectStoreUnavailable, match="facts"):
        store.head("a")


def test_a_copy_takes_etag_and_time_from_the_answer_and_the_rest_from_what_was_seen(
    script: Script, store: S3ObjectStore
) -> None:
    script.steps = [answer(200, f" \n <?xml version='1.0'?>{COPIED}")]

    info = store.copy(SEEN, "t", content_type="image/webp")

    assert (info.key, info.size, info.sha256) == ("t", 5, "ab")
    assert (info.etag, info.content_type) == ('"e2"', "image/webp")
    assert info.modified_at == datetime(2026, 11, 21, 12, 0, 1, tzinfo=UTC)
    assert script.requests[0][1]["x-amz-copy-source-if-match"] == '"e1"'


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("NoSuchKey", ObjectNotFoundError),
        ("PreconditionFailed", ObjectChangedError),
        ("InsufficientStorage", StorageFull),
        ("AccessDenied", ObjectStoreUnavailable),
    ],
)
def test_a_copy_that_fails_inside_a_200_has_failed(
    script: Script, store: S3ObjectStore, code: str, raised: type[Exception]
) -> None:
    script.steps = [error(200, code)]

    with pytest.raises(raised):
        store.copy(SEEN, "t", content_type="image/png")


def test_a_copy_that_fails_for_now_inside_a_200_is_repeated(script: Script, store: S3ObjectStore) -> None:
    script.steps = [error(200, "InternalError"), answer(200, COPIED)]

    assert store.copy(SEEN, "t", content_type="image/png").etag == '"e2"'


@pytest.mark.parametrize("body", ["", "fine", "<CopyObjectResult/>", "<Error>", "<CopyObjectResult>"])
def test_a_copy_with_an_unreadable_answer_is_not_believed(script: Script, store: S3ObjectStore, body: str) -> None:
    script.steps = [answer(200, body)]

    with pytest.raises(ObjectStoreUnavailable):
        store.copy(SEEN, "t", content_type="image/png")


@pytest.mark.parametrize(
    "body", ["", "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", "no xml"]
)
def test_a_listing_that_cannot_be_read_is_not_believed(script: Script, store: S3ObjectStore, body: str) -> None:
    script.steps = [answer(200, body)]

    with pytest.raises(ObjectStoreUnavailable):
        list(store.list(""))


@pytest.mark.parametrize(
    ("headers", "sha256"),
    [
        (f"x-amz-checksum-sha256: {SHA256_OF_HELLO}\r\n", "2cf24dba"),
        (f"x-amz-checksum-sha256: {SHA256_OF_HELLO}\r\nx-amz-checksum-type: FULL_OBJECT\r\n", "2cf24dba"),
        (f"x-amz-checksum-sha256: {SHA256_OF_HELLO}\r\nx-amz-checksum-type: COMPOSITE\r\n", None),
        (f"x-amz-checksum-sha256: {SHA256_OF_HELLO}-3\r\n", None),
        ("x-amz-checksum-sha256: abcd\r\n", None),
        (f"repr-digest: sha-256=:{SHA256_OF_HELLO}:\r\n", "2cf24dba"),
        (f"repr-digest: sha-512=:YQ==:, sha-256=:{SHA256_OF_HELLO}:\r\n", "2cf24dba"),
        (f"repr-digest: unixsum=1, sha-256={SHA256_OF_HELLO}\r\n", None),
        ("repr-digest: sha-256=:abcd:\r\n", None),
        ("", None),
    ],
)
def test_only_a_checksum_of_the_whole_object_is_taken(script: Script, headers: str, sha256: str | None) -> None:
    store = store_at(script.url, trusts_checksums=True)
    script.steps = [head(headers=headers)]

    found = store.head("a").sha256

    assert (found and found[:8]) == sha256
    store.close()


@pytest.mark.parametrize(
    ("header", "sha256"),
    [
        (f"repr-digest: sha-256=:{SHA256_OF_HELLO}:\r\n", "2cf24dba"),
        (f"x-amz-checksum-sha256: {SHA256_OF_HELLO}\r\n", None),
    ],
)
def test_beside_a_range_only_a_digest_of_the_representation_is_of_the_whole(
    script: Script, header: str, sha256: str | None
) -> None:
    store = store_at(script.url, trusts_checksums=True)
    script.steps = [answer(206, "he", headers=f"content-range: bytes 0-1/5\r\n{FACTS}{header}")]

    info, data = store.peek("a", length=2)

    assert (info.size, data, info.sha256 and info.sha256[:8]) == (5, b"he", sha256)
    store.close()


def test_a_checksum_is_not_taken_from_a_store_that_is_not_trusted(script: Script, store: S3ObjectStore) -> None:
    script.steps = [head(headers=f"x-amz-checksum-sha256: {SHA256_OF_HELLO}\r\n")]

    assert store.head("a").sha256 is None


# --- a store that is silent


class Silent:
    """A server that takes every request and answers when, and as, the test says."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.step = b""
        self.asked = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def stop(self) -> None:
        self.answer.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._wait, args=(connection,)))
            self._threads[-1].start()

    def _wait(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream, suppress(OSError):
            _request(stream)
            self.asked.release()
            self.answer.wait()
            connection.sendall(self.step)


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    yield server
    server.stop()


@pytest.fixture
def patient(silent: Silent) -> Iterator[S3ObjectStore]:
    """A store that would wait an hour for bytes, and hardly at all for anything else."""
    bucket = Bucket(endpoint=silent.url, name="b", region="r", credentials=Credentials("key", SECRET))
    store = S3ObjectStore(bucket, clock=Clock(), patience=Patience(answer=0.2, timeout=3600, copy_rate=1))
    yield store
    store.close()


@pytest.mark.parametrize("verb", ["head", "peek", "copy", "delete"])
def test_a_call_that_moves_no_bytes_is_not_waited_for_as_long_as_one_that_does(
    patient: S3ObjectStore, verb: str
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "head": lambda: patient.head("a"),
        "peek": lambda: patient.peek("a", length=10),
        "copy": lambda: patient.copy(replace(SEEN, size=0), "b", content_type="image/png"),
        "delete": lambda: patient.delete(["a"]),
    }

    with pytest.raises(ObjectStoreUnavailable, match="does not answer"):
        calls[verb]()


def test_a_copy_of_many_bytes_may_take_longer(silent: Silent, patient: S3ObjectStore) -> None:
    silent.step = answer(200, COPIED)
    with ThreadPoolExecutor(1) as pool:
        copying = pool.submit(patient.copy, replace(SEEN, size=3600), "b", content_type="image/png")
        assert silent.asked.acquire(timeout=60)
        with pytest.raises(ObjectStoreUnavailable):
            patient.head("a")  # which began later
        silent.answer.set()

        assert copying.result(60).etag == '"e2"'
