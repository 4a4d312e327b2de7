"""Expected failures: one line on standard error and exit status 1, never a traceback."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def fail(message: object) -> NoReturn:
    """Say why on standard error and exit with status 1."""
    line = " ".join(str(message).split())
    print(f"penstock: {line}", file=sys.stderr)
    sys.exit(1)


@contextmanager
def clear_failures(*expected: type[Exception]) -> Iterator[None]:
    """Turn the expected errors, those of the operating system and Ctrl-C into an exit; a bug keeps its traceback."""
    try:
        yield
    except BrokenPipeError:
        sys.exit(1)  # whoever read our output has gone; there is nobody left to tell
    except OSError as error:
        fail(error)
    except expected as error:
        fail(error)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
