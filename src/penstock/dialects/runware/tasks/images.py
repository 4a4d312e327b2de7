"""`imageInference`: one run for each picture that is asked for, told as they end (contract §12)."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from penstock.dialects.runware import image_wire as wire
from penstock.dialects.runware.media_wire import REFERENCES, media_url
from penstock.dialects.runware.rooms import MOST_OF_ANSWER
from penstock.dialects.runware.task import Following, Refusal, Task
from penstock.dialects.runware.tasks.lookup import Lookup
from penstock.domain.accounts import Scope
from penstock.domain.errors import InvalidField, InvalidFields, PenstockError, RateLimited, ReferenceInvalid
from penstock.domain.events import RUN_FINALS
from penstock.domain.ids import AssetId
from penstock.domain.media_types import Kind
from penstock.domain.runs import RunState, is_finished, output_assets
from penstock.domain.webhooks import Callback, Moment
from penstock.services.runs import NewRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.dialects.base import Services
    from penstock.dialects.runware.image_wire import ImageTask
    from penstock.dialects.runware.rooms import Room
    from penstock.dialects.runware.task import Answer, Call, Item
    from penstock.domain.assets import Asset
    from penstock.domain.events import Event
    from penstock.domain.ids import AccountId
    from penstock.domain.runs import Run

DIALECT = "runware"
_INPUT = "input"


def image_tasks(services: Services, base_url: str) -> Mapping[str, Task]:
    """The task type. Sent again, a task is answered with the runs that it has."""

    def infer(call: Call) -> Answer:
        """One picture after another as they are made; of an asynchronous task only that it was accepted."""
        account_id = call.allowed(Scope.RUNS_WRITE)
        task = wire.parse_image_task(call.task)
        try:
            if call.dry_run:
                price = services.runs.price(account_id, _asked(services, account_id, task, call))
                return [{"dryRun": True, "cost": float(price * task.results)}]
            runs = _submitted(services, account_id, task, call)
        except PenstockError as error:
            raise _in_its_words(error) from error
        if not task.waits:
            return [{}]
        following: Following | None = None
        for run in reversed(runs):
            render = partial(_rendered, services, base_url, run, call.room)
            following = Following(subject=run.id, finals=RUN_FINALS, render=render, then=following)
        return following or []

    return {wire.TASK: Task(handle=infer, follows=True, honours_dry_run=True)}


def image_lookup(services: Services, base_url: str) -> Lookup:
    """Pictures that are asked about later; as long as the keys of repeated requests are remembered."""

    def response(account_id: AccountId, task_uuid: str, room: Room) -> Sequence[Item | Refusal] | None:
        runs = _runs_of(services, account_id, task_uuid)
        if not runs:
            return None
        told: list[Item | Refusal] = []
        for run in runs:
            if is_finished(run):
                told += [_succeeded(part) for part in _ended(services, base_url, run, room)]
        if not all(is_finished(run) for run in runs):
            told.append({"status": "processing"})
        return told

    def request(account_id: AccountId, task_uuid: str) -> Mapping[str, object] | None:
        runs = _runs_of(services, account_id, task_uuid)
        return wire.request_of(runs[0], task_uuid) if runs else None

    return Lookup(task_type=wire.TASK, scope=Scope.RUNS_READ, response=response, request=request)


def _submitted(services: Services, account_id: AccountId, task: ImageTask, call: Call) -> Sequence[Run]:
    requests = wire.requests(task, call.task_uuid, call.task)
    repeated = services.runs.repeated(account_id, requests)
    if repeated is not None:  # also where its model is not there any more
        return repeated
    variants = wire.variants(task, services.runs.model(account_id, task.model), call.task_uuid, requests)
    return services.runs.submit_several(account_id, _asked(services, account_id, task, call), variants)


def _asked(services: Services, account_id: AccountId, task: ImageTask, call: Call) -> NewRun:
    webhook = task.webhook_url
    return NewRun(
        dialect=DIALECT,
        model=task.model,
        inputs=wire.model_inputs(task, services.runs.model(account_id, task.model)),
        metadata=wire.metadata_of(task),
        output_lifetime=services.lifetimes.classes.outputs,
        references=REFERENCES,
        callback=None if webhook is None else Callback(url=webhook, moments=(Moment.ENDED,), field_name="webhookURL"),
        client_ref=call.task_uuid,
    )


def _runs_of(services: Services, account_id: AccountId, task_uuid: str) -> list[Run]:
    """In the order of the pictures; those that their owner removed by another API are left out."""
    first = services.runs.submitted(account_id, wire.key_of(task_uuid, 0))
    if first is None:
        return []
    places = range(1, wire.number_of_results([first]))
    others = (services.runs.submitted(account_id, wire.key_of(task_uuid, place)) for place in places)
    return [first, *(run for run in others if run is not None)]


def _rendered(services: Services, base_url: str, run: Run, room: Room, event: Event) -> Sequence[Item | Refusal]:
    if event.kind not in RUN_FINALS:
        return []
    return _ended(services, base_url, services.runs.get(run.account_id, run.id), room)


def _ended(services: Services, base_url: str, run: Run, room: Room) -> Sequence[Item | Refusal]:
    if run.state is not RunState.SUCCEEDED:
        return [Refusal(error=wire.failure_of(run))]
    made = services.assets.many(run.account_id, tuple(map(AssetId, output_assets(run.output))))
    pictures = [asset for asset in made.values() if asset.kind is Kind.IMAGE]
    if not pictures:
        return [Refusal(error=wire.NO_PICTURE)]
    # A share for each picture of each run: a larger one is told by its URL, for it was made and is paid for (inferred).
    most = MOST_OF_ANSWER // (wire.number_of_results([run]) * len(pictures)) if wire.wants_bytes(run) else 0
    with ExitStack() as unless_told:  # it may be asked for once more
        told = [
            _picture(services, base_url, run, asset, room if asset.size <= most else None, unless_told)
            for asset in pictures
        ]
        unless_told.pop_all()
    return told


def _picture(
    services: Services, base_url: str, run: Run, asset: Asset, room: Room | None, unless_told: ExitStack
) -> Item | Refusal:
    """One picture; with its bytes, if there is to be room for them."""
    data: bytes | None = None
    if room is not None:
        try:
            room.take(asset.size)
        except RateLimited:
            return Refusal(error=wire.NO_ROOM)
        unless_told.callback(room.give_back, asset.size)
        data = services.contents.read(asset, most=asset.size)
    return wire.image_item(run, asset, url=media_url(asset.media_key, base_url=base_url), data=data)


def _succeeded(part: Item | Refusal) -> Item | Refusal:
    return part if isinstance(part, Refusal) else {"status": "success", **part}


def _in_its_words(error: PenstockError) -> PenstockError:
    """The same, at the task's own parameter: what the model takes stands beside everything else."""
    if isinstance(error, InvalidFields):
        error = error.fields[0]
    if isinstance(error, InvalidField) and error.path[:1] == (_INPUT,):
        path = error.path[1:]
        if path == ("prompt",) and error.rule == "missing":  # the catalog's word for what nobody gave
            path = ("positivePrompt",)
        return InvalidField(path, error.reason, rule=error.rule, facts=error.facts)
    if isinstance(error, ReferenceInvalid) and error.path[:1] == (_INPUT,):
        return ReferenceInvalid(error.path[1:], error.reason, rule=error.rule)
    if error.at[:1] == (_INPUT,):
        return error.about(error.at[1:])
    return error
