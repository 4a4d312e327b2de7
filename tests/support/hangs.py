"""Ends a test process that hangs where pytest-timeout no longer looks: its alarm rings once, and then teardown begins.

The stacks of all threads are printed, and pytest-xdist goes on with a new process.
"""

from __future__ import annotations

import faulthandler
from typing import TYPE_CHECKING

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key  # what is printed elsewhere is captured, and lost

if TYPE_CHECKING:
    from collections.abc import Generator

_LONGEST_SECONDS = 240.0  # of servers of a whole session, several may have to be stopped


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    faulthandler.dump_traceback_later(
        _LONGEST_SECONDS, exit=True, file=item.config.stash.get(fault_handler_stderr_fd_key, 2)
    )
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
