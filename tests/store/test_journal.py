"""The rule by which crash tests judge a store must itself catch what is lost, stale or invented."""

from __future__ import annotations

from tests.store.journal import Journal


def written(journal: Journal, *values: str | None) -> None:
    for value in values:
        journal.acknowledge([journal.begin("key", value)])


def test_what_was_acknowledged_last_is_all_that_may_show() -> None:
    journal = Journal()
    written(journal, "first", "second")

    assert journal.possible("key") == {"second"}


def test_what_was_never_answered_may_show_and_may_not() -> None:
    journal = Journal()
    written(journal, "first")
    journal.begin("key", None)

    assert journal.possible("key") == {"first", None}


def test_what_a_dead_process_had_in_hand_shows_at_once_or_never() -> None:
    journal = Journal()
    written(journal, "first")
    journal.abandon([journal.begin("key", "lost")])
    assert journal.possible("key") == {"first", "lost"}

    written(journal, "second")

    assert journal.possible("key") == {"second"}


def test_of_two_at_once_either_may_be_the_last() -> None:
    journal = Journal()
    one, other = journal.begin("key", "one"), journal.begin("key", "other")
    journal.acknowledge([other])
    journal.acknowledge([one])

    assert journal.possible("key") == {"one", "other"}


def test_a_look_may_have_seen_what_was_there_at_any_moment_of_it() -> None:
    journal = Journal()
    written(journal, "before", "first")
    since = journal.now()
    written(journal, "second")

    assert journal.possible("key", since=since) == {"first", "second"}


def test_what_a_restart_has_shown_stays() -> None:
    journal = Journal()
    journal.begin("key", "never answered")
    journal.settle("key", None)

    assert journal.possible("key") == {None}
