"""Whose things a request may read or change: the account behind its key, if the key has the scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.dialects.base.http import principal
from penstock.domain.accounts import Scope

if TYPE_CHECKING:
    from starlette.requests import Request

    from penstock.domain.ids import AccountId


def file_reader(request: Request) -> AccountId:
    """Whose files are read. Raises `ScopeMissing`."""
    return _allowed(request, Scope.FILES_READ)


def file_writer(request: Request) -> AccountId:
    """Whose files are changed. Raises `ScopeMissing`."""
    return _allowed(request, Scope.FILES_WRITE)


def run_reader(request: Request) -> AccountId:
    """Whose runs are read. Raises `ScopeMissing`."""
    return _allowed(request, Scope.RUNS_READ)


def run_writer(request: Request) -> AccountId:
    """Whose runs are made or changed. Raises `ScopeMissing`."""
    return _allowed(request, Scope.RUNS_WRITE)


def model_reader(request: Request) -> AccountId:
    """Whose models are read, beside everybody's public ones. Raises `ScopeMissing`."""
    return _allowed(request, Scope.MODELS_READ)


def model_writer(request: Request) -> AccountId:
    """Whose models are made or changed. Raises `ScopeMissing`."""
    return _allowed(request, Scope.MODELS_WRITE)


def webhook_writer(request: Request) -> AccountId:
    """Whose receivers and secrets are read or changed, and to whom is sent again. Raises `ScopeMissing`."""
    return _allowed(request, Scope.WEBHOOKS_WRITE)


def _allowed(request: Request, scope: Scope) -> AccountId:
    who = principal(request)
    who.require(scope)
    return who.account_id
