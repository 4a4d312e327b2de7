"""Routes that give assets another end."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from penstock.dialects.base import Services
from penstock.dialects.base.http import principal
from penstock.dialects.native.routes.common import asset_id_of, json_answer
from penstock.dialects.native.wire import assets
from penstock.dialects.native.wire.lifetimes import SetLifetime, lifetime_of
from penstock.domain.accounts import Scope


def add_lifetimes(app: FastAPI, services: Services, base_url: str) -> None:
    @app.post("/assets/{asset_id}/promote", response_model=assets.AssetOut, tags=["assets"])
    def promote_asset(request: Request, asset_id: str) -> Response:
        """Keep an asset that would expire; its bytes and its URL stay as they are."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        kept = services.lifetimes.promote(who.account_id, asset_id_of(asset_id))
        return json_answer(assets.asset_out(kept, base_url=base_url))

    @app.put("/assets/{asset_id}/lifetime", response_model=assets.AssetOut, tags=["assets"])
    def set_lifetime(request: Request, asset_id: str, body: SetLifetime) -> Response:
        """Let an asset live longer or shorter than it would."""
        who = principal(request)
        who.require(Scope.FILES_WRITE)
        changed = services.lifetimes.limit(who.account_id, asset_id_of(asset_id), lifetime_of(body.expires_in))
        return json_answer(assets.asset_out(changed, base_url=base_url))
