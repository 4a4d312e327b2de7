from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from penstock.store.digests import HashThreads
from penstock.store.encryption import EncryptionError, open_keyring, rotate_keys
from penstock.store.faults import Refused
from penstock.store.layout import Layout, entry_name
from penstock.store.objects import Objects
from penstock.store.record import Record
from tests.store.support import BUCKET, SIGNER, Store, StoreProcess, new_key_file, store_in_thread
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.store.incoming import Incoming

MARKER = b"the words that nobody may read on the disk"
HEADER = b'{"__metadata__":{"format":"pt"},"model.diffusion_model.input_blocks.0.0.weight":{"dtype":"F16","shape":'
LARGE = HEADER + MARKER * 40_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return new_key_file(tmp_path / "master.key")


def entry(directory: Path, key: str) -> Path:
    return directory.joinpath(Layout(directory).entry(entry_name(BUCKET, key)))


def on_disk(directory: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def copy(store: Store, source: str, target: str) -> None:
    headers = {"x-amz-copy-source": f"/{BUCKET}/{source}", "content-length": "0"}
    assert store.call("PUT", target, headers=headers).status == 200


def upload_in_parts(store: Store, key: str, *parts: bytes) -> None:
    created = store.call("POST", key, query={"uploads": ""}, headers={"x-amz-meta-note": MARKER.decode()}).body
    upload = created.partition(b"<UploadId>")[2].partition(b"</UploadId>")[0].decode()
    complete(store, key, upload, *[put_part(store, key, upload, number, part) for number, part in enumerate(parts, 1)])


def put_part(store: Store, key: str, upload: str, number: int, part: bytes) -> str:
    """Its ETag."""
    return store.call("PUT", key, query={"partNumber": str(number), "uploadId": upload}, body=part).headers["etag"]


def complete(store: Store, key: str, upload: str, *etags: str) -> None:
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
    )
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    assert store.call("POST", key, query={"uploadId": upload}, body=body).status == 200


@pytest.mark.statement("RU-35", part="the embedded store")
def test_nothing_of_an_object_can_be_read_on_the_disk(directory: Path, key_file: Path) -> None:
    hashes = [hashlib.new(name, LARGE).digest() for name in ("md5", "sha256")]
    traces = [MARKER, HEADER[:24], b"__metadata__", b"application/x-weights", b"secret-name", *hashes]
    traces += [shown for digest in hashes for shown in (digest.hex().encode(), base64.b64encode(digest))]
    described = {
        "content_type": "application/x-weights",
        "content_disposition": 'attachment; filename="secret-name.safetensors"',
        "x_amz_meta_note": MARKER.decode(),
    }

    with store_in_thread(directory, encryption_key_file=key_file) as store:
        for key, content in {"small": MARKER, "large": LARGE}.items():
            assert store.put(key, content, **described).status == 200
        copy(store, "large", "copy")
        upload_in_parts(store, "parts", LARGE * 4, MARKER)
        listed = store.call("GET", "", query={"list-type": "2"})
        assert hashes[0].hex().encode() in listed.body
        while_it_runs = on_disk(directory)

    found = [trace for trace in traces for disk in (while_it_runs, on_disk(directory)) if trace in disk]
    assert found == []


def test_an_upload_that_is_on_its_way_cannot_be_read_on_the_disk_either(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory, encryption_key_file=key_file) as store, store.connect() as connection:
        headers = {"content-length": str(2 * len(LARGE))}
        connection.send(store.head_bytes("PUT", f"/{BUCKET}/half", headers=headers) + LARGE)
        wait_until(lambda: len(on_disk(directory / "tmp")) > 1_000_000, "the first half is on the disk")

        content = on_disk(directory / "tmp")

        assert MARKER not in content
        assert HEADER[:24] not in content


def test_what_was_stored_before_stays_readable_and_what_comes_now_is_encrypted(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory) as store:
        store.put("old", LARGE)

    with store_in_thread(directory, encryption_key_file=key_file) as store:
        store.put("new", LARGE[::-1])
        bodies = [store.get(key).body for key in ("old", "new")]

    assert bodies == [LARGE, LARGE[::-1]]
    assert MARKER in entry(directory, "old").read_bytes()
    assert MARKER[::-1] not in entry(directory, "new").read_bytes()


def test_a_copy_of_what_was_stored_before_is_encrypted(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory) as store:
        for key, content in {"old": LARGE, "small": MARKER, "empty": b""}.items():
            store.put(key, content)
        upload_in_parts(store, "parts", LARGE * 4, MARKER)

    with store_in_thread(directory, encryption_key_file=key_file) as store:
        etag = store.get("parts").headers["etag"]
        for key in ("old", "small", "empty", "parts"):
            copy(store, key, f"copy-{key}")
            copy(store, f"copy-{key}", f"again-{key}")
            store.call("DELETE", key)
        bodies = {key: store.get(f"again-{key}").body for key in ("old", "small", "empty", "parts")}
        etag_of_copy = store.get("copy-parts").headers["etag"]

    assert bodies == {"old": LARGE, "small": MARKER, "empty": b"", "parts": LARGE * 4 + MARKER}
    assert etag_of_copy == etag
    assert MARKER not in on_disk(directory)


def test_a_damaged_object_from_before_is_not_encrypted_as_if_it_were_whole(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory) as store:
        store.put("old", LARGE)
    path = entry(directory, "old")
    path.write_bytes(b"?" + path.read_bytes()[1:])

    with store_in_thread(directory, encryption_key_file=key_file) as store:
        headers = {"x-amz-copy-source": f"/{BUCKET}/old", "content-length": "0"}
        assert store.call("PUT", "copy", headers=headers).status == 500
        assert store.get("copy").status == 404


def test_an_upload_begun_before_the_keys_is_completed_with_them(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory) as store:
        created = store.call("POST", "parts", query={"uploads": ""}).body
        upload = created.partition(b"<UploadId>")[2].partition(b"</UploadId>")[0].decode()
        first = put_part(store, "parts", upload, 1, LARGE * 4)

    with store_in_thread(directory, encryption_key_file=key_file) as store:
        second = put_part(store, "parts", upload, 2, MARKER)
        complete(store, "parts", upload, first, second)
        copy(store, "parts", "copy")
        bodies = [store.get(key).body for key in ("parts", "copy")]

    assert bodies == [LARGE * 4 + MARKER] * 2


def test_a_restart_finds_everything_again(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory, encryption_key_file=key_file) as store:
        store.put("key", LARGE)
        upload_in_parts(store, "parts", LARGE * 4, MARKER)
    (directory / "index.sqlite3").unlink()

    with store_in_thread(directory, encryption_key_file=key_file) as store:
        listed = store.call("GET", "", query={"list-type": "2"}).body
        bodies = [store.get("key").body, store.get("parts").body]

    assert bodies == [LARGE, LARGE * 4 + MARKER]
    assert hashlib.md5(LARGE).hexdigest().encode() in listed  # noqa: S324 - S3's ETag


def test_an_encrypted_store_does_not_start_without_its_key(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory, encryption_key_file=key_file):
        pass

    with pytest.raises(EncryptionError, match="is encrypted: name its encryption key file"), store_in_thread(directory):
        pass


def test_an_encrypted_store_does_not_start_with_another_key(directory: Path, key_file: Path, tmp_path: Path) -> None:
    with store_in_thread(directory, encryption_key_file=key_file):
        pass
    other = new_key_file(tmp_path / "other.key")

    with (
        pytest.raises(EncryptionError, match="is sealed under the key"),
        store_in_thread(directory, encryption_key_file=other),
    ):
        pass


def test_lost_keys_are_not_replaced_by_new_ones(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory, encryption_key_file=key_file) as store:
        store.put("key", MARKER)
    (directory / "keys.json").unlink()

    with (
        pytest.raises(EncryptionError, match=r"keys\.json is missing, and .* is encrypted: restore it"),
        store_in_thread(directory, encryption_key_file=key_file),
    ):
        pass


def test_the_program_says_in_one_line_why_it_does_not_start(directory: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.key"

    with StoreProcess(directory, "--encryption-key-file", str(missing)) as process:
        assert process.exit_status() == 1
        assert process.process.stderr is not None
        said = process.process.stderr.read()

    assert said == f"penstock.store: the encryption key file {missing} cannot be read: No such file or directory\n"


def test_a_store_without_encryption_loads_no_cryptographic_library() -> None:
    script = "import sys, penstock.store.__main__; sys.exit('cryptography' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("key", ["small", "large"])
def test_a_flipped_bit_is_never_served(directory: Path, key_file: Path, key: str) -> None:
    with store_in_thread(directory, encryption_key_file=key_file) as store:
        store.put("small", MARKER * 10)
        store.put("large", LARGE)
        path = entry(directory, key)
        damaged = bytearray(path.read_bytes())
        damaged[100] ^= 1
        path.write_bytes(damaged)

        if key == "small":
            assert store.get(key).status == 500
            return
        with pytest.raises(EOFError):
            store.get(key)
        assert store.get(key, range="bytes=1000000-1000009").body == LARGE[1_000_000:1_000_010]


def test_an_object_in_another_ones_place_is_not_served(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory, encryption_key_file=key_file) as store:
        for key in ("one", "other"):
            store.put(key, key.encode() * 100)
        entry(directory, "one").rename(entry(directory, "other"))

        assert store.get("other").status == 500


def test_linked_data_of_another_object_is_not_served(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory, encryption_key_file=key_file) as store:
        for key, content in {"one": LARGE, "other": LARGE[::-1]}.items():
            store.put(key, content)
            copy(store, key, f"copy-{key}")
        one, other = (
            next(entry(directory, key).parent.glob(f"{entry_name(BUCKET, key)}.*"))
            for key in ("copy-one", "copy-other")
        )
        one.rename(other)

        with pytest.raises(EOFError):
            store.get("copy-other")


def test_parts_in_each_others_place_are_not_served(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory, encryption_key_file=key_file) as store:
        upload_in_parts(store, "parts", LARGE * 4, LARGE[::-1] * 4, MARKER)
        (parts,) = entry(directory, "parts").parent.glob(f"{entry_name(BUCKET, 'parts')}.*")
        (parts / "00001").rename(parts / "aside")
        (parts / "00002").rename(parts / "00001")
        (parts / "aside").rename(parts / "00002")

        with pytest.raises(EOFError):
            store.get("parts")
        assert store.get("parts", range=f"bytes=-{len(MARKER)}").body == MARKER


def test_after_a_rotation_the_new_key_opens_what_the_old_one_did(
    directory: Path, key_file: Path, tmp_path: Path
) -> None:
    new = new_key_file(tmp_path / "new.key")
    with store_in_thread(directory, encryption_key_file=key_file) as store:
        store.put("before", LARGE)
    stamp = entry(directory, "before").stat()

    rotated = rotate_keys(directory, old=key_file, new=new)

    assert rotated == (2, True)
    assert rotate_keys(directory, old=key_file, new=new) == (2, False)
    with store_in_thread(directory, encryption_key_file=new) as store:
        store.put("after", LARGE)
        assert [store.get(key).body for key in ("before", "after")] == [LARGE, LARGE]
    assert entry(directory, "before").stat().st_mtime_ns == stamp.st_mtime_ns
    with pytest.raises(EncryptionError):
        open_keyring(directory, key_file)


def test_a_start_removes_what_a_rotation_that_died_has_left(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory, encryption_key_file=key_file):
        pass
    (directory / "keys.json.new").write_bytes(b"of a rotation")

    with store_in_thread(directory, encryption_key_file=key_file):
        assert not (directory / "keys.json.new").exists()


def test_a_directory_that_is_not_encrypted_has_no_keys_to_rotate(directory: Path, key_file: Path) -> None:
    with store_in_thread(directory):
        pass

    with pytest.raises(EncryptionError, match="is not encrypted"):
        rotate_keys(directory, old=key_file, new=key_file)


@pytest.mark.parametrize("failpoint", ["keys.written", "keys.synced", "keys.renamed"])
def test_a_first_start_that_dies_over_its_keys_is_done_again(directory: Path, key_file: Path, failpoint: str) -> None:
    options = ("--encryption-key-file", str(key_file))
    with StoreProcess(directory, *options, failpoint=failpoint) as process:
        assert process.exit_status() == 9

    with StoreProcess(directory, *options) as process:
        store = process.ready()
        assert store.put("key", MARKER).status == 200
        process.kill()

    with store_in_thread(directory, encryption_key_file=key_file) as store:
        assert store.get("key").body == MARKER
    assert SIGNER.credentials.access_key in (directory / "credentials.json").read_text()


@pytest.fixture
def objects(directory: Path, key_file: Path) -> Iterator[Objects]:
    directory.mkdir()
    threads = HashThreads(2)
    objects = Objects(directory, threads=threads, keyring=open_keyring(directory, key_file))
    objects.create_bucket(BUCKET)
    yield objects
    objects.close()
    threads.close()


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [10],
        [65_536],
        [65_536] * 8,
        [65_536] * 9,
        [510_000, 10_000, 1_000],
        [512 * 1024, 1],
        [300_000] * 9,
        [3_000_000, 1, 5_000_000, 17],
        [1_000] * 700,
    ],
)
def test_digests_and_bytes_are_those_of_the_plaintext_whatever_the_pieces(objects: Objects, sizes: list[int]) -> None:
    pieces = [os.urandom(size) for size in sizes]
    whole = b"".join(pieces)

    with objects.begin(["sha256", "md5"]) as incoming:
        for piece in pieces:
            incoming.write(piece)
        digests = incoming.finish()
        objects.commit(incoming, record_of("key", incoming), check=lambda _etag: None)

    assert digests == {"sha256": hashlib.sha256(whole).digest(), "md5": hashlib.md5(whole).digest()}  # noqa: S324 - S3's ETag
    stored = objects.open(BUCKET, "key")
    try:
        assert stored.read(0, len(whole)) == whole
        assert stored.read(len(whole) // 3, len(whole) // 2) == whole[len(whole) // 3 :][: len(whole) // 2]
    finally:
        stored.close()


def test_what_is_read_back_for_the_digests_must_be_what_was_written(objects: Objects) -> None:
    with objects.begin(["sha256"]) as incoming:
        incoming.write(bytes(500_000))
        incoming.write(bytes(100_000))
        os.pwrite(incoming.fd, b"changed", 8 * 65_552)

        with pytest.raises(OSError, match="what was just encrypted does not open"):
            incoming.finish()


def record_of(key: str, incoming: Incoming) -> Record:
    return Record(
        bucket=BUCKET, key=key, size=incoming.size, etag="e", sha256="", content_type="t", modified_us=1
    )  # fmt: skip


def test_a_record_of_an_encrypted_store_is_damage_to_a_store_without_keys(objects: Objects, directory: Path) -> None:
    with objects.begin([]) as incoming:
        incoming.write(MARKER)
        objects.commit(incoming, record_of("key", incoming), check=lambda _etag: None)
    threads = HashThreads(0)
    keyless = Objects(directory, threads=threads)

    with pytest.raises(Refused) as refused:
        keyless.open(BUCKET, "key")

    assert refused.value.fault.status == 500
    keyless.close()
    threads.close()
