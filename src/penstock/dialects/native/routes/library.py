"""Routes of the library: listings, changes of assets, what happens to many at once, tags."""

from __future__ import annotations

from datetime import datetime
from inspect import signature
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import Response

from penstock.dialects.base import Services
from penstock.dialects.base.access import file_reader, file_writer
from penstock.dialects.native.routes.common import Cursor, Limit, asset_id_of, folder_id_of, json_answer, run_id_of
from penstock.dialects.native.wire import assets, library
from penstock.domain.errors import AssetNotFound, InvalidField
from penstock.domain.ids import AccountId, AssetId
from penstock.domain.library import MAX_QUERY, AssetFilter, Change
from penstock.domain.media_types import Kind
from penstock.domain.tags import clean_tags
from penstock.services.library import Outcome

Text = Annotated[str | None, Query(max_length=MAX_QUERY)]
KindName = Literal["image", "video", "audio", "model", "other"]
TagPrefix = Annotated[str, Query(max_length=MAX_QUERY, description="How the tags begin.")]


def asset_filter(  # noqa: PLR0913 - the parameters of a query
    *,
    q: Annotated[Text, Query(description="Words in name or tags, all of them; the last as a beginning.")] = None,
    name: Annotated[Text, Query(description="How the name begins, whatever case and accents.")] = None,
    content_type: Annotated[Text, Query(description="Media type, or all of a sort as in `image/*`.")] = None,
    kind: Annotated[KindName | None, Query(description="What sort of thing it is.")] = None,
    folder_id: Annotated[str | None, Query(description="The folder it is in; `none`: in none.")] = None,
    tag: Annotated[list[str] | None, Query(description="Tags that it has, all of them. May be repeated.")] = None,
    run_id: Annotated[str | None, Query(description="The run that made it.")] = None,
    min_size: Annotated[int | None, Query(ge=0, le=2**63 - 1, description="In bytes.")] = None,
    max_size: Annotated[int | None, Query(ge=0, le=2**63 - 1, description="In bytes.")] = None,
    created_from: Annotated[datetime | None, Query(description="Created at this time or later.")] = None,
    created_before: Annotated[datetime | None, Query(description="Created before this time.")] = None,
    deleted: Annotated[bool, Query(description="The trash instead of the library.")] = False,
    sort: Annotated[Literal["-created_at", "created_at"], Query(description="Newest or oldest first.")] = "-created_at",
) -> AssetFilter:
    """What a listing is asked for."""
    return AssetFilter(
        query=q,
        name=name,
        content_type=content_type,
        kind=Kind(kind) if kind is not None else None,
        folder_id=folder_id_of(folder_id) if folder_id not in {None, "none"} else None,
        at_top=folder_id == "none",
        tags=clean_tags(tag or (), field="tag"),
        run_id=run_id_of(run_id) if run_id is not None else None,
        min_size=min_size,
        max_size=max_size,
        created_from=_aware(created_from, "created_from"),
        created_before=_aware(created_before, "created_before"),
        deleted=deleted,
        ascending=sort == "created_at",
    )


_PARAMETERS = frozenset(signature(asset_filter).parameters) | {"limit", "cursor"}


def add_library(app: FastAPI, services: Services, base_url: str) -> None:
    @app.get("/assets", response_model=library.AssetPage, tags=["assets"])
    def list_assets(
        request: Request,
        wanted: Annotated[AssetFilter, Depends(asset_filter)],
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> Response:
        """Assets that fit all that is asked, newest first; of the trash the latest deleted first.

        Each page looks at so many assets at most, so it may hold fewer than `limit` and still have a `next_cursor`.
        """
        account_id = file_reader(request)
        _require_known_parameters(request)
        page = services.library.page(account_id, wanted, cursor=cursor, limit=limit)
        data = [assets.asset_out(asset, base_url=base_url) for asset in page.items]
        return json_answer(library.AssetPage(data=data, next_cursor=page.next_cursor))

    @app.patch("/assets/{asset_id}", response_model=assets.AssetOut, tags=["assets"])
    def change_asset(request: Request, asset_id: str, body: library.ChangeAsset) -> Response:
        """Change name, folder or tags."""
        change = Change(
            name=body.filename,
            to_folder="folder_id" in body.model_fields_set,
            folder_id=folder_id_of(body.folder_id) if body.folder_id is not None else None,
            tags=tuple(body.tags) if body.tags is not None else None,
        )
        changed = services.library.change(file_writer(request), asset_id_of(asset_id), change)
        return json_answer(assets.asset_out(changed, base_url=base_url))

    @app.post("/assets/{asset_id}/restore", response_model=assets.AssetOut, tags=["assets"])
    def restore_asset(request: Request, asset_id: str) -> Response:
        """Bring a deleted asset back from the trash: to its folder, or to the top if that is gone."""
        back = services.library.restore(file_writer(request), asset_id_of(asset_id))
        return json_answer(assets.asset_out(back, base_url=base_url))

    @app.post("/assets/bulk", response_model=library.BulkAnswer, tags=["assets"])
    def change_assets(request: Request, body: library.BulkRequest) -> Response:
        """Move, tag, untag, delete or restore up to 1000 assets, with a result for each."""
        account_id = file_writer(request)
        ids = {text: _asset_id_or_none(text) for text in body.ids}
        known = [asset_id for asset_id in ids.values() if asset_id is not None]
        errors = {one.asset_id: one.error for one in _act(services, account_id, known, body)}
        results = [
            library.bulk_result(text, errors[found] if (found := ids[text]) is not None else AssetNotFound(text))
            for text in body.ids
        ]
        return json_answer(library.BulkAnswer(data=results))

    @app.get("/tags", response_model=library.TagPage, tags=["assets"])
    def list_tags(request: Request, prefix: TagPrefix = "", limit: Limit = 20, cursor: Cursor = None) -> Response:
        """The tags in use, by name."""
        page = services.library.tags(file_reader(request), prefix=prefix, cursor=cursor, limit=limit)
        return json_answer(library.TagPage(data=list(page.items), next_cursor=page.next_cursor))


def _act(services: Services, account_id: AccountId, ids: list[AssetId], body: library.BulkRequest) -> list[Outcome]:
    match body.action:
        case "move":
            if "folder_id" not in body.model_fields_set:
                raise InvalidField(("folder_id",), "must say where to; null is the top", rule="missing")
            folder_id = folder_id_of(body.folder_id) if body.folder_id is not None else None
            return services.library.move(account_id, ids, folder_id)
        case "tag" | "untag":
            if body.tags is None:
                raise InvalidField(("tags",), "must say which", rule="missing")
            verb = services.library.tag if body.action == "tag" else services.library.untag
            return verb(account_id, ids, body.tags)
        case "delete":
            return services.library.delete(account_id, ids)
        case "restore":
            return services.library.bring_back(account_id, ids)


def _asset_id_or_none(text: str) -> AssetId | None:
    try:
        return asset_id_of(text)
    except AssetNotFound:
        return None


def _aware(time: datetime | None, field: str) -> datetime | None:
    """Raises `InvalidField` for a time that says nothing of its zone."""
    if time is not None and time.tzinfo is None:
        raise InvalidField((field,), "must name its offset from UTC, such as Z")
    return time


def _require_known_parameters(request: Request) -> None:
    """A misspelt filter would show everything, and what is shown may be deleted next. Raises `InvalidField`."""
    for name in request.query_params:
        if name not in _PARAMETERS:
            raise InvalidField((name,), "is no parameter of this request", rule="unknown")
