"""What storage costs: the worked examples, and what has to be there before more is taken."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain import ledger
from penstock.domain.errors import InsufficientCredits
from penstock.domain.ids import AccountId
from penstock.domain.ledger import EntryKind
from penstock.domain.storage_billing import (
    StorageCharge,
    daily_amount,
    gigabytes,
    line_item,
    require_credit,
    shown,
)
from tests.support.records import NOW

PRICE = Decimal("0.05")
ACME = AccountId("acme")


@pytest.mark.statement("RU-81")
@pytest.mark.parametrize(
    ("size", "whole", "told"),
    [
        (200_000_000, 1, "0.0017"),
        (2_300_000_000, 3, "0.0050"),
        (9_700_000_000, 10, "0.0167"),
        (10_400_000_000, 11, "0.0183"),
    ],
)
def test_a_day_of_storage_costs_what_the_worked_examples_say(size: int, whole: int, told: str) -> None:
    assert gigabytes(size) == whole
    assert str(shown(daily_amount(size, PRICE))) == told


@pytest.mark.parametrize(("size", "whole"), [(0, 0), (1, 1), (10**9, 1), (10**9 + 1, 2), (3 * 10**9, 3)])
def test_a_gigabyte_that_was_begun_counts_whole(size: int, whole: int) -> None:
    assert gigabytes(size) == whole


@given(st.integers(0, 10**15), st.decimals(0, 1000, places=9))
def test_the_ledger_keeps_a_day_s_cost_to_half_a_billionth_of_a_dollar(size: int, price: Decimal) -> None:
    amount = daily_amount(size, price)

    assert amount == amount.quantize(ledger.QUANTUM)
    assert abs(amount * 30 - price * gigabytes(size)) <= ledger.QUANTUM * 15


@pytest.mark.statement("RU-81")
def test_nothing_costs_anything_at_the_price_of_zero() -> None:
    assert daily_amount(10**12, Decimal(0)) == 0


@pytest.mark.statement("RU-81")
def test_a_line_item_is_called_as_on_a_usage_page() -> None:
    charge = StorageCharge(
        account_id=ACME,
        day=NOW.date(),
        bytes=1,
        gigabytes=1,
        price=PRICE,
        amount=Decimal("0.001666667"),
        entry=1,
        created_at=NOW,
    )

    assert line_item(charge) == "Daily model storage (1 GB)"


def test_storage_may_take_a_balance_below_zero() -> None:
    entry = ledger.storage(None, Decimal("0.005"), account_id=ACME, now=NOW)

    assert (entry.kind, entry.amount, entry.balance) == (EntryKind.STORAGE, Decimal("-0.005"), Decimal("-0.005"))


@pytest.mark.parametrize(
    ("balance", "stored", "price"),
    [("0", 0, "0"), ("-0.01", 0, "0"), ("0", 0, "0.05"), ("0.001666666", 200_000_000, "0.05"), ("1", 10**13, "0.05")],
)
def test_a_balance_of_nothing_or_of_less_than_a_day_takes_no_new_model(balance: str, stored: int, price: str) -> None:
    with pytest.raises(InsufficientCredits):
        require_credit(Decimal(balance), stored=stored, price=Decimal(price))


@pytest.mark.parametrize(
    ("balance", "stored", "price"),
    [
        ("0.000000001", 0, "0"),
        ("0.000000001", 10**13, "0"),
        ("0.001666667", 200_000_000, "0.05"),
        ("17", 10**13, "0.05"),
    ],
)
def test_a_balance_that_covers_a_day_takes_a_new_model(balance: str, stored: int, price: str) -> None:
    require_credit(Decimal(balance), stored=stored, price=Decimal(price))
