"""Secrets and endpoints of an account."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import EndpointNotFound, InvalidField, TooManyEndpoints
from penstock.domain.webhooks import ALL_CALLBACKS, MOST_ENDPOINTS, MOST_SECRETS, Callback, Secret
from penstock.services.runs import NewRun
from penstock.services.webhooks import EndpointChange, NewEndpoint
from tests.support.core import at_once

if TYPE_CHECKING:
    from tests.support.core import Core

URL = "https://hooks.example.com/x?token=t"
DAY = timedelta(hours=24)


def test_a_secret_is_made_at_its_first_use_and_is_one_accounts_in_one_dialect(core: Core) -> None:
    acme, rival = core.open_account(), core.open_account("rival")

    secret = core.webhooks.secret(acme, dialect="native")

    assert core.webhooks.secret(acme, dialect="native") == secret
    assert len(base64.b64decode(secret.value.removeprefix("whsec_"), validate=True)) == 32
    others = {core.webhooks.secret(rival, dialect="native").value, core.webhooks.secret(acme, dialect="other").value}
    assert len(others - {secret.value}) == 2
    assert secret.value not in repr(secret)


def test_who_asks_for_a_first_secret_at_once_gets_the_same(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()

    got = at_once(8, lambda: core.webhooks.secret(acme, dialect="native"))

    assert len({secret.id if isinstance(secret, Secret) else repr(secret) for secret in got}) == 1


def test_rotations_leave_one_secret_without_an_end(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    first = core.webhooks.secret(acme, dialect="native")

    got = at_once(6, lambda: core.webhooks.rotate_secret(acme, dialect="native", label="new"))

    assert all(isinstance(secret, Secret) for secret in got), got
    known = core.webhooks.secrets(acme, dialect="native")
    (current,) = [secret for secret in known if secret.retires_at is None]
    assert (current.label, core.webhooks.secret(acme, dialect="native")) == ("new", current)
    (old,) = [secret for secret in known if secret.id == first.id]
    assert old.retires_at == core.clock.now() + DAY


def test_rotating_over_and_over_leaves_a_few_secrets(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme, rival = core.open_account(), core.open_account("rival")
    others = core.webhooks.secret(rival, dialect="native"), core.webhooks.secret(acme, dialect="other")
    endpoint, its_own = core.webhooks.add_endpoint(acme, NewEndpoint(url=URL), dialect="native")

    made = []
    for _ in range(MOST_SECRETS + 3):
        made.append(core.webhooks.rotate_secret(acme, dialect="native"))
        core.clock.advance(timedelta(seconds=1))

    known = core.webhooks.secrets(acme, dialect="native")
    assert [secret.id for secret in known] == [secret.id for secret in reversed(made[-MOST_SECRETS:])]
    assert [secret.id for secret in known if secret.retires_at is None] == [made[-1].id]
    assert core.webhooks.secrets(acme, dialect="native", endpoint_id=endpoint.id) == [its_own]
    assert others == (core.webhooks.secret(rival, dialect="native"), core.webhooks.secret(acme, dialect="other"))


def test_an_endpoint_has_a_secret_of_its_own_which_goes_with_it(core: Core) -> None:
    acme = core.open_account()
    endpoint, secret = core.webhooks.add_endpoint(acme, NewEndpoint(url=URL, description="mine"), dialect="native")

    assert core.webhooks.secret(acme, dialect="native", endpoint_id=endpoint.id) == secret
    assert core.webhooks.secret(acme, dialect="native", endpoint_id=ALL_CALLBACKS) != secret
    assert core.webhooks.endpoints(acme, dialect="native") == [endpoint]
    core.webhooks.remove_endpoint(acme, endpoint.id, dialect="native")
    assert core.webhooks.secrets(acme, dialect="native", endpoint_id=endpoint.id) == []
    assert len(core.webhooks.secrets(acme, dialect="native")) == 1


def test_an_endpoint_is_its_accounts_and_its_dialects_alone(core: Core) -> None:
    acme, rival = core.open_account(), core.open_account("rival")
    endpoint, _ = core.webhooks.add_endpoint(acme, NewEndpoint(url=URL), dialect="native")

    for account_id, dialect in ((rival, "native"), (acme, "other")):
        with pytest.raises(EndpointNotFound):
            core.webhooks.endpoint(account_id, endpoint.id, dialect=dialect)
        with pytest.raises(EndpointNotFound):
            core.webhooks.change_endpoint(account_id, endpoint.id, EndpointChange(active=False), dialect=dialect)
        with pytest.raises(EndpointNotFound):
            core.webhooks.send(account_id, endpoint.id, dialect=dialect, event="test", body=lambda _delivery: b"{}")
        with pytest.raises(EndpointNotFound):
            core.webhooks.remove_endpoint(account_id, endpoint.id, dialect=dialect)
        assert core.webhooks.endpoints(account_id, dialect=dialect) == []
    assert core.webhooks.endpoint(acme, endpoint.id, dialect="native") == endpoint


def test_only_what_is_named_is_changed(core: Core) -> None:
    acme = core.open_account()
    asked = NewEndpoint(url=URL, description="mine", events=("a",), headers={"X-A": "b"})
    endpoint, _ = core.webhooks.add_endpoint(acme, asked, dialect="native")

    unchanged = core.webhooks.change_endpoint(acme, endpoint.id, EndpointChange(), dialect="native")
    changed = core.webhooks.change_endpoint(
        acme, endpoint.id, EndpointChange(events=(), headers={}, active=False), dialect="native"
    )

    assert unchanged == endpoint
    assert (changed.url, changed.description) == (endpoint.url, "mine")
    assert (changed.events, changed.headers, changed.active) == ((), {}, False)


def test_endpoints_that_could_never_be_told_are_refused_and_so_is_one_too_many(core: Core) -> None:
    acme = core.open_account()
    for wrong in ("http://hooks.example.com/x", "https://10.0.0.1/x", "nonsense"):
        with pytest.raises(InvalidField):
            core.webhooks.add_endpoint(acme, NewEndpoint(url=wrong), dialect="native")
    endpoint, _ = core.webhooks.add_endpoint(acme, NewEndpoint(url=URL), dialect="native")
    with pytest.raises(InvalidField):
        core.webhooks.change_endpoint(acme, endpoint.id, EndpointChange(url="https://10.0.0.1/x"), dialect="native")
    with pytest.raises(InvalidField):
        core.webhooks.change_endpoint(acme, endpoint.id, EndpointChange(headers={"Host": "x"}), dialect="native")
    for _ in range(MOST_ENDPOINTS - 1):
        core.webhooks.add_endpoint(acme, NewEndpoint(url=URL), dialect="native")

    with pytest.raises(TooManyEndpoints):
        core.webhooks.add_endpoint(acme, NewEndpoint(url=URL), dialect="native")


def test_a_run_with_a_receiver_that_could_never_be_told_is_refused_in_the_requests_own_words(core: Core) -> None:
    acme = core.open_account()
    for dialect, url in (("native", "https://10.0.0.1/x"), ("native", "http://a.example/x"), ("mute", URL)):
        callback = Callback(url=url, field_name="notify")
        with pytest.raises(InvalidField) as raised:
            core.runs.submit(acme, NewRun(dialect=dialect, model="acme/free", inputs={}, callback=callback))
        assert raised.value.path == ("notify",)

    assert not core.has_jobs()
