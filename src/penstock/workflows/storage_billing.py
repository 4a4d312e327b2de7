"""The daily charge for storage, on a worker's schedule. Which days are charged, and once, is the service's affair."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.workflows.engine import Schedule

if TYPE_CHECKING:
    from penstock.services.storage_billing import StorageBilling

_EVERY = timedelta(minutes=5)


def storage_schedule(billing: StorageBilling) -> Schedule:
    """Looks often, for a model that comes at noon is charged for that day as well."""

    def act() -> int:
        billing.charge_today()
        return 0  # nothing was removed; each charge is told by itself

    return Schedule(name="storage-charges", every=_EVERY, act=act)
