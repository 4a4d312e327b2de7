"""A real Cog server, and a runner for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.adapters.fetch import GuardedFetcher
from penstock.adapters.runners.cog import CogCallbacks, CogRunner
from penstock.adapters.system import SystemClock, SystemEntropy
from penstock.domain.egress import parse_rules
from penstock.telemetry import Log
from tests.support.cog import cog_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def cog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with cog_server(tmp_path_factory.mktemp("cog")) as address:
        yield address


@pytest.fixture(scope="module")
def fetcher() -> GuardedFetcher:
    return GuardedFetcher(parse_rules("127.0.0.0/8"), clock=SystemClock(), log=Log("test", None))


@pytest.fixture
def runner(fetcher: GuardedFetcher) -> Iterator[CogRunner]:
    with CogCallbacks("127.0.0.1", 0, SystemEntropy()) as callbacks:
        yield CogRunner(fetcher, SystemEntropy(), callbacks=callbacks)
