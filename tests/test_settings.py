"""Settings that cannot work are refused before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from penstock.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `penstock.toml` of a developer's own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("public_url", "api.example.com"),
        ("public_url", "https://api.example.com/?x=1"),
        ("store_url", "https://objects.example.com/prefix"),
        ("store_public_url", "https://objects.example.com/prefix"),
        ("store_public_url", "https://user@objects.example.com"),
        ("store_public_url", "ftp://objects.example.com"),
        ("database_url", "mysql://localhost/penstock"),
    ],
)
def test_an_address_that_cannot_work_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**{name: value})  # type: ignore[arg-type]  # the names vary

    assert len(refused.value.errors()) == 1


@pytest.mark.parametrize("value", ["everything", "10.0.0.1/8", "files.example", "http://files.example:80", "a b:80"])
def test_an_allow_list_that_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="neither a network"):
        Settings(allow_private_networks=f"127.0.0.0/8, {value}")


def test_an_allow_list_names_networks_and_places() -> None:
    text = "127.0.0.0/8, ::1/128, 10.0.0.1, files.example:9000, [::1]:90"

    assert Settings(allow_private_networks=text).allow_private_networks == text


def test_a_trailing_slash_makes_no_other_address() -> None:
    settings = Settings(public_url="https://example.com/penstock/", store_public_url="https://objects.example.com/")

    assert settings.api_address == "https://example.com/penstock"
    assert settings.store_public_address == "https://objects.example.com"


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ({}, ("http://127.0.0.1:8000", "http://localhost:8000")),
        ({"host": "::1", "port": 80}, ("http://[::1]", "http://localhost")),
        ({"public_url": "https://Media.Example.com:443/api"}, ("https://media.example.com",)),
        ({"public_url": "https://127.0.0.1.example.com"}, ("https://127.0.0.1.example.com",)),
        (
            {"public_url": "http://a.example:8080", "cors_origins": "http://a.example:8080, https://b.example"},
            ("http://a.example:8080", "https://b.example"),
        ),
    ],
)
def test_pages_of_the_api_itself_may_always_call_the_store(given: dict[str, Any], origins: tuple[str, ...]) -> None:
    assert Settings(**given).store_cors_origins == origins


def test_the_short_names_of_postgresql_mean_its_driver() -> None:
    settings = Settings(database_url="postgres://db.example.com/penstock")

    assert settings.sqlalchemy_url == "postgresql+psycopg://db.example.com/penstock"


def test_the_environment_comes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text("port = 1000\nstore_port = 1001\n", encoding="utf-8")
    monkeypatch.setenv("PENSTOCK_PORT", "2000")

    settings = Settings()

    assert (settings.port, settings.store_port) == (2000, 1001)


def test_a_name_in_the_file_that_is_no_setting_is_refused(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text("prot = 1000\n", encoding="utf-8")

    with pytest.raises(ValidationError, match="prot"):
        Settings()


def test_extra_architectures_are_names() -> None:
    assert Settings(extra_architectures="sd2x, my-own,").extra_architecture_list == ("sd2x", "my-own")
    with pytest.raises(ValidationError, match="no name of an architecture"):
        Settings(extra_architectures="Stable Diffusion 2")
