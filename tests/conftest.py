"""What every test lives by: no way out of this machine, reproducible properties, numbered statements that exist."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

pytest_plugins = [
    "tests.support.databases",
    "tests.support.hangs",
    "tests.support.loopback",
    "tests.support.model_files",
    "tests.support.model_house",
    "tests.support.postgres",
    "tests.support.statements",
]

# No deadline, for a slow machine proves nothing; in CI the same examples every time.
settings.register_profile("penstock", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("penstock")

# A shell starts what it puts into the background with Ctrl-C ignored, and every child inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
