"""What `ports/models` means, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.db.tables import model_terms
from penstock.domain.errors import ModelNotFound, ModelUploadNotFound, NameTaken, QuotaExceeded
from penstock.domain.ids import AccountId, ModelFileId, ModelUploadId
from penstock.domain.model_search import clauses_of, sort_name, terms_of
from penstock.domain.model_uploads import Phase
from penstock.domain.models import ModelQuery, ModelSort, ModelSource, RegisteredModel, Visibility
from penstock.domain.quotas import Limits
from penstock.domain.weights import Category
from tests.support.records import (
    HOUR,
    NOW,
    make_card,
    make_model,
    make_model_file,
    make_model_upload,
    open_account,
    uuid_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from penstock.adapters.db.database import SqlDatabase
    from penstock.ports.database import Transaction

GIB = 2**30
LONG = 60.0


def _add_source(database: SqlDatabase, account_id: AccountId, name: str = "acme") -> None:
    with database.write() as tx:
        tx.models.add_source(ModelSource(name=name, account_id=account_id, created_at=NOW))


def _put(database: SqlDatabase, *models: RegisteredModel) -> None:
    with database.write() as tx:
        for model in models:
            if not tx.model_files.of([model.file_id]):
                tx.model_files.add(make_model_file(int(model.file_id[-12:], 16), model.account_id, id=model.file_id))
            tx.models.put(model)


# --- sources


def test_a_source_belongs_to_the_first_who_makes_it(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    mine = ModelSource(name="acme", account_id=acme, created_at=NOW)

    with database.write() as tx:
        tx.models.add_source(mine)
        for account_id in (acme, zenith):
            with pytest.raises(NameTaken):
                tx.models.add_source(replace(mine, account_id=account_id))

    with database.read() as tx:
        assert tx.models.sources(acme) == [mine]
        assert tx.models.sources(zenith) == []
        assert tx.models.owns(acme, "acme")
        assert not tx.models.owns(zenith, "acme")
        assert not tx.models.owns(acme, "other")


# --- models


def test_a_model_comes_back_as_it_was_put(database: SqlDatabase) -> None:
    acme = open_account(database)
    model = make_model(1, acme)
    bare = make_model(
        2,
        acme,
        card=make_card(
            **dict.fromkeys(("type", "conditioning", "default_steps", "default_cfg", "hero_image_url", "comment")),
            tags=(),
            private=False,
        ),
    )

    _put(database, model, bare)

    with database.read() as tx:
        assert tx.models.get(acme, model.air) == tx.models.own(acme, model.air) == model
        assert tx.models.get(acme, bare.air) == bare


def test_a_private_model_is_to_others_as_if_it_were_not_there(database: SqlDatabase) -> None:  # P11
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    _put(database, make_model(1, acme), make_model(2, acme, card=make_card(private=False)))

    with database.read() as tx:
        with pytest.raises(ModelNotFound) as foreign:
            tx.models.get(zenith, "acme:1@1")
        with pytest.raises(ModelNotFound) as unknown:
            tx.models.get(zenith, "acme:9@1")
        assert tx.models.get(zenith, "acme:2@1").account_id == acme
        assert tx.models.own(zenith, "acme:2@1") is None
    assert str(foreign.value).replace("acme:1@1", "acme:9@1") == str(unknown.value)


def test_putting_an_air_again_replaces_what_it_stood_for(database: SqlDatabase) -> None:
    acme = open_account(database)
    first = make_model(1, acme)
    _put(database, first)
    second = replace(
        first,
        card=make_card(name="Flood", tags=("new",), private=False),
        file_id=ModelFileId(uuid_text(7)),
        updated_at=NOW + 2 * HOUR,
    )

    _put(database, second)

    with database.read() as tx:
        assert tx.models.get(acme, first.air) == second
        assert tx.models.search(acme, ModelQuery()) == (1, [second])
        assert tx.models.search(acme, ModelQuery(text="rivers new")) == (1, [second])
        assert tx.models.search(acme, ModelQuery(text="realistic"))[0] == 0


def test_a_removed_model_leaves_nothing_to_find_and_its_air_is_free(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    model = make_model(1, acme, card=make_card(private=False))
    _put(database, model)

    with database.write() as tx:
        tx.models.remove(model)

    with database.read() as tx, pytest.raises(ModelNotFound):
        tx.models.get(acme, model.air)
    with database.gate.read() as connection:
        assert connection.execute(model_terms.select()).all() == []
    _put(database, make_model(2, zenith, air=model.air))


def test_of_two_that_add_the_same_air_at_once_the_second_sees_the_first(database: SqlDatabase) -> None:
    acme = open_account(database)
    _add_source(database, acme)
    with database.write() as tx:
        tx.model_files.add(make_model_file(1, acme))

    def add(number: int) -> str:
        with database.write() as tx:
            there = tx.models.own(acme, "acme:1@1")
            model = make_model(number, acme, air="acme:1@1", file_id=ModelFileId(uuid_text(1)))
            tx.models.put(model if there is None else replace(there, updated_at=NOW + timedelta(seconds=number)))
            return "added" if there is None else "updated"

    with ThreadPoolExecutor(3) as pool:
        told = sorted(pool.map(add, (11, 12, 13), timeout=LONG))

    assert told == ["added", "updated", "updated"]


# --- searching

NAMES = ("River", "Flood plain", "rapids", "Delta", "Éstuary")
WORDS = ("sharp", "portraits", "Flüsse", "night", "城市")
TAGS = ("anime", "client a", "realistic")
ACME, ZENITH = AccountId("account-acme"), AccountId("account-zenith")


def _some_models(count: int) -> list[RegisteredModel]:
    """Models in which everything varies; several are added in the same microsecond."""
    chance = random.Random(6)  # noqa: S311 - the same models every time
    made = []
    for number in range(1, count + 1):
        account_id = chance.choice((ACME, ZENITH))
        category = chance.choice(tuple(Category))
        card = make_card(
            category=category,
            type=chance.choice((None, "base", "refiner")),
            architecture=chance.choice(("sdxl", "flux1d")),
            conditioning=chance.choice((None, "canny")),
            name=f"{chance.choice(NAMES)} {number % 7}",
            tags=tuple(chance.sample(TAGS, chance.randrange(3))),
            short_description=f"{chance.choice(WORDS)} {chance.choice(WORDS)}",
            private=chance.random() < 0.5,
        )
        source = f"{account_id[8:]}-{number % 2}"
        made.append(
            make_model(
                number,
                account_id,
                air=f"{source}:{number}@{number % 3}",
                card=card,
                created_at=NOW + timedelta(seconds=number // 3),
                updated_at=NOW + timedelta(seconds=chance.randrange(50)),
            )
        )
    return made


QUERIES = {
    "nothing": ModelQuery(),
    "a word and a beginning": ModelQuery(text="sharp riv"),
    "a word without its accent": ModelQuery(text="ESTUARY"),
    "one character of a script without spaces": ModelQuery(text="市"),
    "an AIR": ModelQuery(text="acme-1:7@1"),
    "a word that nothing has": ModelQuery(text="nowhere"),
    "only signs": ModelQuery(text=":@"),
    "two tags": ModelQuery(tags=("anime", "client a")),
    "a category": ModelQuery(categories=(Category.LORA, Category.VAE)),
    "a type": ModelQuery(types=("base",)),
    "an architecture": ModelQuery(architectures=("flux1d", "sd3")),
    "a conditioning": ModelQuery(conditionings=("canny",)),
    "a source": ModelQuery(sources=("zenith-1",)),
    "public ones": ModelQuery(visibility=Visibility.PUBLIC),
    "own private ones": ModelQuery(visibility=Visibility.PRIVATE),
    "own ones": ModelQuery(visibility=Visibility.OWNED),
    "by name": ModelQuery(sort=ModelSort.NAME, descending=False),
    "by change": ModelQuery(sort=ModelSort.UPDATED),
    "by their AIRs": ModelQuery(airs=tuple(f"acme-{n % 2}:{n}@{n % 3}" for n in range(40))),
    "by use": ModelQuery(sort=ModelSort.USED),
    "everything at once": ModelQuery(
        text="acme fl", tags=("anime",), architectures=("sdxl",), visibility=Visibility.OWNED, sort=ModelSort.NAME
    ),
}


def _fits(model: RegisteredModel, query: ModelQuery) -> bool:
    """The query's meaning, model by model, for acme."""
    own, card, terms = model.account_id == ACME, model.card, terms_of(model)
    visible = {
        Visibility.ALL: own or not card.private,
        Visibility.PUBLIC: not card.private,
        Visibility.PRIVATE: own and card.private,
        Visibility.OWNED: own,
    }[query.visibility]
    chosen = (
        (query.airs, model.air),
        (query.categories, card.category),
        (query.types, card.type),
        (query.architectures, card.architecture),
        (query.conditionings, card.conditioning),
        (query.sources, model.source),
    )
    return (
        visible
        and all(not wanted or value in wanted for wanted, value in chosen)
        and all(
            any(term.startswith(one.term) if one.prefix else term == one.term for term in terms)
            for one in clauses_of(query)
        )
    )


def _in_order(models: Sequence[RegisteredModel], query: ModelQuery) -> list[RegisteredModel]:
    used = {model.id: model.updated_at for model in models if int(model.number) % 4 == 0}
    keys: Mapping[ModelSort, Callable[[RegisteredModel], str | datetime]] = {
        ModelSort.NAME: sort_name,
        ModelSort.ADDED: lambda model: model.created_at,
        ModelSort.UPDATED: lambda model: model.updated_at,
        ModelSort.USED: lambda model: used.get(model.id, NOW - HOUR),
    }
    return sorted(models, key=lambda model: (keys[query.sort](model), model.id), reverse=query.descending)


def test_a_search_finds_what_looking_at_each_model_finds_page_by_page(database: SqlDatabase) -> None:
    open_account(database, "acme")
    open_account(database, "zenith")
    models = _some_models(120)
    _put(database, *models)
    with database.write() as tx:
        for model in models:
            if int(model.number) % 4 == 0:
                tx.models.note_use(model.air, now=model.updated_at)
                tx.models.note_use(model.air, now=model.updated_at + timedelta(seconds=59))

    for name, query in QUERIES.items():
        expected = _in_order([model for model in models if _fits(model, query)], query)
        found: list[RegisteredModel] = []
        for offset in range(0, len(expected) + 1, 17):
            with database.read() as tx:
                total, page = tx.models.search(ACME, replace(query, offset=offset, limit=17))
            assert total == len(expected), name
            found += page
        assert [model.air for model in found] == [model.air for model in expected], name
    assert sum(1 for query in QUERIES.values() for model in models if _fits(model, query)) > 500


def test_pages_below_a_model_repeat_and_skip_nothing_when_others_are_added(database: SqlDatabase) -> None:  # F34
    acme = open_account(database)
    models = [make_model(number, acme, created_at=NOW) for number in range(1, 10)]
    _put(database, *models)

    seen, below = [], None
    for extra in range(20, 25):
        with database.read() as tx:
            _, page = tx.models.search(acme, ModelQuery(below=below, limit=3))
        seen += [model.air for model in page]
        below = (page[-1].created_at, page[-1].id) if page else below
        _put(database, make_model(extra, acme))

    assert seen == [model.air for model in sorted(models, key=lambda model: model.id, reverse=True)]


# --- files


def test_a_file_comes_back_and_is_found_by_its_hash_in_its_account_alone(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    file = make_model_file(1, acme)

    with database.write() as tx:
        tx.model_files.add(file)
        assert tx.model_files.holding(acme, file.sha256) == file

    with database.read() as tx:
        assert tx.model_files.get(acme, file.id) == file
        assert tx.model_files.of([file.id, ModelFileId("none")]) == [file]
        assert tx.model_files.holding(zenith, file.sha256) is None
        with pytest.raises(ModelNotFound):
            tx.model_files.get(zenith, file.id)


def test_a_file_is_unused_once_no_model_and_no_upload_that_goes_on_needs_it(database: SqlDatabase) -> None:
    acme = open_account(database)
    file, other = make_model_file(1, acme), make_model_file(2, acme)
    first, second = make_model(1, acme), make_model(2, acme, file_id=file.id)
    upload = make_model_upload(1, acme, file_id=file.id)

    def unused(tx: Transaction) -> list[str]:
        return [one.id for one in tx.model_files.unused(limit=9)]

    with database.write() as tx:
        tx.model_files.add(file)
        tx.model_files.add(other)
        assert unused(tx) == [file.id, other.id]
        tx.models.put(first)
        tx.models.put(second)
        assert tx.model_files.users(file.id) == [first.air, second.air]
        assert unused(tx) == [other.id]
        tx.models.put(replace(first, file_id=other.id))
        tx.model_uploads.add(upload)
        tx.models.remove(second)
        assert unused(tx) == []
        assert not tx.model_files.remove(file)
        tx.model_uploads.replace(replace(upload, phase=Phase.FAILED, finished_at=NOW), was=Phase.VALIDATED)
        assert unused(tx) == [file.id]
        assert tx.model_files.remove(file)
        assert tx.model_files.of([file.id]) == []


def test_a_file_that_a_model_comes_to_need_meanwhile_is_not_removed(database: SqlDatabase) -> None:
    acme = open_account(database)
    file = make_model_file(1, acme)
    with database.write() as tx:
        tx.model_files.add(file)

    def remove() -> bool:
        with database.write() as tx:
            return tx.model_files.remove(file)

    with ThreadPoolExecutor(1) as pool:
        with database.write() as tx:
            assert tx.model_files.holding(acme, file.sha256) == file
            removing = pool.submit(remove)
            tx.models.put(make_model(1, acme))
        assert removing.result(LONG) is False


def test_weights_count_in_the_quota_from_the_first_to_the_last_byte(database: SqlDatabase) -> None:
    acme = open_account(database)
    both, one = make_model_file(1, acme), make_model_file(2, acme, optimized_key="models/2/original")
    one = replace(one, original_key=one.optimized_key, optimized_size=one.size)
    with database.write() as tx:
        tx.quotas.set_limits(acme, Limits(bytes=16 * GIB))

    with database.write() as tx:
        tx.model_files.add(both)
    with database.read() as tx:
        assert tx.quotas.get(acme).usage.bytes == 9 * GIB
        assert tx.quotas.get(acme).usage.files == 0
    with database.write() as tx:
        tx.model_files.add(one)
    with pytest.raises(QuotaExceeded), database.write() as tx:
        tx.model_files.add(make_model_file(3, acme))
    with database.write() as tx:
        before, after = tx.quotas.recount(acme)
    assert before == after
    assert after.bytes == 15 * GIB
    with database.write() as tx:
        tx.model_files.remove(both)
    with database.read() as tx:
        assert tx.quotas.get(acme).usage.bytes == 6 * GIB


def test_models_that_exchange_their_files_at_once_do_not_wait_for_each_other_for_ever(database: SqlDatabase) -> None:
    rounds = 100
    acme = open_account(database)
    one, two = make_model(1, acme), make_model(2, acme)
    _put(database, one, two)
    together = threading.Barrier(2)

    def exchange(model: RegisteredModel, other: RegisteredModel) -> None:
        for number in range(rounds):
            together.wait(LONG)
            file_id = other.file_id if number % 2 == 0 else model.file_id
            with database.write() as tx:
                tx.models.put(replace(model, file_id=file_id, updated_at=NOW))

    with ThreadPoolExecutor(2) as pool:
        for exchanged in (pool.submit(exchange, one, two), pool.submit(exchange, two, one)):
            exchanged.result(LONG)

    with database.read() as tx:
        assert tx.models.get(acme, one.air).file_id == one.file_id
        assert tx.model_files.unused(limit=9) == []


def test_the_store_s_objects_of_models_are_no_strangers(database: SqlDatabase) -> None:
    acme = open_account(database)
    file = make_model_file(1, acme)
    going_on, over = f"models/{uuid_text(2)}/original", f"models/{uuid_text(3)}/original"
    keys = {file.original_key, file.optimized_key, file.manifest_key, going_on, over}
    with database.write() as tx:
        tx.model_files.add(file)
        tx.model_uploads.add(make_model_upload(2, acme))
        tx.model_uploads.add(make_model_upload(3, acme, phase=Phase.FAILED, finished_at=NOW))

    with database.read() as tx:
        assert tx.installation.strangers(keys) == {over}
        assert tx.installation.being_made([uuid_text(number) for number in (1, 2, 3)]) == {uuid_text(2)}


# --- uploads


def test_an_upload_comes_back_to_its_account_alone(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    upload = make_model_upload(1, acme)

    with database.write() as tx:
        assert tx.model_uploads.add(upload)

    with database.read() as tx:
        assert tx.model_uploads.get(acme, upload.id) == upload
        assert tx.model_uploads.by_ref(acme, dialect="native", client_ref="task 1") == upload
        assert tx.model_uploads.going_on(acme, upload.air, limit=9) == [upload]
        assert tx.model_uploads.by_ref(zenith, dialect="native", client_ref="task 1") is None
        assert tx.model_uploads.by_ref(acme, dialect="another", client_ref="task 1") is None
        with pytest.raises(ModelUploadNotFound):
            tx.model_uploads.get(zenith, upload.id)


def test_the_bytes_that_are_coming_are_those_of_files_that_are_not_counted_yet(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    uploads = [
        make_model_upload(1, acme, size=2**62),
        make_model_upload(2, acme, size=3, phase=Phase.OPTIMIZED),
        make_model_upload(3, acme, size=5, phase=Phase.STORED),
        make_model_upload(4, acme, size=7, phase=Phase.FAILED, finished_at=NOW),
        make_model_upload(5, acme, size=11, file_id=ModelFileId(uuid_text(1))),
        make_model_upload(6, zenith, size=13),
        make_model_upload(7, acme, size=17),
        make_model_upload(8, acme, size=None),
    ]
    with database.write() as tx:
        assert all(tx.model_uploads.add(upload) for upload in uploads)

    with database.read() as tx:
        assert tx.model_uploads.coming(acme, beside=uploads[6].id) == 2**62 + 3
        assert tx.model_uploads.coming(zenith, beside=uploads[5].id) == 0


def test_only_a_failed_upload_frees_its_caller_s_name(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    first = make_model_upload(1, acme, client_ref="task")
    failed = replace(first, phase=Phase.FAILED, finished_at=NOW)
    second = make_model_upload(2, acme, client_ref="task")

    with database.write() as tx:
        assert tx.model_uploads.add(first)
        assert not tx.model_uploads.add(second)
        assert tx.model_uploads.add(make_model_upload(3, zenith, client_ref="task"))
        assert tx.model_uploads.add(make_model_upload(4, acme, client_ref="task", dialect="another"))
        assert tx.model_uploads.replace(failed, was=Phase.VALIDATED)
        assert tx.model_uploads.add(second)

    with database.read() as tx:
        assert tx.model_uploads.by_ref(acme, dialect="native", client_ref="task") == second


def test_uploads_that_nobody_named_stand_side_by_side(database: SqlDatabase) -> None:
    acme = open_account(database)

    with database.write() as tx:
        assert tx.model_uploads.add(make_model_upload(1, acme, client_ref=None))
        assert tx.model_uploads.add(make_model_upload(2, acme, client_ref=None))

    with database.read() as tx:
        assert [one.id for one in tx.model_uploads.page(acme, below=None, limit=1)] == [uuid_text(2)]
        assert [one.id for one in tx.model_uploads.page(acme, below=(NOW + HOUR, ""), limit=9)][1:] == [uuid_text(1)]


def test_an_upload_is_replaced_only_in_the_phase_that_was_read(database: SqlDatabase) -> None:
    acme = open_account(database)
    upload = make_model_upload(1, acme)
    later = replace(upload, phase=Phase.DOWNLOADED, file_id=ModelFileId(uuid_text(9)), warnings=())

    with database.write() as tx:
        tx.model_uploads.add(upload)
        assert tx.model_uploads.replace(later, was=Phase.VALIDATED)
        assert not tx.model_uploads.replace(upload, was=Phase.VALIDATED)

    with database.read() as tx:
        assert tx.model_uploads.get(acme, upload.id) == later


def test_progress_is_noted_until_the_end(database: SqlDatabase) -> None:
    acme = open_account(database)
    upload = make_model_upload(1, acme)
    over = replace(upload, received=7, phase=Phase.FAILED, finished_at=NOW)

    with database.write() as tx:
        tx.model_uploads.add(upload)
        tx.model_uploads.note_progress(upload.id, received=5, size=None)
        assert tx.model_uploads.get(acme, upload.id) == replace(upload, received=5, size=None)
        tx.model_uploads.replace(over, was=Phase.VALIDATED)
        tx.model_uploads.note_progress(upload.id, received=9, size=9)
        assert tx.model_uploads.get(acme, upload.id) == over


def test_uploads_that_ended_long_ago_are_forgotten_the_oldest_first(database: SqlDatabase) -> None:
    acme = open_account(database)
    with database.write() as tx:
        for number in (1, 2, 3):
            ended = NOW + timedelta(seconds=number)
            tx.model_uploads.add(make_model_upload(number, acme, phase=Phase.READY, finished_at=ended))
        tx.model_uploads.add(make_model_upload(4, acme))

        assert tx.model_uploads.purge(before=NOW + timedelta(seconds=3), limit=1) == 1
        assert tx.model_uploads.purge(before=NOW + timedelta(seconds=3), limit=9) == 1

    with database.read() as tx:
        left = [one.id for one in tx.model_uploads.page(acme, below=None, limit=9)]
        assert left == [uuid_text(4), uuid_text(3)]
        with pytest.raises(ModelUploadNotFound):
            tx.model_uploads.get(acme, ModelUploadId(uuid_text(1)))
