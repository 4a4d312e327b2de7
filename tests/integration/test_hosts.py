"""The API over TLS, at hosts of its own and behind a proxy that says where requests come from."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import modelrunner_ai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from PIL import Image
from websockets.sync.client import connect

from penstock.dialects.registry import DIALECTS
from tests.support.server import clean_environment, must, run_penstock, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Server

HOST = "api.example.test"
FIXED = ("modelrunner.run", "queue.modelrunner.run")
"""Written in the official SDK, which has no setting for them."""
SOCKETS = "ws-api.runware.ai"
PHOTOGRAPH = Path(__file__).parents[2] / "examples" / "chelsea.png"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(600)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for loopback and the host, and its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "api.pem"
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    names = [*map(x509.DNSName, (HOST, SOCKETS, *FIXED)), x509.IPAddress(IPv4Address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[Server]:
    environment = clean_environment(
        PENSTOCK_TLS_CERTIFICATE=str(certificate),
        PENSTOCK_HOSTS=json.dumps({HOST: "native", SOCKETS: "runware", **dict.fromkeys(FIXED, "modelrunner")}),
        PENSTOCK_TRUSTED_PROXIES="127.0.0.1",
        PENSTOCK_RATE_LIMIT_FAILURES="1",
    )
    with running_server(tmp_path_factory.mktemp("hosts") / "data", environment=environment) as running:
        yield running


@pytest.fixture
def client(server: Server, certificate: Path) -> Iterator[httpx.Client]:
    """A client that trusts nobody but the certificate."""
    trust = ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(base_url=server.url, verify=trust, trust_env=False, timeout=60) as opened:
        yield opened


def test_the_api_speaks_tls_and_says_so_in_its_addresses(server: Server, client: httpx.Client) -> None:
    assert server.url.startswith("https://127.0.0.1:")
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/v1/openapi.json").json()["servers"][0]["url"] == f"{server.url}/v1"


def test_a_host_of_its_own_needs_no_prefix_and_its_urls_are_known_as_our_own(
    server: Server, client: httpx.Client
) -> None:
    key = {"Authorization": f"Bearer {server.create_key()}"}
    declared = {"filename": "a.png", "content_type": "image/png", "size_bytes": len(PICTURE)}

    upload = client.post("/uploads", json=declared, headers=key | {"Host": HOST}).raise_for_status().json()
    httpx.put(upload["upload_url"], content=PICTURE, headers=upload["headers"], trust_env=False).raise_for_status()
    asset = client.post(f"/v1/uploads/{upload['id']}/complete", headers=key | {"Host": HOST}).raise_for_status().json()
    media_key = asset["url"].rpartition("/")[2]
    runs = [
        client.post(
            path,
            json={"model": "builtin/remove-background", "input": {"image": f"https://{HOST}/media/{named}"}},
            headers=key | {"Host": host},
        )
        for path, host, named in (
            ("/runs", HOST, media_key),
            ("/runs", HOST, f"{'0' * 32}-a.png"),
            ("/runs", "other.example.test", media_key),
        )
    ]

    assert asset["url"].startswith(f"{server.url}/v1/media/")
    assert [run.status_code for run in runs] == [201, 404, 404]
    assert [run.json().get("code") for run in runs[1:]] == ["asset_not_found", None]


def test_an_sdk_whose_hosts_are_fixed_works_once_their_names_point_here(
    server: Server, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Image.open(PHOTOGRAPH) as photograph:
        photograph.resize((120, 80)).save(tmp_path / "cat.png")
    create, port = socket.create_connection, urlsplit(server.url).port

    def to_us(address: tuple[str, int], *rest: Any, **named: Any) -> socket.socket:  # noqa: ANN401 - passed on
        return create(("127.0.0.1", port) if address == (address[0], 443) else address, *rest, **named)

    monkeypatch.setattr(socket, "create_connection", to_us)  # what /etc/hosts and port 443 would do
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = modelrunner_ai.SyncClient(key=server.create_key())

    url = client.upload_file(tmp_path / "cat.png")
    result = client.submit("swook/inspyrenet", arguments={"image_path": url}).get()
    client._client.close()  # noqa: SLF001 - the SDK has no way to close

    assert url.startswith(f"{server.url}/modelrunner/media/")
    assert result["status"] == "COMPLETED"


def test_a_host_of_its_own_takes_websockets_over_tls(server: Server, certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    with (
        socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) as raw,
        connect(f"wss://{SOCKETS}/v1?sdk=js", sock=raw, ssl=trust) as wire,
    ):
        wire.send(json.dumps([{"taskType": "authentication", "apiKey": server.create_key()}]))
        said = json.loads(wire.recv(60))

    assert said["data"][0]["connectionSessionUUID"]


def test_a_trusted_proxy_says_where_a_request_comes_from(client: httpx.Client) -> None:
    paths = ("192.0.2.1", "192.0.2.1", "192.0.2.2", "198.51.100.9, 192.0.2.1", "198.51.100.9, 127.0.0.1")

    statuses = [client.get("/v1/account", headers={"X-Forwarded-For": path}).status_code for path in paths]

    assert statuses == [401, 429, 401, 429, 401]


def test_what_cannot_be_served_is_told_in_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    must(run_penstock("migrate", "--data", str(data)))

    said = [
        run_penstock(
            *("serve", "--only", "api", "--data", str(data), "--port", "0"),
            environment=clean_environment(PENSTOCK_STORE_URL="http://127.0.0.1:9", **setting),
        )
        for setting in (
            {"PENSTOCK_TLS_CERTIFICATE": str(data / "penstock.db")},
            {"PENSTOCK_HOSTS": '{"api.example.test": "nobody"}'},
        )
    ]

    assert [ended.returncode for ended in said] == [1, 1]
    assert all(ended.stderr.count("\n") == 1 for ended in said), said
    assert "penstock.db cannot be used" in said[0].stderr
    assert "there is no dialect 'nobody', but " in said[1].stderr
    assert all(dialect.name in said[1].stderr for dialect in DIALECTS)
