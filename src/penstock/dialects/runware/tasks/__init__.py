"""The task types that there are. One module for each kind of work; `penstock.dialects.runware.task` says how.

The table in `docs/dialects/runware.md` lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.dialects.runware.tasks.account import account_tasks
from penstock.dialects.runware.tasks.images import image_tasks
from penstock.dialects.runware.tasks.media import media_tasks
from penstock.dialects.runware.tasks.model_search import model_search_tasks
from penstock.dialects.runware.tasks.model_upload import model_upload_tasks
from penstock.dialects.runware.tasks.results import result_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.dialects.base import Services
    from penstock.dialects.runware.task import Task

MAKERS: Sequence[Callable[[Services, str], Mapping[str, Task]]] = (
    model_upload_tasks,
    model_search_tasks,
    image_tasks,
    media_tasks,
    account_tasks,
    result_tasks,
)


def all_tasks(services: Services, base_url: str) -> Mapping[str, Task]:
    """Every task type by its name, ready to be handled. `base_url` is the dialect's own."""
    return {name: task for make in MAKERS for name, task in make(services, base_url).items()}
