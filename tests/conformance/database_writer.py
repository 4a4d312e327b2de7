"""A process that writes: one upload and one ledger entry per transaction, and says so on stdout once each is committed.

Arguments: database URL, account id, count.
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal

from penstock.adapters.db.database import open_database
from penstock.domain import ledger
from penstock.domain.events import EventKind
from penstock.domain.ids import AccountId
from tests.support.records import NOW, make_upload


def main(url: str, account: str, count: str) -> None:
    database = open_database(url)
    account_id = AccountId(account)
    for step in range(int(count)):
        upload = make_upload(os.getpid() * 1_000_000 + step, account_id)
        with database.write() as tx:
            last = tx.ledger.last(account_id, lock=True)
            tx.ledger.add(ledger.credit(last, Decimal(1), account_id=account_id, now=NOW))
            tx.uploads.add(upload)
            tx.events.add(account_id, upload.id, EventKind.UPLOAD_STORED, {}, now=NOW)
        print(upload.id, flush=True)  # noqa: T201 - what the test reads
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
