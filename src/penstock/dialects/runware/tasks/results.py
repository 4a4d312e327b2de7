"""`getResponse` and `getTaskDetails`: what came of a task, for whoever did not wait, or wants to read it again.

A kind of tasks that can be asked about has a `Lookup`; its maker stands in `LOOKUPS`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from penstock.dialects.runware.errors import refused_out
from penstock.dialects.runware.task import Refusal, Task
from penstock.dialects.runware.tasks.images import image_lookup
from penstock.dialects.runware.tasks.model_upload import upload_lookup
from penstock.dialects.runware.wire import Named, envelope, item_out
from penstock.domain.errors import ModelUploadNotFound, ScopeMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.dialects.base import Services
    from penstock.dialects.runware.task import Answer, Call, Item
    from penstock.dialects.runware.tasks.lookup import Lookup

LOOKUPS: Sequence[Callable[[Services, str], Lookup]] = (upload_lookup, image_lookup)
"""Where a UUID is looked for, in this order."""


def result_tasks(services: Services, base_url: str) -> Mapping[str, Task]:
    """Both task types. A UUID that is unknown, or another account's, is `taskNotFound` (RU-52, RU-65)."""
    lookups = [make(services, base_url) for make in LOOKUPS]

    def get_response(call: Call) -> Answer:
        """Where a task stands, under its own type."""
        lookup, response = _found(lookups, call)
        return [_under(lookup.task_type, part) for part in response]

    def get_task_details(call: Call) -> Answer:
        """A task, and its answer as `getResponse` gives it (what both look like is inferred)."""
        lookup, response = _found(lookups, call)
        name = Named(task_type=lookup.task_type, task_uuid=call.task_uuid)
        request = lookup.request(call.who.account_id, call.task_uuid)
        return [{"request": [request], "response": _envelope(response, name)}]

    return {
        "getResponse": Task(handle=get_response, honours_dry_run=True),
        "getTaskDetails": Task(handle=get_task_details, honours_dry_run=True),
    }


def _found(lookups: Sequence[Lookup], call: Call) -> tuple[Lookup, Sequence[Item | Refusal]]:
    """Raises `ModelUploadNotFound`, whatever kind of task it may have been.

    Raises `ScopeMissing` where it might be of a kind that the key may not read, whether it is there or not.
    """
    refused: ScopeMissing | None = None
    for lookup in lookups:
        try:
            account_id = call.allowed(lookup.scope)
        except ScopeMissing as error:
            refused = refused or error
            continue
        response = lookup.response(account_id, call.task_uuid, call.room)
        if response is not None:
            return lookup, response
    raise refused or ModelUploadNotFound(call.task_uuid)


def _under(task_type: str, part: Item | Refusal) -> Item | Refusal:
    if isinstance(part, Refusal):
        return Refusal(error=part.error, task_type=task_type)
    return {"taskType": task_type, **part}


def _envelope(response: Sequence[Item | Refusal], name: Named) -> object:
    told = [refused_out(part, name) if isinstance(part, Refusal) else item_out(name, part) for part in response]
    return json.loads(envelope(told))
