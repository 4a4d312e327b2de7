"""Clients that change a store in every way it knows until it dies, and a look at what is left of it."""

from __future__ import annotations

import hashlib
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

from penstock.sigv4 import Form, sign_form
from penstock.store.digests import HashThreads
from penstock.store.encryption import read_keyring
from penstock.store.fsck import Check, Kind, exclusive
from penstock.store.janitor import Janitor
from penstock.store.objects import Objects
from penstock.store.uploads import UploadFiles
from tests.store.multipart_client import (
    abort_upload,
    begin_upload,
    complete_upload,
    id_of,
    listed_parts,
    open_uploads,
    put_part,
)
from tests.store.support import BUCKET, PATIENCE_SECONDS, SIGNER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.store.journal import Attempt, Journal
    from tests.store.support import Response, Store

LEAST_PART = 5 * 1024 * 1024
"""Bytes of every part but the last (S3 API)."""
_SIZES = (0, 10, 5_000, 20_000, 20_000, 70_000, 300_000, 1_200_000)
CLIENTS = 4
MOST_AT_ONCE = 2
"""Keys that one request of a client changes."""
_OWN_KEYS = 8
_SHARED_KEYS = 4
_READ = 64
UPLOAD, PART, OPEN = "upload:", "part:", "open"
_STRAYS = frozenset(
    {
        "data that no record names",
        "a part that the record does not name",
        "parts that no record and no open upload names",
    }
)
_BOUNDARY = "boundary"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUpload:
    """A multipart upload, and the parts that were acknowledged. In the journal it and each part are registers, too."""

    key: str
    id: str
    parts: dict[int, bytes] = field(default_factory=dict)

    def part(self, number: int) -> str:
        """A part's name in the journal; its value is the MD5."""
        return f"{PART}{self.id}:{number}"


class Client:
    """One client, with keys that only it changes and some that all change."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        *,
        number: int,
        seed: int,
        sizes: tuple[int, ...] = _SIZES,
        part_sizes: tuple[int, ...] = (*_SIZES, LEAST_PART),
    ) -> None:
        self._store = store
        self._journal = journal
        self._chance = random.Random(seed)  # noqa: S311 - sizes and bytes, not secrets
        self._own = [f"{number}/key {one}" for one in range(_OWN_KEYS)]
        self._shared = [f"shared/{one}" for one in range(_SHARED_KEYS)]
        self._sizes = sizes
        self._part_sizes = part_sizes
        self._uploads: list[OpenUpload] = []
        self._unanswered: list[Attempt] = []
        self._ways = (
            *(self.put, self.put, self.post_form, self.copy, self.copy, self.delete, self.delete_many),
            *(self.begin_upload, self.put_part, self.put_part, self.put_part, self.complete, self.complete, self.abort),
        )

    def step(self) -> None:
        """One request; raises `OSError` or `EOFError` when the store does not answer, because a process of it died."""
        try:
            self._chance.choice((self.read, self.change, self.change, self.change, self.change, self.change))()
        except (OSError, EOFError):
            self._journal.abandon(self._unanswered)
            self._unanswered.clear()
            raise

    def change(self) -> None:
        """One request that changes something; none if there is nothing to be copied, or no upload."""
        self._chance.choice(self._ways)()

    def put(self) -> None:
        key, body = self._chance.choice(self._own + self._shared), self._body()
        attempt = self._begin(key, sha256(body))
        self._done(self._store.put(key, body), 200, attempt)

    def post_form(self) -> None:
        key, body = self._chance.choice(self._own), self._body()
        attempt = self._begin(key, sha256(body))
        self._done(post_form(self._store, key, body), 204, attempt)

    def copy(self) -> None:
        """Copy an own object, which may be a copy itself; only one of which we know what it is."""
        values = {key: value for key in self._own if (value := self._value(key))}
        if not values:
            return
        source = self._chance.choice(list(values))
        key = self._chance.choice([key for key in self._own if key != source])
        attempt = self._begin(key, values[source])
        self._done(copy_object(self._store, source, key), 200, attempt)

    def delete(self) -> None:
        key = self._chance.choice(self._own + self._shared)
        attempt = self._begin(key, None)
        self._done(self._store.call("DELETE", key), 204, attempt)

    def delete_many(self) -> None:
        keys = self._chance.sample(self._own, MOST_AT_ONCE)
        attempts = [self._begin(key, None) for key in keys]
        self._done(delete_objects(self._store, keys), 200, *attempts)

    def begin_upload(self) -> None:
        key = self._chance.choice(self._own)
        begun = begin_upload(self._store, key)
        upload = OpenUpload(key=key, id=id_of(begun))  # until it was answered, nobody knows the upload
        self._done(begun, 200, self._begin(UPLOAD + upload.id, OPEN))
        self._uploads.append(upload)

    def put_part(self) -> None:
        """Send a part of an upload, perhaps one that was sent before."""
        if not self._uploads:
            return
        upload, number = self._take(self._uploads), self._chance.choice((1, 2, 5))
        body = self._chance.randbytes(self._chance.choice(self._part_sizes))
        attempt = self._begin(upload.part(number), md5(body))
        self._done(put_part(self._store, upload.key, upload.id, number, body), 200, attempt)
        upload.parts[number] = body
        self._uploads.append(upload)

    def complete(self) -> None:
        """Complete an upload with its last part, and with all others that are large enough; then once more."""
        ready = [upload for upload in self._uploads if upload.parts]
        if not ready:
            return
        upload = self._take(ready)
        last = max(upload.parts)
        listed = {
            number: body for number, body in sorted(upload.parts.items()) if number == last or len(body) >= LEAST_PART
        }
        etags = {number: md5(body) for number, body in listed.items()}
        attempts = (
            self._begin(upload.key, sha256(b"".join(listed.values()))),
            self._begin(UPLOAD + upload.id, None),
        )
        self._done(complete_upload(self._store, upload.key, upload.id, etags), 200, *attempts)
        self._done(complete_upload(self._store, upload.key, upload.id, etags), 200)

    def abort(self) -> None:
        if self._uploads:
            upload = self._take(self._uploads)
            attempt = self._begin(UPLOAD + upload.id, None)
            self._done(abort_upload(self._store, upload.key, upload.id), 204, attempt)

    def read(self) -> None:
        """What others and we do is seen whole or not at all, also while it happens."""
        keys = keys_of(self._journal)
        if keys:
            key, since = self._chance.choice(keys), self._journal.now()
            seen = value_of(self._store.get(key))
            assert seen in self._journal.possible(key, since=since), key

    def _take(self, uploads: list[OpenUpload]) -> OpenUpload:
        """One of these uploads. Who is not answered about it forgets it."""
        upload = self._chance.choice(uploads)
        self._uploads.remove(upload)
        return upload

    def _body(self) -> bytes:
        return self._chance.randbytes(self._chance.choice(self._sizes))

    def _value(self, key: str) -> str | None:
        """What an own key holds, if all our requests to it were answered: nobody else changes it."""
        possible = self._journal.possible(key)
        return possible.pop() if len(possible) == 1 else None

    def _begin(self, name: str, value: str | None) -> Attempt:
        attempt = self._journal.begin(name, value)
        self._unanswered.append(attempt)
        return attempt

    def _done(self, response: Response, status: int, *attempts: Attempt) -> None:
        assert response.status == status, (response.status, response.body)
        self._journal.acknowledge(attempts)
        self._unanswered.clear()


@contextmanager
def clients_at_work(store: Store, journal: Journal, *, seed: int, disturbed: bool = False) -> Iterator[threading.Event]:
    """Clients that go on until the store is gone; raises what one of them met.

    The event must be set before the store is killed. An answer that fails to come earlier is an error, unless the
    clients are `disturbed`, because some of several processes are killed: then they go on.
    """
    dying = threading.Event()

    def work(number: int) -> None:
        client = Client(store, journal, number=number, seed=seed * 100 + number)
        while not dying.is_set():
            try:
                client.step()
            except (OSError, EOFError):
                assert disturbed or dying.wait(PATIENCE_SECONDS), "a request that nothing disturbed was not answered"

    with ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(work, number) for number in range(CLIENTS)]
        try:
            yield dying
        finally:
            dying.set()
        for one in working:
            one.result(timeout=PATIENCE_SECONDS)


def keys_of(journal: Journal) -> list[str]:
    """The keys of objects, among the names in a journal."""
    return [name for name in journal.known() if not name.startswith((UPLOAD, PART))]


def require_promises(store: Store, journal: Journal, *others: Journal) -> None:
    """Every key shows what was acknowledged last, whole; so does the listing. From then on nothing else may show.

    Uploads are open or closed, and have their parts, as was acknowledged last; what is still open is closed here.
    `others` are journals of other moments, any of which may be that of the store.
    """
    journals = (journal, *others)
    listed = listing(store)
    for key in sorted({key for one in journals for key in keys_of(one)}):
        response = store.get(key)
        seen = value_of(response)
        assert any(seen in one.possible(key) for one in journals), f"{key} shows {seen}"
        assert listed.pop(key, None) == (None if seen is None else len(response.body)), key
        journal.settle(key, seen)
    assert not listed, "keys that nobody wrote"
    assert not list((store.directory / "tmp").iterdir())
    _require_uploads(store, journals)


def _require_uploads(store: Store, journals: tuple[Journal, ...]) -> None:
    opened = open_uploads(store)
    names = {name for journal in journals for name in journal.known()}
    for name in sorted(name for name in names if name.startswith(UPLOAD)):
        seen = OPEN if name.removeprefix(UPLOAD) in opened else None
        assert any(seen in journal.possible(name) for journal in journals), f"{name} is {seen}"
    for upload, key in opened.items():
        parts = listed_parts(store, key, upload)
        prefix = OpenUpload(key=key, id=upload).part(0)[:-1]
        sent = {int(name.removeprefix(prefix)) for name in names if name.startswith(prefix)}
        assert parts.keys() <= sent
        for number in sent:
            possible = {one for journal in journals for one in journal.possible(f"{prefix}{number}")}
            assert parts.get(number) in possible, f"part {number} of {upload} is {parts.get(number)}"
        _close(store, OpenUpload(key=key, id=upload), parts, journals[0])
    assert not open_uploads(store)
    for name in names:
        if name.startswith((UPLOAD, PART)):
            journals[0].settle(name, None)


def _close(store: Store, upload: OpenUpload, parts: dict[int, str], journal: Journal) -> None:
    """Complete an upload with its last part; abort one that has none."""
    if not parts:
        assert abort_upload(store, upload.key, upload.id).status == 204
        return
    last = max(parts)
    assert complete_upload(store, upload.key, upload.id, {last: parts[last]}).status == 200
    body = store.get(upload.key).body
    assert md5(body) == parts[last]
    journal.settle(upload.key, sha256(body))


def require_sound(directory: Path, *, index_is_behind: bool = False, key_file: Path | None = None) -> int:
    """A check of the store, which must not run, finds nothing wrong. Returns how many strays: they cost space only.

    A store that was killed leaves what it was writing, and an index without the last changes.
    """
    with exclusive(directory):
        keyring = read_keyring(directory, key_file)
        found = list(Check(directory, progress=lambda _share: None, keyring=keyring).findings())
    stray = [one for one in found if one.kind is Kind.STRAY and one.detail in _STRAYS]
    lagging = [
        one
        for one in found
        if one.kind in {Kind.TEMPORARY, Kind.INDEX}
        or (one.kind is Kind.MISSING and one.detail == "an object that the index knows has no file")
    ]
    assert [one for one in found if one not in stray and not (index_is_behind and one in lagging)] == []
    return len(stray)


def tidy_up(directory: Path, *, key_file: Path | None = None) -> None:
    """What the janitor does two days later, in a store that does not run."""
    threads = HashThreads(0)
    objects = Objects(directory, threads=threads, keyring=read_keyring(directory, key_file))
    uploads = UploadFiles(objects.layout, objects.keyring)
    later = 2 * 24 * 3600.0
    try:
        objects.reconcile()
        Janitor(objects, uploads, now=lambda: time.time() + later, pause_seconds=0).clean(threading.Event())
    finally:
        objects.close()
        threads.close()


def value_of(response: Response) -> str | None:
    """What a GET shows, as the journal notes it."""
    if response.status == 404:
        return None
    assert response.status == 200, (response.status, response.body)
    assert int(response.headers["content-length"]) == len(response.body)
    return sha256(response.body)


def listing(store: Store) -> dict[str, int]:
    """Size by key, from all pages of a listing."""
    sizes: dict[str, int] = {}
    query = {"list-type": "2", "max-keys": str(_READ)}
    while True:
        page = store.call("GET", "", query=query).body.decode()
        for key, size in re.findall(r"<Contents><Key>(.*?)</Key>.*?<Size>(\d+)</Size>", page):
            assert key not in sizes
            sizes[key] = int(size)
        token = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", page)
        if not token:
            return sizes
        query["continuation-token"] = token[1]


def copy_object(store: Store, source: str, key: str) -> Response:
    """CopyObject within the bucket."""
    return store.call("PUT", key, headers={"x-amz-copy-source": f"{BUCKET}/{quote(source)}"})


def delete_objects(store: Store, keys: list[str]) -> Response:
    """DeleteObjects."""
    objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    return store.call("POST", "", query={"delete": ""}, body=f"<Delete>{objects}</Delete>".encode())


def post_form(store: Store, key: str, body: bytes) -> Response:
    """POST Object, as a browser sends it."""
    form = Form(bucket=BUCKET, key=key, min_bytes=0, max_bytes=10_000_000)
    fields = sign_form(SIGNER, form, now=datetime.now(UTC), expires_in=timedelta(hours=1))
    parts = "".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head = f'{parts}--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    content = head.encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}", "Content-Length": str(len(content))}
    return store.exchange(store.plain_head("POST", f"/{BUCKET}", headers) + content)
