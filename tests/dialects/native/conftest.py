"""One real `penstock serve` for all tests here; each test gets accounts of its own."""

from __future__ import annotations

import io
import itertools
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.native import Native
from tests.support.server import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.app import Administration
    from tests.support.server import Server

_EXAMPLE = Path(__file__).parents[3] / "examples" / "coffee.png"
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("native") / "data", "--dev") as running:
        yield running


@pytest.fixture(scope="session")
def office(server: Server) -> Iterator[Administration]:
    """The operator's verbs on the running server's database, without a process for each."""
    from penstock.app import administration  # noqa: PLC0415 - not for tests without a server
    from penstock.settings import Settings  # noqa: PLC0415 - likewise

    with administration(Settings(data=server.data)) as verbs:
        yield verbs


@pytest.fixture(scope="session")
def make_account(server: Server, office: Administration) -> Callable[..., Native]:
    """Makes an account and a key of it, with the scopes named or all."""

    def make(*scopes: str, credits_usd: str = "100") -> Native:
        account = office.create_account(f"account-{next(_NUMBERS)}", Decimal(credits_usd))
        return Native(url=server.url, key=office.create_key(account.name, scopes)[1])

    return make


@pytest.fixture
def alice(make_account: Callable[..., Native]) -> Native:
    return make_account()


@pytest.fixture
def bob(make_account: Callable[..., Native]) -> Native:
    return make_account()


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A small real photograph (PNG)."""
    from PIL import Image  # noqa: PLC0415 - not for tests without pictures

    with Image.open(_EXAMPLE) as picture:
        small = io.BytesIO()
        picture.convert("RGB").resize((120, 80)).save(small, "PNG")
    return small.getvalue()
