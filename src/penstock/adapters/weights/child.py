"""What runs in a child: `python -I -m penstock.adapters.weights.child SOCKET PARENT`."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from penstock.adapters.children.serving import Prepared, Reply, serve
from penstock.adapters.weights import wire
from penstock.domain.errors import NotSafetensors
from penstock.weights.examine import examine, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_RESIDENT_BYTES = 128 << 20


def main(arguments: list[str]) -> int:
    """Serve until the parent hangs up."""
    return serve(arguments, _prepare, most_resident_bytes=_MOST_RESIDENT_BYTES)


def _prepare(_begin: Mapping[str, Any]) -> Prepared:
    # Headers are read into hundreds of thousands of small things without a cycle: looking for cycles among them
    # again and again takes five times as long as all the rest.
    gc.disable()
    prepare()
    return Prepared(answer=_answer)


def _answer(file: BinaryIO, request: Mapping[str, Any]) -> Reply:
    declared = wire.parse_declared(request)
    try:
        seen = examine(file.read(), size=request["size"], declared=declared, cap=request["cap"])
    except NotSafetensors as refused:
        return Reply(message=wire.answer(refused))
    except MemoryError:
        return Reply(message={}, exhausted=True)
    return Reply(message=wire.answer(seen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
