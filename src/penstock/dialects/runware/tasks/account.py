"""`accountManagement`: what an account has, and what it used (contract §12; what stands inside is inferred)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.dialects.runware import parameters
from penstock.dialects.runware.task import Task
from penstock.domain.accounts import Scope
from penstock.domain.storage_billing import gigabytes, line_item, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.dialects.base import Services
    from penstock.dialects.runware.task import Answer, Call

TASK = "accountManagement"
OPERATIONS = ("getDetails",)
_REPORTED = 30
_TOMORROW = timedelta(days=1)


def account_tasks(services: Services, _base_url: str) -> Mapping[str, Task]:
    """The task type. It changes nothing."""

    def manage(call: Call) -> Answer:
        """One item about the account of the key."""
        account_id = call.allowed(Scope.ACCOUNT_READ)
        operation = parameters.required_choice(call.task, "operation", OPERATIONS)
        account, balance = services.accounts.account(account_id)
        stored, daily = services.storage.standing(account_id)
        charges = services.storage.page(account_id, below=None, limit=_REPORTED).items
        today = services.accounts.today()
        spent = services.accounts.spent(account_id, since=today - timedelta(days=_REPORTED), before=today + _TOMORROW)
        return [
            {
                "operation": operation,
                "organizationUUID": account.id,
                "organizationName": account.name,
                "balance": {"amount": float(balance), "freeBalance": 0, "currency": "USD"},
                "team": [],
                "apiKeys": [{"name": call.who.key.hint, "enabled": True}],
                "usage": {
                    "storage": {"bytes": stored, "gigabytes": gigabytes(stored), "dailyCost": float(shown(daily))},
                    "lineItems": [
                        *(
                            {
                                "date": charge.day.isoformat(),
                                "description": line_item(charge),
                                "amount": float(shown(charge.amount)),
                            }
                            for charge in charges
                        ),
                        *(
                            {"date": one.day.isoformat(), "description": one.model, "amount": float(one.amount)}
                            for one in spent
                        ),
                    ],
                },
            }
        ]

    return {TASK: Task(handle=manage, honours_dry_run=True)}
