"""What runs in a child: `python -I -m penstock.adapters.media.child SOCKET PARENT`."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from penstock.adapters.children.serving import Prepared, Reply, serve
from penstock.adapters.media import films, looking, wire
from penstock.adapters.media.faults import BREAKS, NO_MEMORY, UnreadableError
from penstock.adapters.media.found import Found
from penstock.domain.media_facts import MediaFacts
from penstock.ports.media import Inspection

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_RESIDENT_BYTES = 384 << 20


def main(arguments: list[str]) -> int:
    """Serve until the parent hangs up."""
    return serve(arguments, _prepare, most_resident_bytes=_MOST_RESIDENT_BYTES)


def _prepare(begin: Mapping[str, Any]) -> Prepared:
    looking.prepare()
    look = looking.Looking(pixels=begin["pixels"])
    return Prepared(answer=partial(_answer, look), report={"films": films.version()})


def _answer(look: looking.Looking, file: BinaryIO, request: Mapping[str, Any]) -> Reply:
    found = Found()
    problem = None
    try:
        look(file, request["content_type"], found, complete=request["complete"], want_thumbnail=request["thumbnail"])
    except UnreadableError as error:
        problem = str(error)
    except MemoryError:
        problem = NO_MEMORY
    except Exception:  # noqa: BLE001 - parsers raise whatever they like for hostile files
        problem = BREAKS
    seen = Inspection(facts=MediaFacts(**found.facts), thumbnail=found.thumbnail, problem=problem)
    return Reply(message=wire.answer(seen), data=seen.thumbnail or b"", exhausted=problem == NO_MEMORY)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
