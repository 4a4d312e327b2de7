"""Which process serves a part.

The supervisor starts parts here and not through the command line, so that they need not carry its library along. The
store needs no library of the settings either, which are half of what it would weigh: it gets a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from penstock.cli.children import PYTHON
from penstock.cli.configuration import load_settings
from penstock.cli.parts import Part, live

if TYPE_CHECKING:
    from penstock.app import StorePlan
    from penstock.settings import Settings


def main(arguments: list[str]) -> None:
    """Serve for a supervisor: the part's name, its flags as a JSON object, and the descriptor to report on."""
    name, flags, ready_fd = arguments
    serve_part(name, load_settings(**json.loads(flags)), ready_fd=int(ready_fd))


def serve_part(name: str, settings: Settings, *, ready_fd: int | None = None) -> None:
    """Serve the part until it is told to stop; with `ready_fd` under a supervisor (`Part`)."""
    from penstock import app

    addresses = {"api": settings.api_address, "objects": settings.store_public_address}
    part = Part(name=name, data=str(settings.data.absolute()), addresses=addresses, ready_fd=ready_fd)
    if name == "store":
        _become_store(part, app.plan_store(settings))
    live(part, partial({"api": app.serve_api, "worker": app.serve_worker}[name], settings))


def _become_store(part: Part, plan: StorePlan) -> NoReturn:
    """Replace this process by one that knows what the plan says of the settings, and no more."""
    sys.stdout.flush()
    sys.stderr.flush()
    told = json.dumps({"part": asdict(part), "plan": asdict(plan)})
    os.execv(PYTHON[0], [*PYTHON, "penstock.cli.store", told])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
