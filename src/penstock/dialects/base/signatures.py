"""Ways of signing a callback that more than one product uses."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from penstock.domain.webhooks import Delivery, Secret

_PREFIX = "whsec_"


def standard_webhooks(delivery: Delivery, body: bytes, secrets: Sequence[Secret], now: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks 1.0.0: one `v1` signature for each secret in force, the newest first (S28)."""
    timestamp = str(int(now.timestamp()))
    message = b".".join((delivery.id.encode(), timestamp.encode(), body))
    signatures = (base64.b64encode(_hmac(_decoded(secret.value), message)).decode() for secret in secrets)
    return {
        "webhook-id": delivery.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def hex_hmac(secret: Secret, message: bytes) -> str:
    """64 hex digits of HMAC-SHA256, keyed with the secret as it was shown, its prefix included."""
    return _hmac(secret.value.encode(), message).hex()


def _decoded(value: str) -> bytes:
    """The key that a secret spells. One that was not made here may be no base64: then it is the key itself."""
    try:
        return base64.b64decode(value.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return value.encode()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)
