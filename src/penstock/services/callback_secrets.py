"""The secrets that sign callbacks: made when they are first needed, replaced with an overlap."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from penstock.domain.ids import SecretId
from penstock.domain.webhooks import Secret
from penstock.services.identity import new_id

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.domain.ids import AccountId, EndpointId
    from penstock.ports.clock import Entropy
    from penstock.ports.database import Transaction

_SECRET_BYTES = 32
_PREFIX = "whsec_"
"""How Standard Webhooks mark a secret."""


def new_secret(
    account_id: AccountId, endpoint_id: EndpointId, *, dialect: str, label: str = "", entropy: Entropy, now: datetime
) -> Secret:
    """A secret that nobody knows yet."""
    return Secret(
        id=SecretId(new_id(entropy)),
        account_id=account_id,
        dialect=dialect,
        endpoint_id=endpoint_id,
        label=label,
        value=_PREFIX + base64.b64encode(entropy.random_bytes(_SECRET_BYTES)).decode(),
        created_at=now,
        retires_at=None,
    )


def current_secret(tx: Transaction, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str) -> Secret | None:
    """The one without an end."""
    known = tx.endpoints.secrets(account_id, endpoint_id, dialect=dialect)
    return next((secret for secret in known if secret.retires_at is None), None)


def keep_secret(tx: Transaction, made: Secret) -> Secret:
    """The secret without an end: this one now, or the one that somebody else made at the same time."""
    if tx.endpoints.add_secret(made):
        return made
    return current_secret(tx, made.account_id, made.endpoint_id, dialect=made.dialect) or made
