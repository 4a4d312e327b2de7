"""Every test here runs against both clients: the blocking one, and the asynchronous one driven from outside."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from penstock.client import AsyncPenstock, Penstock
from tests.client.scripted_server import scripted_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.client.scripted_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        yield scripted


@pytest.fixture(params=["blocking", "asynchronous"])
def make_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Penstock]]:
    """Makes clients of either sort; the asynchronous ones are called as if they were blocking."""
    opened: list[Penstock] = []
    with asyncio.Runner() as runner:

        def make(url: str, **options: Any) -> Penstock:  # noqa: ANN401 - whatever the constructor takes
            options = {"api_key": "sk_test", "retries": 1, "timeout": 30.0, **options}
            if request.param == "blocking":
                opened.append(Penstock(url, **options))
            else:
                opened.append(_Driven(AsyncPenstock(url, **options), runner))  # type: ignore[arg-type]  # quacks
            return opened[-1]

        yield make
        for client in opened:
            client.close()


@pytest.fixture
def client(server: ScriptedServer, make_client: Callable[..., Penstock]) -> Penstock:
    """A client of the scripted server that repeats a request once."""
    return make_client(server.url)


class _Driven:
    """An asynchronous client, called from outside its loop."""

    def __init__(self, client: AsyncPenstock, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the method takes and gives
            result = method(*args, **kwargs)
            if inspect.isawaitable(result):
                return self._runner.run(_awaited(result))
            return self._drained(result)

        return call

    def close(self) -> None:
        self._runner.run(self._client.aclose())

    def _drained(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._runner.run(_awaited(anext(items)))
            except StopAsyncIteration:
                return


async def _awaited(result: Any) -> Any:  # noqa: ANN401 - whatever the method gives
    return await result
