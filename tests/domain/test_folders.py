"""Where a folder may stand, and what it may be called."""

from __future__ import annotations

import pytest

from penstock.domain.errors import FolderConflict, InvalidField
from penstock.domain.folders import (
    MAX_DEPTH,
    Folder,
    FolderFilter,
    check_place,
    clean_folder_name,
    fingerprint,
    fits,
    free_name,
)
from penstock.domain.ids import AccountId, FolderId
from tests.support.records import NOW


def _ancestors(count: int) -> list[Folder]:
    return [
        Folder(
            id=FolderId(str(number)),
            account_id=AccountId("a"),
            parent_id=None,
            name="x",
            created_at=NOW,
            updated_at=NOW,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(("raw", "name"), [("a/b", "b"), (" May ", "May"), ("Cafe\u0301", "Café")])
def test_a_name_is_cleaned_like_a_files(raw: str, name: str) -> None:
    assert clean_folder_name(raw) == name


@pytest.mark.parametrize("raw", ["", ".", "..", "/", " ", "\u0000"])
def test_a_name_of_nothing_is_refused(raw: str) -> None:
    with pytest.raises(InvalidField):
        clean_folder_name(raw)


def test_a_folder_stands_as_deep_as_allowed_and_no_deeper() -> None:
    check_place(FolderId("new"), ancestors=_ancestors(MAX_DEPTH - 2), height=2)

    with pytest.raises(FolderConflict):
        check_place(FolderId("new"), ancestors=_ancestors(MAX_DEPTH - 1), height=2)


def test_a_folder_stands_not_below_itself() -> None:
    with pytest.raises(FolderConflict):
        check_place(FolderId("1"), ancestors=_ancestors(3), height=1)


def test_a_taken_name_gets_the_first_free_number() -> None:
    taken = {"May", "May (2)"}

    assert free_name("June", taken=taken.__contains__) == "June"
    assert free_name("May", taken=taken.__contains__) == "May (3)"
    assert free_name("x" * 200, taken={"x" * 200}.__contains__) == "x" * 150 + " (2)"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (FolderFilter(), True),
        (FolderFilter(query="spring sh"), True),
        (FolderFilter(query="shop spring "), True),
        (FolderFilter(query="shop winter"), False),
        (FolderFilter(query="hop"), False),
        (FolderFilter(parent_id=FolderId("p")), True),
        (FolderFilter(parent_id=FolderId("q")), False),
        (FolderFilter(at_top=True), False),
    ],
)
def test_a_folder_is_found_by_words_of_its_name_and_by_its_place(wanted: FolderFilter, found: bool) -> None:
    folder = Folder(
        id=FolderId("f"),
        account_id=AccountId("a"),
        parent_id=FolderId("p"),
        name="Spring Shop",
        created_at=NOW,
        updated_at=NOW,
    )

    assert fits(folder, wanted) is found


def test_filters_have_fingerprints_of_their_own() -> None:
    filters = [FolderFilter(), FolderFilter(query="a"), FolderFilter(query="\ud800"), FolderFilter(at_top=True)]

    assert len({fingerprint(wanted) for wanted in filters}) == len(filters)
