"""When to try again, and after how long. Decides only; others wait."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from penstock.client.errors import ConnectionFailedError, PenstockApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.client.errors import PenstockClientError

_FIRST = 0.25  # seconds
_LONGEST = 8.0
_MOST_PATIENCE = 60.0  # a server that asks for more than this is asked no more
WORTH_REPEATING = frozenset({408, 429, 500, 502, 503, 504})


class Retries:
    """At most `limit` repetitions of a request, with exponential pauses of half to full length (jitter).

    `on_retry` hears of each failure after which there is another attempt, and in how many seconds.
    """

    def __init__(
        self,
        limit: int,
        chance: Callable[[], float] = random.random,
        *,
        on_retry: Callable[[PenstockClientError, float], object] | None = None,
    ) -> None:
        self._limit = limit
        self._chance = chance
        self._on_retry = on_retry

    def after(self, error: PenstockApiError | ConnectionFailedError, attempt: int) -> float:
        """Seconds to wait before the next attempt; `attempt` counts from 1. Raises the error when there is none."""
        asked = 0.0
        if isinstance(error, PenstockApiError):
            asked = error.retry_after or 0.0
            hopeless = error.status not in WORTH_REPEATING
        else:
            hopeless = not error.passing
        if hopeless or attempt > self._limit or asked > _MOST_PATIENCE:
            raise error
        pause: float = min(_FIRST * 2 ** (attempt - 1), _LONGEST) * (0.5 + self._chance() / 2)
        pause = max(asked, pause)
        if self._on_retry is not None:
            self._on_retry(error, pause)
        return pause
