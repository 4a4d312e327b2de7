"""Accounts and keys: the shape of secrets, what is kept of them, and whom a key admits."""

from __future__ import annotations

import hashlib
import re
import zlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.accounts import (
    ALL_SCOPES,
    ApiKey,
    Scope,
    check_account_name,
    key_admits,
    make_secret,
    parse_scopes,
    require_scope,
    secret_digest,
    secret_hint,
    secret_lookup,
)
from penstock.domain.errors import InvalidField, ScopeMissing
from penstock.domain.ids import AccountId
from tests.support.records import NOW, make_key

SHAPE = re.compile(r"sk_[0-9a-f]{64}_[0-9a-f]{8}")
A_SECRET = make_secret(bytes(range(32)))


def a_key(**changes: object) -> ApiKey:
    alive = {"digest": secret_digest(A_SECRET), "expires_at": None, "revoked_at": None}
    return make_key(1, AccountId("acme"), **{**alive, **changes})


@given(st.binary(min_size=32, max_size=32))
def test_a_secret_is_64_hex_digits_and_the_checksum_of_what_precedes_it(random: bytes) -> None:
    secret = make_secret(random)

    head, _, checksum = secret.rpartition("_")
    assert SHAPE.fullmatch(secret)
    assert head == "sk_" + random.hex()
    assert int(checksum, 16) == zlib.crc32(head.encode())


def test_the_checksum_keeps_its_leading_zeros() -> None:
    secrets = [make_secret(n.to_bytes(32, "big")) for n in range(2000)]

    assert all(SHAPE.fullmatch(secret) for secret in secrets)
    assert any(secret.rpartition("_")[2].startswith("00") for secret in secrets)


def test_what_is_kept_of_a_secret_does_not_give_it_away() -> None:
    assert secret_digest(A_SECRET) == hashlib.sha256(A_SECRET.encode()).hexdigest()
    assert secret_lookup(A_SECRET) == secret_digest(A_SECRET)[:16]
    assert secret_hint(A_SECRET) == "sk_0001…"


def test_the_hint_of_a_short_imported_secret_does_not_show_it_whole() -> None:
    assert secret_hint("hunter2") == "h…"


@pytest.mark.parametrize("secret", ["", "sk_", A_SECRET[:-1], A_SECRET + " ", A_SECRET.upper(), make_secret(bytes(32))])
def test_a_key_admits_no_other_secret(secret: str) -> None:
    assert not key_admits(a_key(), secret, now=NOW)


def test_a_key_lives_until_exactly_its_expiry() -> None:
    key = a_key(expires_at=NOW)

    assert key_admits(key, A_SECRET, now=NOW - timedelta(microseconds=1))
    assert not key_admits(key, A_SECRET, now=NOW)


def test_a_revoked_key_admits_nobody_whenever_it_was_revoked() -> None:
    assert key_admits(a_key(), A_SECRET, now=NOW)
    assert not key_admits(a_key(revoked_at=NOW + timedelta(hours=1)), A_SECRET, now=NOW)


@pytest.mark.parametrize("scope", Scope)
def test_a_key_may_do_what_its_scopes_say(scope: Scope) -> None:
    require_scope(a_key(scopes=frozenset({scope})), scope)

    with pytest.raises(ScopeMissing) as caught:
        require_scope(a_key(scopes=ALL_SCOPES - {scope}), scope)

    assert caught.value.scope == scope.value


def test_no_scope_named_means_all() -> None:
    assert parse_scopes(()) == ALL_SCOPES == frozenset(Scope)


def test_scopes_are_named_exactly() -> None:
    assert parse_scopes(("files:read", "runs:write")) == {Scope.FILES_READ, Scope.RUNS_WRITE}
    for wrong in ("Files:read", "files", "*", ""):
        with pytest.raises(InvalidField, match="files:read"):
            parse_scopes(("files:read", wrong))


@pytest.mark.parametrize("name", ["a", "0", "acme", "Acme.Corp_1-x", "a" * 64])
def test_a_plain_account_name_is_accepted(name: str) -> None:
    assert check_account_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a b", "a/b", "acmé", "a\n", "a" * 65, "a\x00"])
def test_an_account_name_that_needs_quoting_is_refused(name: str) -> None:
    with pytest.raises(InvalidField) as caught:
        check_account_name(name)

    assert caught.value.path == ("name",)
