"""What all of ModelRunner's routes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Header, Request
from fastapi.responses import Response

from penstock.dialects.modelrunner.wire import common, requests
from penstock.domain.ids import AssetId
from penstock.domain.runs import output_assets, require_finished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from penstock.dialects.base import Services
    from penstock.domain.assets import Asset
    from penstock.domain.foreign import ReferenceRules
    from penstock.domain.runs import Run

NAME = "modelrunner"

Lifecycle = Annotated[str | None, Header(alias=common.LIFECYCLE_HEADER)]
StoreIO = Annotated[str | None, Header(alias=requests.STORE_IO_HEADER)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """What holds for every request: whether its inputs are kept from expiring, and which references they may be."""

    keeps_inputs: bool
    references: ReferenceRules


def json_answer(
    body: BaseModel, status: int = 200, *, request_id: str | None = None, exclude_none: bool = False
) -> Response:
    """`request_id` goes into the header where the JS client looks for the id of its request."""
    content = body.__pydantic_serializer__.to_json(body, by_alias=True, exclude_none=exclude_none)
    headers = {common.REQUEST_ID_HEADER: request_id} if request_id is not None else None
    return Response(content, status_code=status, media_type="application/json", headers=headers)


def result(services: Services, run: Run, base_url: str) -> Response:
    """A finished request. Raises `RunNotFinished`."""
    shown = finished_result(services, run, base_url)
    return json_answer(shown, requests.result_of(run), request_id=shown.id)


def finished_result(services: Services, run: Run, base_url: str) -> requests.ResultOut:
    """A finished request's result. Raises `RunNotFinished`."""
    require_finished(run)
    assets = made_by(services, [run])
    return requests.result_out(run, assets=assets, base_url=base_url, lines=services.runs.logs(run.account_id, run.id))


def made_by(services: Services, runs: Sequence[Run]) -> dict[AssetId, Asset]:
    """The files that runs of one account made and that can still be read."""
    made = tuple(AssetId(asset_id) for run in runs for asset_id in output_assets(run.output))
    return services.assets.many(runs[0].account_id, made) if made else {}


def key_secret(request: Request) -> str | None:
    """`Authorization: Key <key>`; a key may hold a colon (`<id>:<secret>`), nothing but Key will do (MR-23)."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "key" else None
