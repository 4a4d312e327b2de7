"""The native API against its own description: what is generated from that is answered as it says, never by a fault."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from tests.dialects.conftest import CATALOG
from tests.support.house import open_house
from tests.support.native import Native
from tools.reference import openapi

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from schemathesis import Case, GenerationMode
    from schemathesis.schemas import APIOperation
    from schemathesis.specs.openapi.schemas import OpenApiSchema

    from tests.support.house import House

    Operation = APIOperation[Any, Any, Any, Any]

EXAMPLES = 3
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(600)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("generated")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    with open_house(directory / "house", f"sqlite:///{directory / 'penstock.db'}", CATALOG) as opened:
        opened.models["acme/model"] = lambda _inputs, _context: {"ok": True}
        yield opened


@pytest.mark.timeout(600)
def test_whatever_fits_the_description_or_nearly_does_is_answered_as_it_says(house: House) -> None:
    import schemathesis  # noqa: PLC0415 - takes a second, which no other test needs
    from schemathesis import GenerationMode  # noqa: PLC0415 - likewise

    api = Native(url=house.url, key=house.create_key())
    ids = things_of(api, house)
    operations = operations_of(schemathesis.openapi.from_dict(openapi()))

    asked, wrong = 0, list[str]()
    for operation in operations:
        for mode in GenerationMode:
            asked += ask(operation, mode, {}, api, wrong)
            known = ids_in(operation, ids)
            asked += ask(operation, mode, known, api, wrong) if known else 0

    assert wrong == []
    assert asked > 2 * len(operations) > 60


def things_of(api: Native, house: House) -> dict[str, str]:
    """One thing of each kind, by what the description calls its id."""
    upload = api.begin(PICTURE)
    asset = api.upload(PICTURE)
    run = api.start("acme/model", {"image": asset["id"]})
    house.work()
    folder = api.post("/folders", {"name": "a"}).must(201)
    return {
        "asset_id": asset["id"],
        "upload_id": upload["id"],
        "run_id": run["id"],
        "folder_id": folder["id"],
        "slug": "acme/model",
        "key": asset["url"].rpartition("/")[2],
    }


def operations_of(schema: OpenApiSchema) -> list[Operation]:
    """Every operation; one that is described against the rules of OpenAPI fails here."""
    from schemathesis.core.result import Err  # noqa: PLC0415 - as above

    found = []
    for operation in schema.get_all_operations():
        if isinstance(operation, Err):
            raise operation.err()
        found.append(operation.ok())
    return found


def ids_in(operation: Operation, ids: Mapping[str, str]) -> dict[str, str]:
    """Those of the things that the operation is about; none where it would remove them, or wait for more of them."""
    if operation.method.upper() == "DELETE" or operation.path == "/uploads/{upload_id}/events":
        return {}
    return {name: found for name, found in ids.items() if f"{{{name}}}" in operation.path}


def ask(operation: Operation, mode: GenerationMode, known: dict[str, str], api: Native, wrong: list[str]) -> int:
    """Send a few requests that fit the description or, in negative mode, do not; how many. `wrong` takes what fails."""
    count = 0
    cases = operation.as_strategy(generation_mode=mode, path_parameters=known or None)

    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=cases)
    def send(case: Case[Operation]) -> None:
        nonlocal count
        count += 1
        headers = {"Authorization": f"Bearer {api.key}"}
        answer = case.call(base_url=f"{api.url}/v1", headers=headers, allow_redirects=False)
        try:
            case.validate_response(answer, checks=checks_of(operation))
        except BaseExceptionGroup as failures:
            wrong.append(f"{mode.value} {case.method} {case.formatted_path}: {failures.exceptions[0]}")

    try:
        send()
    except Unsatisfiable:  # there is no way to say this wrongly
        return 0
    return count


def checks_of(operation: Operation) -> list[Any]:
    """No fault, a status and a type that are described and a body that fits; of a stream of events its type alone."""
    from schemathesis import checks  # noqa: PLC0415 - as above
    from schemathesis.specs.openapi import checks as described  # noqa: PLC0415 - likewise

    usual = [checks.not_a_server_error, described.status_code_conformance, described.content_type_conformance]
    return usual if operation.path.endswith("/events") else [*usual, described.response_schema_conformance]
