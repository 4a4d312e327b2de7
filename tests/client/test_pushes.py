"""Pushing a model's file: what the server knows of its bytes decides what is sent; small sizes stand for large ones."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from penstock.client import InParts, InvalidRequestError, ModelUploadFailedError, UploadError
from tests.client.scripted_server import (
    NOW,
    asset,
    problem,
    received_parts,
    reply,
    s3_error,
    signed_parts,
    upload_in_parts,
)
from tests.client.test_parts import stored

if TYPE_CHECKING:
    from penstock.client import Penstock
    from tests.client.scripted_server import Answer, ScriptedServer

AIR = "labs:1@1"
MODEL = "/v1/models/labs%3A1%401"
PART_SIZE = 1000
CONTENT = bytes(n % 251 for n in range(3 * PART_SIZE))
PIECES = [CONTENT[start : start + PART_SIZE] for start in range(0, len(CONTENT), PART_SIZE)]
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ONE_BY_ONE = InParts(at_least=PART_SIZE, connections=1)
NO_FILE = {"pointer": "#/url", "code": "missing", "detail": "is required: these bytes are not here yet"}


def model(sha256: str = SHA256) -> dict[str, Any]:
    stored_file = {"size_bytes": len(CONTENT), "sha256": sha256}
    return {
        "air": AIR,
        "urn": f"urn:air:sdxl:lora:{AIR}",
        "owned": True,
        "category": "lora",
        "architecture": "sdxl",
        "name": "Rivers",
        "version_label": "v1",
        "unique_identifier": SHA256,
        "private": True,
        "created_at": NOW,
        "updated_at": NOW,
        "file": {"original": stored_file, "optimized": stored_file, "summary": {}},
    }


def registration(phase: str, number: int = 1, **changes: object) -> dict[str, Any]:
    ended = NOW if phase in {"ready", "failed"} else None
    told = {"id": f"modelupload_{number}", "air": AIR, "phase": phase, "unique_identifier": SHA256}
    return told | {"created_at": NOW, "finished_at": ended, **changes}


def listed(*things: object, next_cursor: str | None = None) -> Answer:
    return reply({"data": things, "next_cursor": next_cursor})


def begun(upload_id: str = "upload_1", **changes: object) -> dict[str, object]:
    told = upload_in_parts(len(CONTENT), PART_SIZE, id=upload_id, filename=f"{SHA256}.safetensors")
    return told | changes


@pytest.fixture(autouse=True)
def registry(server: ScriptedServer) -> None:
    """A server that knows nothing of these bytes, and on which everything goes well."""
    needs_file = problem(422, "invalid_field", errors=[NO_FILE])
    server.answer("POST", "/v1/models", needs_file, reply(registration("validated"), 202))
    server.answer("GET", "/v1/model-uploads", listed())
    server.answer("GET", "/v1/model-uploads/modelupload_1", reply(registration("ready")))
    server.answer("GET", MODEL, reply(model()))
    server.answer("GET", "/v1/uploads", listed())
    server.answer("POST", "/v1/uploads", reply(begun("upload_2"), 201))
    for upload_id in ("upload_1", "upload_2"):
        server.answer("GET", f"/v1/uploads/{upload_id}", reply(begun(upload_id)))
        server.answer("GET", f"/v1/uploads/{upload_id}/parts", received_parts())
        server.answer("POST", f"/v1/uploads/{upload_id}/parts", signed_parts(server, 3, upload_id))
        server.answer("POST", f"/v1/uploads/{upload_id}/complete", reply(asset(f"asset_of_{upload_id}")))
        for number, piece in enumerate(PIECES, 1):
            server.answer("PUT", f"/bucket/{upload_id}/{number}", stored(piece))


def push(client: Penstock, **more: Any) -> object:  # noqa: ANN401 - options of the call
    return client.push_model(CONTENT, AIR, parts=ONE_BY_ONE, category="lora", **more)


def registered(server: ScriptedServer) -> list[object]:
    """The assets that registrations named."""
    said: list[Any] = [seen.json for seen in server.requests("POST", "/v1/models")]
    return [one.get("asset_id") for one in said]


def test_a_file_that_nobody_knows_is_sent_under_its_hash_and_registered(
    client: Penstock, server: ScriptedServer
) -> None:
    push(client)

    (created,) = [seen.json for seen in server.requests("POST", "/v1/uploads")]
    said = server.requests("POST", "/v1/models")[-1].json
    assert isinstance(created, dict)
    assert (created["filename"], created["expires_in"]) == (f"{SHA256}.safetensors", 86400)
    assert said == {"air": AIR, "asset_id": "asset_of_upload_2", "category": "lora", "unique_identifier": SHA256}


def test_a_file_that_has_arrived_is_found_also_behind_many_uploads(client: Penstock, server: ScriptedServer) -> None:
    others = [begun(f"upload_{n}", filename="other.safetensors") for n in range(3, 6)]
    there = begun(state="ready", asset_id="asset_1")
    server.answer("GET", "/v1/uploads", listed(*others, next_cursor="more"), listed(there))
    server.answer("GET", "/v1/uploads/upload_1", reply(there))
    server.answer("GET", "/v1/assets/asset_1", reply(asset("asset_1")))

    push(client)

    assert registered(server) == [None, "asset_1"]
    assert [seen.query for seen in server.requests("GET", "/v1/uploads")] == ["limit=100", "limit=100&cursor=more"]
    assert server.requests("POST", "/v1/uploads") == []


def test_a_file_whose_asset_has_gone_is_sent_again(client: Penstock, server: ScriptedServer) -> None:
    gone = begun(state="ready", asset_id="asset_1")
    server.answer("GET", "/v1/uploads", listed(gone))
    server.answer("GET", "/v1/uploads/upload_1", reply(gone))
    server.answer("GET", "/v1/assets/asset_1", problem(410, "asset_expired"))

    push(client)

    assert registered(server) == [None, "asset_of_upload_2"]


def test_an_upload_that_broke_off_is_gone_on_with(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/uploads", listed(begun()))
    server.answer("GET", "/v1/uploads/upload_1/parts", received_parts(PIECES[0], b"x" * PART_SIZE))
    steps: list[tuple[str, int]] = []

    push(client, on_step=lambda step, done, _: steps.append((step, done)))

    assert registered(server) == [None, "asset_of_upload_1"]
    assert server.requests("PUT", "/bucket/upload_1/1") == []
    assert len(server.requests("PUT", "/bucket/upload_1/2")) == len(server.requests("PUT", "/bucket/upload_1/3")) == 1
    assert steps[:4] == [("hash", 0), ("hash", len(CONTENT)), ("compare", 0), ("compare", PART_SIZE)]
    assert steps[4] == ("send", PART_SIZE)
    assert steps[-1] == ("send", len(CONTENT))


def test_an_upload_that_is_over_by_now_is_begun_anew(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/uploads", listed(begun()))
    server.answer("POST", "/v1/uploads/upload_1/parts", problem(409, "upload_not_completable"))

    push(client)

    assert registered(server) == [None, "asset_of_upload_2"]


def test_what_somebody_else_has_completed_meanwhile_is_taken(client: Penstock, server: ScriptedServer) -> None:
    done = begun(state="ready", asset_id="asset_1")
    server.answer("GET", "/v1/uploads", listed(begun()))
    server.answer("GET", "/v1/uploads/upload_1", reply(begun()), reply(begun()), reply(done))
    server.answer("GET", "/v1/assets/asset_1", reply(asset("asset_1")))
    server.answer("PUT", "/bucket/upload_1/2", s3_error(404, "NoSuchUpload", "The upload does not exist"))

    push(client)

    assert registered(server) == [None, "asset_1"]


def test_a_store_that_refuses_the_bytes_ends_it_before_a_registration(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/uploads", listed(begun()))
    server.answer("PUT", "/bucket/upload_1/2", s3_error(403, "AccessDenied", "no"))

    with pytest.raises(UploadError, match="AccessDenied"):
        push(client)

    assert registered(server) == [None]


def test_words_that_are_wrong_end_it_before_anything_is_sent(client: Penstock, server: ScriptedServer) -> None:
    wrong = {"pointer": "#/name", "code": "length", "detail": "is too long"}
    server.answer("POST", "/v1/models", problem(422, "invalid_field", errors=[wrong, NO_FILE]))

    with pytest.raises(InvalidRequestError):
        push(client)

    assert server.requests("GET", "/v1/uploads") == server.requests("POST", "/v1/uploads") == []


def test_a_registration_that_goes_on_is_awaited_and_its_failure_is_not_the_last_word(
    client: Penstock, server: ScriptedServer
) -> None:
    failed = registration("failed", 2, error={"code": "internal_error", "message": "gave up"})
    server.answer("GET", "/v1/model-uploads", listed(registration("validated", 2)))
    server.answer("GET", "/v1/model-uploads/modelupload_2", reply(failed))
    steps: list[str] = []
    phases: list[str] = []

    push(client, on_step=lambda *step: steps.append(step[0]), on_change=lambda one: phases.append(one.phase))

    assert "follow" in steps
    assert phases == ["failed", "ready"]
    assert registered(server) == [None, "asset_of_upload_2"]


def test_a_registration_of_other_bytes_is_not_followed(client: Penstock, server: ScriptedServer) -> None:
    other = registration("validated", 2, unique_identifier="other")
    server.answer("GET", "/v1/model-uploads", listed(other, registration("validated", 3)))

    push(client)

    assert server.requests("GET", "/v1/model-uploads/modelupload_3") == []


def test_a_registration_that_fails_is_an_error(client: Penstock, server: ScriptedServer) -> None:
    failed = registration("failed", error={"code": "model_file_mismatch", "message": "It is no VAE."})
    server.answer("GET", "/v1/model-uploads/modelupload_1", reply(failed))

    with pytest.raises(ModelUploadFailedError, match="It is no VAE"):
        push(client)


def test_a_model_that_has_other_bytes_in_the_end_is_an_error(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", MODEL, reply(model("0" * 64)))

    with pytest.raises(UploadError, match="has other bytes than the file"):
        push(client)
