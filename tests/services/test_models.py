"""Registered models: who sees them, what changes them, and when their bytes go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import AccountNotFound, InvalidCursor, InvalidField, ModelNotFound, NameTaken, QuotaExceeded
from penstock.domain.models import ModelQuery, Visibility
from penstock.services.model_sources import MAX_SOURCES
from penstock.services.models import Part
from tests.services.test_model_uploads import begin, deploy, fail, open_source

if TYPE_CHECKING:
    from penstock.domain.models import ModelFile
    from tests.support.core import Core


def store(core: Core, file: ModelFile) -> None:
    for key in (file.original_key, file.optimized_key, file.manifest_key):
        core.objects.put(key, b"{}", size=2, content_type="application/json")


def test_a_source_is_made_once_and_kept_in_lower_case(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")

    source = core.model_sources.create(acme, "Acme-Labs")

    assert source.name == "acme-labs"
    assert core.model_sources.create(acme, "acme-LABS") == source
    assert core.model_sources.of(acme) == [source]
    assert core.model_sources.of(zenith) == []
    with pytest.raises(NameTaken):
        core.model_sources.create(zenith, "acme-labs")
    with pytest.raises(InvalidField):
        core.model_sources.create(acme, "a b")


def test_an_account_has_so_many_sources_at_most(core: Core) -> None:
    acme = core.open_account()
    for number in range(MAX_SOURCES):
        core.model_sources.create(acme, f"acme-{number}")

    with pytest.raises(QuotaExceeded):
        core.model_sources.create(acme, "one-more")

    assert core.model_sources.create(acme, "acme-7").name == "acme-7"


def test_an_operator_makes_sources_for_accounts_by_their_names(core: Core) -> None:
    core.open_account("acme")
    core.open_account("zenith")

    core.model_sources.create_for("zenith", "Z-Labs")
    core.model_sources.create_for("acme", "acme")

    assert [(name, source.name) for name, source in core.model_sources.by_account(None)] == [
        ("acme", "acme"),
        ("zenith", "z-labs"),
    ]
    assert [source.name for _, source in core.model_sources.by_account("zenith")] == ["z-labs"]
    with pytest.raises(AccountNotFound):
        core.model_sources.create_for("nobody", "nobody")


@pytest.mark.statement("RU-62")
@pytest.mark.statement("RU-63", part="seeing")
def test_others_see_public_models_alone(core: Core) -> None:  # P11
    acme, zenith = open_source(core), open_source(core, "zenith")
    deploy(core, begin(core, acme))
    deploy(core, begin(core, acme, air="acme:2@1", private=False, comment="hush"), file=2)

    assert core.registry.show(acme, "ACME:1@1").model.card.private
    for act in (
        lambda: core.registry.show(zenith, "acme:1@1"),
        lambda: core.registry.location(zenith, "acme:1@1", Part.ORIGINAL),
        lambda: core.registry.update(zenith, "acme:2@1", {"name": "mine"}),
        lambda: core.registry.remove(zenith, "acme:2@1"),
        lambda: core.registry.show(zenith, "nonsense"),
    ):
        with pytest.raises(ModelNotFound):
            act()
    shown = core.registry.show(zenith, "urn:air:sdxl:lora:acme:2@1")
    assert (shown.model.card.comment, shown.model.card.unique_identifier, shown.shared_with) == (None, "", ())
    assert core.registry.search(zenith, ModelQuery())[0] == 1
    assert core.registry.search(acme, ModelQuery(visibility=Visibility.OWNED))[0] == 2


def test_what_is_said_of_a_model_changes_at_once(core: Core) -> None:
    acme = open_source(core)
    before = deploy(core, begin(core, acme, tags=["a"]))

    shown = core.registry.update(acme, "acme:1@1", {"name": "Streams", "private": False, "tags": None})

    assert (shown.model.card.name, shown.model.card.private, shown.model.card.tags) == ("Streams", False, ())
    assert shown.model.file_id == before.file_id
    assert core.registry.search(acme, ModelQuery(text="streams"))[0] == 1
    for given in ({"unique_identifier": "b"}, {"category": "vae"}, {"default_weight": 9}):
        with pytest.raises(InvalidField):
            core.registry.update(acme, "acme:1@1", given)


def test_pages_go_on_where_the_last_one_ended(core: Core) -> None:
    acme = open_source(core)
    for number in (1, 2, 3):
        deploy(core, begin(core, acme, air=f"acme:{number}@1"), file=number)

    total, first = core.registry.page(acme, ModelQuery(), cursor=None, limit=2)
    _, rest = core.registry.page(acme, ModelQuery(), cursor=first.next_cursor, limit=2)

    assert total == 3
    assert [model.air for model in (*first.items, *rest.items)] == ["acme:3@1", "acme:2@1", "acme:1@1"]
    assert rest.next_cursor is None
    with pytest.raises(InvalidCursor):
        core.registry.page(acme, ModelQuery(), cursor="nonsense", limit=2)


def test_each_part_of_a_model_has_an_address(core: Core) -> None:
    acme = open_source(core)
    deploy(core, begin(core, acme))
    file = core.registry.show(acme, "acme:1@1").file

    addresses = {part: core.registry.location(acme, "acme:1@1", part) for part in Part}

    for part, key in (
        (Part.ORIGINAL, file.original_key),
        (Part.OPTIMIZED, file.optimized_key),
        (Part.MANIFEST, file.manifest_key),
    ):
        assert f"/{key}?" in addresses[part]
        assert "attachment" in addresses[part]
        assert "X-Amz-Expires=300&" in addresses[part]  # whoever may not see the model any more has little left of it


def test_a_file_goes_with_the_last_that_needs_it(core: Core) -> None:
    acme = open_source(core)
    first = deploy(core, begin(core, acme))
    file = core.registry.show(acme, first.air).file
    store(core, file)
    upload = begin(core, acme, unique_identifier="hash-2")
    other = deploy(core, begin(core, acme, air="acme:2@1"), file=2)
    with core.database.write() as tx:
        tx.models.put(replace(other, file_id=file.id))

    assert core.registry.show(acme, "acme:1@1").shared_with == ("acme:2@1",)
    core.registry.remove(acme, "acme:1@1")
    assert core.registry.sweep(limit=9) == 1
    assert core.keys("models/") == sorted([file.original_key, file.optimized_key, file.manifest_key])
    core.registry.remove(acme, "acme:2@1")
    assert core.registry.sweep(limit=9) == 1
    assert core.keys("models/") == []
    assert core.registry.sweep(limit=9) == 0
    assert core.quotas.get(acme).usage.bytes == 0
    fail(core, upload)
