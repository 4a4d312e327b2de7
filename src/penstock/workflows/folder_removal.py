"""A deleted folder's many assets move up, some per step; then it is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.ids import AccountId, FolderId
from penstock.ports.jobs import AttemptInterruptedError
from penstock.services.folders import empty_some

if TYPE_CHECKING:
    import threading

    from penstock.domain.jobs import Job
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database

_MOVED = "moved"


class FolderRemoval:
    """The flow of kind `folder_removal`; payload `{folder_id}`. Each step finds what is left by looking."""

    def __init__(self, database: Database, *, clock: Clock, interrupt: threading.Event) -> None:
        self._database = database
        self._clock = clock
        self._interrupt = interrupt

    def run(self, job: Job) -> None:
        """Move until nothing is left."""
        left: Job | None = job
        while left is not None:
            left = self._step(left)
            if left is not None and self._interrupt.is_set():
                raise AttemptInterruptedError

    def give_up(self, job: Job, reason: str) -> None:
        """The folder stays unseen, and what it still holds readable; repeating the job goes on."""
        with self._database.write() as tx:
            tx.fenced.bury(job, error=reason)

    def _step(self, job: Job) -> Job | None:
        """Move some assets to where they belong by now; None when the job is done."""
        account_id, folder_id = AccountId(job.account_id or ""), FolderId(str(job.payload["folder_id"]))
        with self._database.write() as tx:
            # Under the lock no folder above goes away meanwhile.
            tx.folders.lock(account_id)
            heir = tx.folders.dissolving(account_id, folder_id)
            if heir is not None and empty_some(tx, account_id, folder_id, heir_id=heir[0], clock=self._clock):
                return tx.fenced.checkpoint(job, _MOVED, {})
            tx.folders.remove(account_id, folder_id)
            tx.fenced.finish(job)
            return None
