"""`modelSearch`: the account's own models and public ones (contract §11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.dialects.runware.model_search_wire import TASK, parse_search, result_item
from penstock.dialects.runware.task import Task
from penstock.domain.accounts import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.dialects.base import Services
    from penstock.dialects.runware.task import Answer, Call


def model_search_tasks(services: Services, _base_url: str) -> Mapping[str, Task]:
    """The task type. It changes nothing."""

    def search(call: Call) -> Answer:
        """One item with the page of models that fit, and how many there are."""
        account_id = call.allowed(Scope.MODELS_READ)
        wanted = parse_search(call.task)
        total, found = (0, ()) if wanted.empty else services.models.search(account_id, wanted.query)
        return [result_item(total, found, account_id)]

    return {TASK: Task(handle=search, honours_dry_run=True)}
