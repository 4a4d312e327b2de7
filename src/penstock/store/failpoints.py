"""Named points at which a test may end the process as `kill -9` would (F3).

`PENSTOCK_STORE_FAILPOINT=name` dies at the first passing, `name:3` at the third, and `*:3` at the third passing of any
point, so that a test can try them all without knowing them. Without the variable a point costs a comparison.
"""

from __future__ import annotations

import itertools
import os

_SPEC = os.environ.get("PENSTOCK_STORE_FAILPOINT", "")  # noqa: TID251 - the store's one reading of the environment
_NAME, _, _COUNT = _SPEC.partition(":")
_FATAL_PASSING = int(_COUNT or 1)
_passings = itertools.count(1)


def failpoint(name: str) -> None:
    """End the process here, at once and without cleaning up, when the environment asks for it."""
    if _NAME in (name, "*") and next(_passings) == _FATAL_PASSING:
        os._exit(9)
