"""Every S3 client against the embedded store, with its own defaults: the same story, and its habits."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from penstock.sigv4 import Credentials
from tests.clients.conftest import CLIENTS
from tests.support.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.adapters.objects.s3 import Bucket
    from tests.clients.client import Client
    from tests.clients.stored import Stored

PNG = "image/png"
ODD_KEYS = ["spaces and+plus", "100%/%41%2F", "日本/é ü", "a&b=c;d'e(f)!~$@,:", "double//slash", "[brackets]^{braces}"]
MANY = [f"many/{number:04}" for number in range(1101)]  # more than a page


@pytest.fixture(scope="module", params=CLIENTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def client(name: str, place: Bucket, make_client: Callable[[str, Bucket], Client]) -> Iterator[Client]:
    made = make_client(name, place)
    yield made
    made.close()


@pytest.fixture(scope="module")
def many(stored: Stored) -> list[str]:
    stored.fill(MANY)
    return MANY


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return file_of(tmp_path, 100_000)


def file_of(folder: Path, size: int) -> Path:
    path = folder / f"file-{size}"
    path.write_bytes(random.Random(size).randbytes(size))  # noqa: S311 - only not all alike
    return path


def test_a_file_goes_up_and_comes_back(client: Client, name: str, stored: Stored, file: Path) -> None:
    client.put(f"{name}/a.png", file, content_type=PNG)

    assert client.get(f"{name}/a.png") == file.read_bytes()
    assert stored.read(f"{name}/a.png") == file.read_bytes()
    facts = stored.head(f"{name}/a.png").headers
    assert facts["etag"] == f'"{hashlib.md5(file.read_bytes()).hexdigest()}"'  # noqa: S324 - S3's ETag
    assert facts["content-type"] == PNG
    assert stored.checksums(f"{name}/a.png") == [sum_ for sum_ in [client.habits.checksum] if sum_]


def test_an_empty_file_goes_up_and_comes_back(client: Client, name: str, tmp_path: Path) -> None:
    client.put(f"{name}/empty", file_of(tmp_path, 0), content_type=PNG)

    assert client.get(f"{name}/empty") == b""


def test_a_large_file_goes_in_parts_and_comes_back(client: Client, name: str, stored: Stored, tmp_path: Path) -> None:
    large = file_of(tmp_path, 21_000_000)

    client.put(f"{name}/large", large, content_type=PNG)

    assert client.get(f"{name}/large") == large.read_bytes()
    assert ("-" in stored.head(f"{name}/large").headers["etag"]) == client.habits.sends_parts


def test_a_part_of_a_file_comes_back(client: Client, name: str, file: Path) -> None:
    client.put(f"{name}/ranged", file, content_type=PNG)

    assert client.get_range(f"{name}/ranged", start=70_000, end=70_010) == file.read_bytes()[70_000:70_010]


def test_odd_keys_are_taken_as_they_are(client: Client, name: str, stored: Stored, file: Path) -> None:
    keys = sorted((f"{name}-odd/{key}" for key in set(ODD_KEYS) - client.habits.unnameable), key=str.encode)

    for key in keys:
        client.put(key, file, content_type=PNG)

    assert client.list(f"{name}-odd/") == keys
    for key in keys:
        assert stored.head(key).status == 200
        assert client.get(key) == file.read_bytes()
    client.delete(keys)
    assert client.list(f"{name}-odd/") == []


def test_a_copy_is_made_by_the_store(client: Client, name: str, stored: Stored, file: Path) -> None:
    source = f"{name}/100% of a+b ü"
    client.put(source, file, content_type=PNG)

    client.copy(source, f"{name}/copied")

    assert stored.read(f"{name}/copied") == file.read_bytes()
    assert stored.head(f"{name}/copied").headers["content-type"] == stored.head(source).headers["content-type"]


def test_a_folder_of_many_keys_is_listed_over_all_pages(client: Client, many: list[str]) -> None:
    assert client.list("many/") == many


def test_a_url_that_the_client_signs_needs_no_key_pair(client: Client, name: str, stored: Stored, file: Path) -> None:
    client.put(f"{name}/signed", file, content_type=PNG)

    if "PUT" in client.habits.presigns:
        assert exchange("PUT", client.presign("PUT", f"{name}/signed"), b"by URL").status == 200
    if "GET" in client.habits.presigns:
        assert exchange("GET", client.presign("GET", f"{name}/signed")).body == stored.read(f"{name}/signed")
    assert stored.read(f"{name}/signed") == (b"by URL" if "PUT" in client.habits.presigns else file.read_bytes())


def test_what_is_not_there_is_missing_in_the_clients_own_words(client: Client, name: str) -> None:
    assert client.habits.missing in client.error(lambda: client.get(f"{name}/missing"))


def test_a_wrong_secret_is_refused_in_the_clients_own_words(
    name: str, place: Bucket, make_client: Callable[[str, Bucket], Client]
) -> None:
    stranger = make_client(name, replace(place, credentials=Credentials(place.credentials.access_key, "wrong")))

    assert stranger.habits.refused in stranger.error(lambda: stranger.list(f"{name}/"))
    stranger.close()


def test_an_unknown_access_key_is_refused_in_the_clients_own_words(
    name: str, place: Bucket, make_client: Callable[[str, Bucket], Client], file: Path
) -> None:
    stranger = make_client(name, replace(place, credentials=Credentials("NOBODY", "wrong")))

    assert "InvalidAccessKeyId" in stranger.error(lambda: stranger.list(f"{name}/"))
    stranger.close()
