"""A transfer takes as much memory as one part, however large the file."""

from __future__ import annotations

import hashlib
import tracemalloc
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.fetch import GuardedFetcher
from penstock.adapters.objects.memory import MemoryMultiparts, MemoryObjectStore
from penstock.domain.egress import parse_rules
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.domain.ids import AccountId
from penstock.ports.objects import StoredPart
from penstock.telemetry import Log
from penstock.workflows.transfer import Source, Transfer
from tests.support.records import make_upload
from tests.support.remote import Visit, remote_server
from tests.support.repeatable import SteppedClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.domain.uploads import Admission, Upload
    from penstock.ports.objects import ObjectInfo

SIZE = 96 * 2**20
PART = 2**20


class Forgetful(MemoryMultiparts):
    """Forgets what the parts hold."""

    def __init__(self, objects: MemoryObjectStore) -> None:
        super().__init__(objects, clock=SteppedClock())
        self.received = hashlib.sha256()

    def put_part(self, key: str, upload_id: str, number: int, data: bytes | memoryview) -> StoredPart:
        self.received.update(data)
        return StoredPart(number=number, size=len(data), etag=f'"{number}"')

    def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> ObjectInfo:
        raise ObjectStoreUnavailable("nothing was kept")


class Indifferent:
    """A keeper that keeps nothing."""

    def judged(self, admission: Admission) -> None: ...

    def answered(self, source: Source) -> None: ...

    def parts_begun(self, upload: Upload) -> None: ...

    def look(self, received: int) -> None: ...


def test_memory_does_not_grow_with_the_file() -> None:
    def long(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(SIZE))
        for number in range(SIZE // PART):
            visit.send(bytes([number]) * PART)

    objects = MemoryObjectStore(clock=SteppedClock())
    parts = objects.multiparts = Forgetful(objects)
    with remote_server() as remote:
        remote.on("/file", long)
        transfer = Transfer(
            make_upload(1, AccountId("a"), source_url=remote.url(), declared_size=None, max_size=SIZE),
            None,
            GuardedFetcher(parse_rules("127.0.0.0/8"), clock=SteppedClock(), log=Log("test", None)),
            objects,
            keeper=Indifferent(),
            new_final_key=lambda: "final",
            part_bytes=PART,
        )
        tracemalloc.start()
        try:
            with pytest.raises(ObjectStoreUnavailable):
                transfer.bring(within=timedelta(minutes=5))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert parts.received.digest() == hashlib.sha256(b"".join(bytes([n]) * PART for n in range(SIZE // PART))).digest()
    assert peak < 10 * PART
