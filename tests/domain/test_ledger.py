"""Money: exact, append-only, never below zero by a hold."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain import ledger
from penstock.domain.errors import InsufficientCredits, InvalidField
from penstock.domain.ids import AccountId, RunId
from penstock.domain.ledger import EntryKind, LedgerEntry
from tests.support.records import NOW

ACME = AccountId("acme")
AMOUNTS = st.decimals(min_value="0.000000001", max_value=1_000_000, places=9)
STEPS = st.lists(
    st.tuples(st.sampled_from(["credit", "hold", "settle", "refund"]), AMOUNTS, st.integers(0, 3)), max_size=30
)


def a_balance(usd: str) -> LedgerEntry:
    return ledger.credit(None, Decimal(usd), account_id=ACME, now=NOW)


@given(STEPS)
def test_the_balance_is_the_sum_of_all_amounts_and_no_step_takes_it_below_zero(
    steps: list[tuple[str, Decimal, int]],
) -> None:
    entries: list[LedgerEntry] = []
    open_holds: dict[RunId, Decimal] = {}
    for number, (what, amount, which) in enumerate(steps):
        last = entries[-1] if entries else None
        held = list(open_holds.items())[which : which + 1]
        if what == "credit":
            entries.append(ledger.credit(last, amount, account_id=ACME, now=NOW))
        elif what == "hold":
            run_id = RunId(f"run {number}")
            try:
                entries.append(ledger.hold(last, amount, account_id=ACME, run_id=run_id, now=NOW))
            except InsufficientCredits:
                assert amount > (last.balance if last else 0)
                continue
            open_holds[run_id] = amount
        elif held and last is not None:
            (run_id, kept) = held[0]
            del open_holds[run_id]
            if what == "settle":
                entries.append(ledger.settle(last, held=kept, cost=amount, run_id=run_id, now=NOW))
            else:
                entries.append(ledger.refund(last, held=kept, run_id=run_id, now=NOW))

    total = Decimal(0)
    for number, entry in enumerate(entries, start=1):
        total += entry.amount
        assert entry.number == number
        assert entry.balance == total >= 0


def test_a_hold_of_exactly_the_balance_is_possible_and_one_quantum_more_is_not() -> None:
    balance = a_balance("0.002")

    assert ledger.hold(balance, Decimal("0.002"), account_id=ACME, run_id=RunId("r"), now=NOW).balance == 0
    with pytest.raises(InsufficientCredits) as caught:
        ledger.hold(balance, Decimal("0.002") + ledger.QUANTUM, account_id=ACME, run_id=RunId("r"), now=NOW)
    assert (caught.value.needed, caught.value.balance) == (Decimal("0.002000001"), Decimal("0.002"))


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity", "1e-10", "1000000000.1"])
def test_an_amount_that_cannot_be_kept_is_not_added(amount: str) -> None:
    with pytest.raises(InvalidField):
        ledger.credit(None, Decimal(amount), account_id=ACME, now=NOW)


def test_a_balance_cannot_pass_what_the_ledger_can_keep() -> None:
    full = a_balance("1000000000")

    with pytest.raises(InvalidField, match="balance"):
        ledger.credit(full, ledger.QUANTUM, account_id=ACME, now=NOW)


def test_an_account_without_entries_cannot_hold_anything() -> None:
    with pytest.raises(InsufficientCredits) as caught:
        ledger.hold(None, ledger.QUANTUM, account_id=ACME, run_id=RunId("r"), now=NOW)

    assert caught.value.balance == 0


@pytest.mark.parametrize(("cost", "back"), [("0", "0.5"), ("0.2", "0.3"), ("0.5", "0"), ("0.7", "0")])
def test_settling_gives_back_what_was_not_used_and_never_takes_more_than_was_held(cost: str, back: str) -> None:
    last = ledger.hold(a_balance("1"), Decimal("0.5"), account_id=ACME, run_id=RunId("r"), now=NOW)

    entry = ledger.settle(last, held=Decimal("0.5"), cost=Decimal(cost), run_id=RunId("r"), now=NOW)

    assert (entry.kind, entry.amount, entry.balance) == (
        EntryKind.SETTLE,
        Decimal(back),
        Decimal("0.5") + Decimal(back),
    )


def test_a_refund_gives_back_the_whole_hold() -> None:
    last = ledger.hold(a_balance("1"), Decimal("0.3"), account_id=ACME, run_id=RunId("r"), now=NOW)

    entry = ledger.refund(last, held=Decimal("0.3"), run_id=RunId("r"), now=NOW)

    assert (entry.kind, entry.amount, entry.balance, entry.run_id) == (
        EntryKind.REFUND,
        Decimal("0.3"),
        Decimal(1),
        "r",
    )


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", "1"), ("0.000000001", "0.000000001"), ("1E9", "1000000000"), ("1e-9", "0.000000001"), ("2.50", "2.5")],
)
def test_an_amount_the_ledger_can_keep_is_parsed_exactly(text: str, amount: str) -> None:
    assert ledger.parse_amount(text) == Decimal(amount)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1,50",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "0",
        "-0",
        "-1",
        "1e-10",
        "0.0000000001",
        "1.0000000001",
        "1000000000.000000001",
        "1E10",
        "1e999999",
        "1e-999999",
        "1.00000000000000000000000000000000000000001",
    ],
)
def test_an_amount_that_is_none_or_cannot_be_kept_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        ledger.parse_amount(text)

    assert caught.value.path == ("amount",)
