"""What every test lives by: no way out of this machine, reproducible properties, numbered statements that exist."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = [
    "tests.support.databases",
    "tests.support.loopback",
    "tests.support.postgres",
    "tests.support.statements",
]

# No deadline, for a slow machine proves nothing; in CI the same examples every time.
settings.register_profile("penstock", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("penstock")
