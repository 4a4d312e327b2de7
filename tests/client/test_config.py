from __future__ import annotations

import pytest

from penstock.client import AsyncPenstock, ConfigurationError, Penstock
from penstock.client.config import Config, configure


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_URL", raising=False)
    monkeypatch.delenv("PENSTOCK_API_KEY", raising=False)


def configured(url: str | None = None, api_key: str | None = "sk_1") -> Config:
    return configure(url=url, api_key=api_key, timeout=1.0, retries=0)


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PENSTOCK_API_KEY", "sk_environment")

    assert configured("http://127.0.0.1:2").url == "http://127.0.0.1:2"
    assert configured(api_key="sk_argument").api_key == "sk_argument"
    assert configured(api_key=None) == configure(
        url="http://127.0.0.1:1", api_key="sk_environment", timeout=1.0, retries=0
    )


def test_the_default_address_is_the_servers_default() -> None:
    assert configured().url == "http://127.0.0.1:8000"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/"])
def test_an_address_may_be_written_as_documents_write_it(url: str) -> None:
    assert configured(url).url == "http://127.0.0.1:1"


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not the address"):
        configured(url)


@pytest.mark.parametrize("client", [Penstock, AsyncPenstock])
def test_a_client_without_a_key_says_how_to_give_one(client: type[Penstock | AsyncPenstock]) -> None:
    with pytest.raises(ConfigurationError, match="PENSTOCK_API_KEY"):
        client("http://127.0.0.1:1")


@pytest.mark.parametrize("key", ["sk_\u2026", "sk_1\nX-Evil: yes"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="characters"):
        configured(api_key=key)


def test_the_key_is_not_printed() -> None:
    assert "sk_secret" not in repr(configured(api_key="sk_secret"))
