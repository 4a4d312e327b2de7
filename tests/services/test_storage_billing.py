"""Storage is charged once per account and UTC day, whatever clocks and workers do (F39); nothing goes for debt."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.db.database import SqlDatabase
from penstock.domain.egress import parse_rules
from penstock.domain.errors import InsufficientCredits, InvalidCursor
from penstock.domain.ledger import EntryKind
from penstock.domain.model_uploads import Phase
from penstock.domain.models import ModelSource
from penstock.domain.storage_billing import line_item
from penstock.services.model_uploads import ModelUploads, NewModelUpload
from penstock.services.storage_billing import StorageBilling
from penstock.telemetry import Log
from penstock.workflows.storage_billing import storage_schedule
from tests.support.core import at_once
from tests.support.records import make_card, make_model, make_model_file

if TYPE_CHECKING:
    from penstock.domain.ids import AccountId
    from tests.support.core import Core

PRICE = Decimal("0.05")
DAY = timedelta(days=1)
LATE = datetime(2026, 11, 21, 23, 50, tzinfo=UTC)


def billing(core: Core, price: Decimal = PRICE, *, needs_balance: bool = True) -> StorageBilling:
    """What a worker that was just started has."""
    return StorageBilling(
        core.database, price=price, clock=core.clock, log=Log("test", None), needs_balance=needs_balance
    )


def keep(core: Core, account_id: AccountId, number: int, size: int, **changes: object) -> None:
    """A registered model with a file of its own."""
    with core.database.write() as tx:
        tx.model_files.add(make_model_file(number, account_id, size=size))
        tx.models.put(make_model(number, account_id, **changes))


def charged(core: Core, account_id: AccountId) -> list[tuple[str, int, str]]:
    """Day, gigabytes and amount of each charge, oldest first."""
    page = billing(core).page(account_id, below=None, limit=100)
    return [(charge.day.isoformat(), charge.gigabytes, str(charge.amount)) for charge in reversed(page.items)]


@pytest.mark.statement("RU-82")
def test_a_day_is_charged_once_however_often_and_after_however_many_restarts(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    keep(core, acme, 1, 2_300_000_000)

    core.clock.set(LATE)
    counts = [billing(core).charge_today() for _ in range(3)]
    core.clock.advance(timedelta(minutes=20))
    counts += [billing(core).charge_today() for _ in range(2)]

    assert counts == [1, 0, 0, 1, 0]
    assert charged(core, acme) == [("2026-11-21", 3, "0.005"), ("2026-11-22", 3, "0.005")]
    assert [(entry.kind, entry.amount) for entry in core.ledger(acme)[1:]] == [
        (EntryKind.STORAGE, Decimal("-0.005"))
    ] * 2
    assert core.balance(acme) == Decimal("99.99")


@pytest.mark.statement("RU-82")
def test_two_workers_at_the_same_moment_charge_each_account_once(
    core_on_each_database: Core, database_url: str
) -> None:
    core = core_on_each_database
    accounts = [core.open_account(f"acme-{number}") for number in range(5)]
    for number, account_id in enumerate(accounts, start=1):
        keep(core, account_id, number, 10**9 * number)
    other = SqlDatabase(database_url)
    workers = [
        billing(core),
        StorageBilling(other, price=PRICE, clock=core.clock, log=Log("test", None)),
    ]

    counts = at_once(2, lambda: workers.pop().charge_today())
    other.close()

    assert sum(count for count in counts if isinstance(count, int)) == len(accounts)
    assert [len(charged(core, account_id)) for account_id in accounts] == [1] * 5


@pytest.mark.statement("RU-82")
def test_a_clock_set_back_or_forward_charges_no_day_twice(core: Core) -> None:
    acme = core.open_account()
    keep(core, acme, 1, 10**9)
    start = core.clock.now()

    for days in (0, 1, 0, -2, 7, 1, 0, 7, 2):
        core.clock.set(start + days * DAY)
        billing(core).charge_today()

    charged_days = [day for day, _, _ in charged(core, acme)]
    assert charged_days == [(start.date() + timedelta(days=by)).isoformat() for by in (-2, 0, 1, 2, 7)]


def test_a_day_that_no_worker_saw_is_not_charged_later(core: Core) -> None:
    acme = core.open_account()
    keep(core, acme, 1, 10**9)
    billing(core).charge_today()

    core.clock.advance(10 * DAY)
    billing(core).charge_today()

    assert len(charged(core, acme)) == 2


@pytest.mark.statement("RU-81")
def test_the_sum_of_an_account_s_models_is_rounded_up_once_and_a_shared_file_counts_for_each(core: Core) -> None:
    acme, zenith = core.open_account(), core.open_account("zenith")
    keep(core, acme, 1, 400_000_000, air="acme:1@1")
    keep(core, acme, 2, 500_000_000, air="acme:2@1")
    with core.database.write() as tx:
        tx.models.put(make_model(3, acme, air="acme:1@2", file_id=make_model_file(1, acme).id))
    keep(core, zenith, 4, 200_000_000, air="zenith:1@1")

    billing(core).charge_today()

    with core.database.read() as tx:
        assert tx.storage.stored(acme) == 1_300_000_000
    assert [gigabytes for _, gigabytes, _ in charged(core, acme)] == [2]
    latest = billing(core).latest("zenith")
    assert [line_item(charge) for charge in latest] == ["Daily model storage (1 GB)"]


@pytest.mark.statement("RU-81")
def test_at_the_price_of_zero_nothing_is_written(core: Core) -> None:
    acme = core.open_account()
    keep(core, acme, 1, 10**12)

    assert billing(core, Decimal(0)).charge_today() == 0
    assert charged(core, acme) == []
    assert len(core.ledger(acme)) == 1


@pytest.mark.statement("RU-98")
def test_a_price_counts_from_the_day_on_which_it_is_set(core: Core) -> None:
    acme = core.open_account()
    keep(core, acme, 1, 10**9)
    for _ in range(5):
        billing(core, Decimal(0)).charge_today()
        core.clock.advance(DAY)

    billing(core).charge_today()

    assert [day for day, _, _ in charged(core, acme)] == [core.clock.now().date().isoformat()]


@pytest.mark.statement("RU-83")
def test_nothing_goes_for_debt_and_the_balance_falls_below_zero(core: Core) -> None:
    acme = core.open_account(credits_usd="0")
    keep(core, acme, 1, 3 * 10**9)

    for _ in range(120):
        billing(core).charge_today()
        core.clock.advance(DAY)
    core.purging.purge(limit=100)

    assert core.balance(acme) == Decimal("-0.6")
    with core.database.read() as tx:
        assert tx.models.get(acme, "acme:1@1").file_id == make_model_file(1, acme).id
        assert list(tx.model_files.unused(limit=10)) == []


def test_an_account_without_models_pays_nothing(core: Core) -> None:
    acme = core.open_account()
    keep(core, acme, 1, 10**9)
    with core.database.write() as tx:
        tx.models.remove(tx.models.get(acme, "acme:1@1"))

    assert billing(core).charge_today() == 0


def test_more_accounts_than_a_batch_are_all_charged(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.services.storage_billing._BATCH", 2)
    for number in range(1, 6):
        keep(core, core.open_account(f"acme-{number}"), number, 10**9)

    assert billing(core).charge_today() == 5


def test_the_worker_s_schedule_charges_and_counts_nothing_as_removed(core: Core) -> None:
    acme = core.open_account()
    keep(core, acme, 1, 10**9)
    schedule = storage_schedule(billing(core))

    assert schedule.act() == 0
    assert len(charged(core, acme)) == 1


def test_charges_are_listed_newest_first_page_by_page(core: Core) -> None:
    acme = core.open_account()
    keep(core, acme, 1, 10**9)
    for _ in range(5):
        billing(core).charge_today()
        core.clock.advance(DAY)
    last = core.clock.now().date() - DAY

    found: list[date] = []
    cursor: str | None = None
    while True:
        page = billing(core).page(acme, below=cursor, limit=2)
        found += [charge.day for charge in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert found == [last - by * DAY for by in range(5)]
    with pytest.raises(InvalidCursor):
        billing(core).page(acme, below="yesterday", limit=2)


# --- what has to be there before more is taken


def require(
    core: Core, account_id: AccountId, price: str = "0.05", *, needs_balance: bool = True, also_free: bool = True
) -> None:
    service = billing(core, Decimal(price), needs_balance=needs_balance)
    with core.database.write() as tx:
        service.require_storage_credit(tx, account_id, also_free=also_free)


@pytest.mark.statement("RU-80", part="the service")
@pytest.mark.parametrize("price", ["0", "0.05"])
def test_an_account_without_credit_takes_no_new_model_whatever_the_price(core: Core, price: str) -> None:
    acme = core.open_account(credits_usd="0")

    with pytest.raises(InsufficientCredits):
        require(core, acme, price)
    require(core, acme, price, needs_balance=False)


def test_where_storage_is_free_only_who_asks_for_it_needs_a_balance(core: Core) -> None:
    acme = core.open_account(credits_usd="0")

    require(core, acme, "0", also_free=False)
    with pytest.raises(InsufficientCredits):
        require(core, acme, "0", also_free=True)
    with pytest.raises(InsufficientCredits):
        require(core, acme, "0.05", also_free=False)


@pytest.mark.statement("RU-93", part="the service")
def test_a_balance_has_to_cover_a_day_of_what_is_there(core: Core) -> None:
    acme = core.open_account(credits_usd="0.0049")
    require(core, acme)
    keep(core, acme, 1, 2_300_000_000)

    with pytest.raises(InsufficientCredits) as refused:
        require(core, acme)
    core.accounts.credit_account("acme", Decimal("0.0001"))

    assert refused.value.needed == Decimal("0.005")
    require(core, acme)


@pytest.mark.statement("RU-80", part="the service")
def test_a_new_file_needs_a_balance_and_words_about_a_model_do_not(core: Core) -> None:
    acme = core.open_account(credits_usd="0")
    uploads = ModelUploads(
        core.database,
        parse_rules("127.0.0.0/8"),
        clock=core.clock,
        entropy=core.entropy,
        check_credit=billing(core).require_storage_credit,
    )
    with core.database.write() as tx:
        tx.models.add_source(ModelSource(name="acme", account_id=acme, created_at=core.clock.now()))
    keep(core, acme, 1, 10**9, card=make_card(conditioning=None, default_weight=None))

    with pytest.raises(InsufficientCredits):
        uploads.begin(
            acme,
            NewModelUpload(
                air="acme:1@1", given={"unique_identifier": "another"}, source_url="http://127.0.0.1/a.safetensors"
            ),
            dialect="native",
        )
    changed = uploads.begin(acme, NewModelUpload(air="acme:1@1", given={"name": "Another"}), dialect="native")

    assert changed.phase is Phase.VALIDATED
