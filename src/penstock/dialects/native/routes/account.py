"""Routes of the caller's account."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from penstock.dialects.base import Services
from penstock.dialects.base.http import principal
from penstock.dialects.native.routes.common import (
    Limit,
    json_answer,
)
from penstock.dialects.native.wire import account
from penstock.domain.accounts import Scope

DayCursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
LedgerCursor = Annotated[int | None, Query(ge=1, description="`next_cursor` of the page before.")]


def add_account(app: FastAPI, services: Services) -> None:
    @app.get("/account", response_model=account.AccountOut, tags=["account"])
    def get_account(request: Request) -> Response:
        """The account behind the key: its balance, what it keeps and may keep."""
        who = principal(request)
        who.require(Scope.ACCOUNT_READ)
        return json_answer(
            account.account_out(*services.accounts.account(who.account_id), services.quotas.get(who.account_id), who)
        )

    @app.get("/account/ledger", response_model=account.LedgerPage, tags=["account"])
    def list_ledger(request: Request, limit: Limit = 20, cursor: LedgerCursor = None) -> Response:
        """Every change of the balance, newest first."""
        who = principal(request)
        who.require(Scope.ACCOUNT_READ)
        page = services.accounts.ledger_page(who.account_id, below=cursor, limit=limit)
        return json_answer(
            account.LedgerPage(
                data=[account.ledger_entry_out(entry) for entry in page.items], next_cursor=page.next_cursor
            )
        )

    @app.get("/account/storage", response_model=account.StoragePage, tags=["account"])
    def list_storage(request: Request, limit: Limit = 20, cursor: DayCursor = None) -> Response:
        """What the account's registered models take and cost, and what was charged for them, newest day first."""
        who = principal(request)
        who.require(Scope.ACCOUNT_READ)
        page = services.storage.page(who.account_id, below=cursor, limit=limit)
        return json_answer(account.storage_page(*services.storage.standing(who.account_id), page))
