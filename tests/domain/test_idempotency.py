"""Idempotency keys: which requests count as the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.errors import IdempotencyMismatch, InvalidField
from penstock.domain.idempotency import IdempotentRequest, idempotent_request, require_same

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def made(key: str, body: object) -> IdempotentRequest:
    request = idempotent_request(key, body)
    assert request is not None
    return request


def test_without_a_key_nothing_is_idempotent() -> None:
    assert idempotent_request(None, {"a": 1}) is None


@pytest.mark.parametrize("key", ["k", "k" * 255, "a b", "6c1b2f7e-0d54-4f4e-9a5e-3f1f6a1f8b21"])
def test_a_printable_key_is_kept_as_it_is(key: str) -> None:
    assert made(key, {}).key == key


@pytest.mark.parametrize("key", ["", "k" * 256, "a\nb", "a\x00", "a\u200b"])
def test_an_empty_overlong_or_unprintable_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidField) as caught:
        idempotent_request(key, {})

    assert caught.value.path == ("Idempotency-Key",)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_order_of_members_does_not_matter(body: dict[str, object]) -> None:
    assert made("k", body).fingerprint == made("k", dict(reversed(body.items()))).fingerprint


@pytest.mark.parametrize(
    "other", [{"a": 2}, {"a": "1"}, {"a": 1.5}, {"a": True}, {"a": None}, {"A": 1}, {}, {"a": 1, "b": None}, [{"a": 1}]]
)
def test_any_difference_in_the_body_is_another_request(other: object) -> None:
    first, second = made("k", {"a": 1}), made("k", other)

    with pytest.raises(IdempotencyMismatch) as caught:
        require_same(second, fingerprint=first.fingerprint)

    assert caught.value.key == "k"


def test_the_same_body_is_the_same_request() -> None:
    require_same(made("k", {"a": [1, 2]}), fingerprint=made("k", {"a": [1, 2]}).fingerprint)
