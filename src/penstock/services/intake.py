"""Putting assets into intake: whoever makes one calls this in the transaction that adds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.assets import IntakeState
from penstock.domain.ids import JobId
from penstock.services.identity import new_id

if TYPE_CHECKING:
    from penstock.domain.assets import Asset
    from penstock.ports.clock import Entropy
    from penstock.ports.database import Transaction

INTAKE_JOB = "asset_intake"


def begin_intake(tx: Transaction, asset: Asset, *, entropy: Entropy) -> None:
    """Have the rest of a pending asset found out; nothing when nothing is left (`intake_of_new`)."""
    if asset.intake is IntakeState.DONE:
        return
    tx.jobs.enqueue(
        INTAKE_JOB,
        {"asset_id": asset.id},
        job_id=JobId(new_id(entropy)),
        now=asset.created_at,
        dedupe_key=asset.id,
        account_id=asset.account_id,
    )
