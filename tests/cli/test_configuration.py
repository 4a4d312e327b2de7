from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.cli.configuration import load_settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PENSTOCK_DATA", "PENSTOCK_PORT", "PENSTOCK_HOST", "PENSTOCK_ALLOW_PRIVATE_NETWORKS"):
        monkeypatch.delenv(name, raising=False)


def test_a_flag_comes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "penstock.toml").write_text('port = 1\nstore_port = 1\nhost = "file"\n')
    monkeypatch.setenv("PENSTOCK_PORT", "2")
    monkeypatch.setenv("PENSTOCK_HOST", "environment")

    settings = load_settings(port=3, host=None)

    assert (settings.port, settings.host, settings.store_port) == (3, "environment", 1)


def test_dev_opens_loopback_and_nothing_more() -> None:
    assert load_settings().allow_private_networks == ""
    assert load_settings(dev=True).allow_private_networks == "127.0.0.0/8,::1/128"


@pytest.mark.parametrize(
    ("file", "environment", "words"),
    [
        ("", {"PENSTOCK_PORT": "many"}, "setting port: "),
        ("colour = 1", {}, "setting colour: "),
        ("port = ", {}, "penstock.toml: "),
        ("", {"PENSTOCK_TLS_KEY": "key.pem"}, "tls_key is set and tls_certificate is not"),
        ('[hosts]\n"API.example.com:443" = "native"', {}, "setting hosts: "),
        ("", {"PENSTOCK_TRUSTED_PROXIES": "proxy.example.com"}, "setting trusted_proxies: "),
    ],
)
def test_a_setting_that_makes_no_sense_ends_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    environment: dict[str, str],
    words: str,
) -> None:
    (tmp_path / "penstock.toml").write_text(file)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as caught:
        load_settings()

    said = capsys.readouterr().err
    assert caught.value.code == 1
    assert said.startswith(f"penstock: {words}")
    assert said.count("\n") == 1


def test_hosts_are_a_table_and_a_certificate_makes_the_address_https(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text(
        'tls_certificate = "api.pem"\n[hosts]\n"api.example.com" = "native"\n"acme.test" = "native"\n'
    )

    settings = load_settings()

    assert settings.hosts == {"api.example.com": "native", "acme.test": "native"}
    assert settings.api_address == "https://127.0.0.1:8000"
