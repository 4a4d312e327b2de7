"""Runs: submit, look, cancel. What happens in between is the run workflow's."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain import ledger
from penstock.domain import runs as rules
from penstock.domain.assets import Asset, is_readable
from penstock.domain.assets import deleted as asset_deleted
from penstock.domain.errors import AssetNotFound, InvalidField
from penstock.domain.events import EventKind
from penstock.domain.foreign import ReferenceRules, WantedFile
from penstock.domain.idempotency import require_same
from penstock.domain.ids import AssetId, JobId, RunId
from penstock.domain.library import NUL
from penstock.domain.references import is_data_uri
from penstock.domain.runs import Run, RunState
from penstock.ports.events import IdempotencyRaceError
from penstock.services.callbacks import SILENT
from penstock.services.identity import new_id
from penstock.services.paging import Page, check_limit, decode_cursor, page_of
from penstock.services.run_ends import end_run
from penstock.services.run_files import Fetched, RunFiles
from penstock.services.run_inputs import fitting_input, fitting_kinds, given_name, kept_input, refuse_urls
from penstock.services.run_logs import log_lines
from penstock.services.runnable import Runnables, UsedModels

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from penstock.domain.catalog import Catalog, CheckedInput, Model
    from penstock.domain.events import Event
    from penstock.domain.idempotency import IdempotentRequest
    from penstock.domain.ids import AccountId
    from penstock.domain.runs import RunFilter, Standing
    from penstock.domain.webhooks import Callback
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database, Transaction
    from penstock.services.callbacks import Callbacks
    from penstock.services.references import References
    from penstock.services.run_terms import RunTerms

PAYLOAD_JOB = "payload_removal"
_VERB = "submit_run"
_APART = timedelta(microseconds=1)
"""Between runs that are asked for at once, so that they stand in a line in the order that they were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a caller asks. `references` are the rules for what stands in file fields beside uploaded files.

    `keeps_inputs`: use as an input cancels a file's expiry, for files of the same account. `output_lifetime`: how
    long the files that the run makes live after its end, `payload_lifetime` how long its input and output do; None:
    until deleted. `takes_urls`: whether a file field may
    hold a URL, ours or anybody's, or a data URI. `metadata_limit`: bytes of JSON that metadata of any shape may take;
    None: some strings. `named`: references in other places of the input, each of which must name a file as well.
    `kinds`: inputs that the caller's API takes for files, and of which kinds; what stands there must be such a file,
    also where the model has no such input.
    """

    dialect: str
    model: str
    inputs: Mapping[str, object]
    metadata: Mapping[str, object] = field(default_factory=dict)
    metadata_limit: int | None = None
    keeps_inputs: bool = False
    output_lifetime: timedelta | None = None
    payload_lifetime: timedelta | None = None
    takes_urls: bool = True
    named: tuple[str, ...] = ()
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    references: ReferenceRules = field(default_factory=ReferenceRules)
    callback: Callback | None = None
    client_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of several runs that are asked for at once: plain inputs of its own, which stand above the common ones."""

    inputs: Mapping[str, object] = field(default_factory=dict)
    idempotency: IdempotentRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """What a run's file fields lead to, by canonical name: files that are here, and files that are to be fetched.

    `models` are the registered models that it uses.
    """

    assets: dict[str, Asset] = field(default_factory=dict)
    fetched: dict[str, Fetched] = field(default_factory=dict)
    models: UsedModels = field(default_factory=UsedModels)

    @property
    def ids(self) -> dict[str, AssetId]:
        """The asset of each field; one that is to come has its upload's id."""
        there = {name: asset.id for name, asset in self.assets.items()}
        return there | {name: AssetId(fetched.upload.id) for name, fetched in self.fetched.items()}


_Wanted = tuple[Run, _Files, "IdempotentRequest | None"]


class Runs:
    """Use cases on runs."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        database: Database,
        catalog: Catalog,
        references: References,
        *,
        terms: RunTerms,
        clock: Clock,
        entropy: Entropy,
        callbacks: Callbacks = SILENT,
    ) -> None:
        self._database = database
        self._runnables = Runnables(database, catalog)
        self._references = references
        self._terms = terms
        self._clock = clock
        self._entropy = entropy
        self._callbacks = callbacks
        self._run_files = RunFiles(clock=clock, entropy=entropy, callbacks=callbacks)

    def submit(self, account_id: AccountId, asked: NewRun, *, idempotency: IdempotentRequest | None = None) -> Run:
        """Queue a run: inputs checked and resolved, money held, files leased, all in one transaction.

        Raises `ModelNotFound`, `NoRunner`, `InvalidField`, `InvalidFields`, what resolving a reference raises,
        `InsufficientCredits`, `IdempotencyMismatch`, `RateLimited` (as many as the model lets one account ask for in
        24 hours). On any of them nothing is queued, held, leased or kept. The path of a wrong field begins with `input`
        or `metadata`, or is the callback's. Files of other servers are fetched while the run is queued.
        """
        (run,) = self.submit_several(account_id, asked, (Variant(idempotency=idempotency),))
        return run

    def submit_several(self, account_id: AccountId, asked: NewRun, variants: Sequence[Variant]) -> Sequence[Run]:
        """Queue runs that differ in plain inputs alone, in the order of `variants`: all or none. Raises as `submit`."""
        repeated = self.repeated(account_id, [variant.idempotency for variant in variants])
        if repeated is not None:
            return repeated
        asked = replace(asked, inputs={**asked.inputs, **variants[0].inputs})
        runnable = self._runnables.find(account_id, asked.model)
        model = runnable.model
        metadata = rules.check_metadata(asked.metadata, limit=asked.metadata_limit)
        callback = asked.callback
        callback_url = self._callbacks.check(asked.dialect, callback) if callback is not None else None
        checked = fitting_input(model, asked.inputs)
        if not asked.takes_urls:
            refuse_urls(checked, asked.inputs)
        inputs = kept_input(asked.inputs)
        files = _Files(models=self._runnables.used(account_id, runnable, checked))
        queued: Sequence[Run] = ()
        try:
            self._find_files(account_id, asked, checked, files)
            for text in set(asked.named).difference(text for _, text in checked.files.values()):
                self._references.resolve(account_id, text, path=("input",))
            now = self._clock.now()
            run = Run(
                id=RunId(new_id(self._entropy)),
                account_id=account_id,
                dialect=asked.dialect,
                model=asked.model,
                runner=model.runner,
                runner_model=model.runner_model,
                state=RunState.QUEUED,
                inputs=inputs,
                values={**checked.values, **files.models.values},
                files=files.ids,
                metadata=metadata,
                output=None,
                error=None,
                held=model.price,
                cost=None,
                cancel_requested=False,
                created_at=now,
                started_at=None,
                finished_at=None,
                client_ref=asked.client_ref,
                callback_url=callback_url,
                callback_on=callback.moments if callback is not None else (),
                deadline_at=self._terms.deadline(now),
            )
            each = [(run, files), *(self._varied(run, files, model, asked, variant) for variant in variants[1:])]
            wanted = [
                (replace(one, created_at=now + place * _APART), its, variant.idempotency)
                for place, ((one, its), variant) in enumerate(zip(each, variants, strict=True))
            ]
            queued = self._queue_once(wanted, asked)
        finally:
            used = {asset_id for one in queued for asset_id in one.files.values()}
            inline = [asset for name, asset in files.assets.items() if is_data_uri(checked.files[name][1])]
            self._references.forget(account_id, [asset for asset in inline if asset.id not in used])
        return queued

    def repeated(self, account_id: AccountId, requests: Sequence[IdempotentRequest | None]) -> Sequence[Run] | None:
        """The runs of the same requests as before, whatever became of their models since; None: not all are there.

        Raises `IdempotencyMismatch`.
        """
        if None in requests:
            return None
        with self._database.read() as tx:
            known = [self._known(tx, account_id, request) for request in requests]
        return None if None in known else [run for run in known if run is not None]

    def _varied(self, run: Run, files: _Files, model: Model, asked: NewRun, variant: Variant) -> tuple[Run, _Files]:
        """Another run of the same files and models; what is fetched is fetched for each."""
        inputs = {**asked.inputs, **variant.inputs}
        fetched = {
            name: replace(one, upload=self._references.fetched(run.account_id, one.file, dialect=asked.dialect))
            for name, one in files.fetched.items()
        }
        its = replace(files, fetched=fetched)
        return replace(
            run,
            id=RunId(new_id(self._entropy)),
            inputs=kept_input(inputs),
            values={**fitting_input(model, inputs).values, **files.models.values},
            files=its.ids,
        ), its

    def _find_files(self, account_id: AccountId, asked: NewRun, checked: CheckedInput, files: _Files) -> None:
        """Add to `files` what is found, one after another. Raises what finding one raises, about its field."""
        unused = dict(asked.kinds)
        for name, (field_, text) in checked.files.items():
            given = given_name(field_, asked.inputs)
            accepts = fitting_kinds(field_.accepts, unused.pop(given, ()))
            found = self._references.find(
                account_id, text, path=("input", given), accepts=accepts, rules=asked.references
            )
            if isinstance(found, WantedFile):
                upload = self._references.fetched(account_id, found, dialect=asked.dialect)
                files.fetched[name] = Fetched(field=given, file=found, upload=upload)
            else:
                files.assets[name] = found
        for given, kinds in unused.items():
            text = str(asked.inputs[given])
            found = self._references.find(
                account_id, text, path=("input", given), accepts=kinds, rules=asked.references
            )
            if isinstance(found, Asset) and is_data_uri(text):
                self._references.forget(account_id, [found])

    def counted(self, account_id: AccountId, *, within: timedelta) -> Mapping[str, int]:
        """How many runs were queued lately, by the model's name that was used; those that were removed count."""
        with self._database.read() as tx:
            return tx.runs.counted(account_id, since=self._clock.now() - within)

    def get(self, account_id: AccountId, run_id: RunId) -> Run:
        """Raises `RunNotFound`."""
        with self._database.read() as tx:
            return _there(tx, account_id, run_id)

    def page(self, account_id: AccountId, *, cursor: str | None, limit: int) -> Page[Run]:
        """Newest first. Raises `InvalidCursor`, `InvalidField`."""
        check_limit(limit)
        with self._database.read() as tx:
            found = tx.runs.page(account_id, below=decode_cursor(cursor), limit=limit + 1)
        return page_of(found, limit, lambda run: (run.created_at, run.id))

    def history(self, account_id: AccountId, wanted: RunFilter, *, page: int, limit: int) -> tuple[Sequence[Run], bool]:
        """The runs on that page (from 1), newest first, and whether there are more. `HISTORY` says how far it goes.

        Unlike those of `page`, pages move on when there is something new. Raises `InvalidField`.
        """
        check_limit(limit)
        if wanted.model is not None and NUL in wanted.model:
            raise InvalidField(("model",), "must not hold the character NUL")
        if not 1 <= page <= rules.HISTORY // limit:
            raise InvalidField(("page",), f"must be from 1 to {rules.HISTORY // limit} with that limit")
        with self._database.read() as tx:
            found = tx.runs.history(account_id, wanted, skip=(page - 1) * limit, limit=limit + 1)
        return found[:limit], len(found) > limit

    def standings(self, account_id: AccountId, *, newest: int, beside: Collection[RunId]) -> Sequence[Standing]:
        """Where the `newest` so many runs stand and those `beside`, newest first: for who looks again and again."""
        with self._database.read() as tx:
            return tx.runs.standings(account_id, newest=newest, beside=beside)

    def cancel(self, account_id: AccountId, run_id: RunId) -> Run:
        """Ask for the end of a run: queued ends at once, running when its attempt notices, finished stays.

        Raises `RunNotFound`.
        """
        with self._database.write() as tx:
            run = _there(tx, account_id, run_id)
            return _cancel(tx, run, callbacks=self._callbacks, now=self._clock.now())

    def delete_payloads(self, account_id: AccountId, run_id: RunId) -> tuple[Run, Sequence[AssetId]]:
        """Remove what went into an ended run and what came out, for good; the run itself stays. May be repeated.

        Gives the run, and the files it had made that were still there. Raises `RunNotFound`, `RunNotFinished`.
        """
        now = self._clock.now()
        with self._database.write() as tx:
            run = _there(tx, account_id, run_id)
            cleared = rules.without_payloads(run, now=now)
            return cleared, _clear(tx, run, cleared, now=now)

    def delete(self, account_id: AccountId, run_id: RunId) -> Run:
        """Remove a run with what went in and came out; one that has not ended is cancelled. Nobody finds it then.

        Gives the run as it was. Raises `RunNotFound`.
        """
        now = self._clock.now()
        with self._database.write() as tx:
            run = _there(tx, account_id, run_id)
            ending = _cancel(tx, run, callbacks=self._callbacks, now=now)
            _clear(tx, ending, rules.deleted(ending, now=now), now=now)
        return run

    def place_in_queue(self, run: Run) -> int:
        """How many queued runs are before this one; 0 for a run that waits no more."""
        if run.state is not RunState.QUEUED:
            return 0
        with self._database.read() as tx:
            return tx.runs.queued_before(run)

    def waits_for_place(self, run: Run) -> bool:
        """Whether a queued run waits because as many runs as its model or its account may have are going on."""
        if not self._terms.may_wait(run):  # most pollers ask for runs that do not
            return False
        with self._database.read() as tx:
            return self._terms.must_wait(tx, run)

    def logs(self, account_id: AccountId, run_id: RunId) -> Sequence[Event]:
        """The run's log lines so far (`data`: message, level, source)."""
        with self._database.read() as tx:
            _there(tx, account_id, run_id)
            return log_lines(tx, account_id, run_id)

    def model(self, account_id: AccountId, name: str) -> Model:
        """What a run of that name would be a run of. Raises `ModelNotFound`, `NoRunner`."""
        return self._runnables.find(account_id, name).model

    def price(self, account_id: AccountId, asked: NewRun) -> Decimal:
        """USD of one run, were it asked for; its files are not looked at. Raises as `submit`."""
        runnable = self._runnables.find(account_id, asked.model)
        checked = fitting_input(runnable.model, asked.inputs)
        self._runnables.used(account_id, runnable, checked)
        if asked.callback is not None:
            self._callbacks.check(asked.dialect, asked.callback)
        return runnable.model.price

    def submitted(self, account_id: AccountId, key: str) -> Run | None:
        """The run that was submitted under that idempotency key, as long as the key is remembered."""
        with self._database.read() as tx:
            known = tx.idempotency.find(account_id, _VERB, key)
            if known is None:
                return None
            run = tx.runs.get(account_id, RunId(known[1]))
        return run if run.deleted_at is None else None

    def _known(self, tx: Transaction, account_id: AccountId, idempotency: IdempotentRequest | None) -> Run | None:
        if idempotency is None:
            return None
        known = tx.idempotency.find(account_id, _VERB, idempotency.key)
        if known is None:
            return None
        require_same(idempotency, fingerprint=known[0])
        return tx.runs.get(account_id, RunId(known[1]))

    def _queue_once(self, wanted: Sequence[_Wanted], asked: NewRun) -> Sequence[Run]:
        try:
            return self._queue(wanted, asked)
        except IdempotencyRaceError:
            return self._queue(wanted, asked)

    def _queue(self, wanted: Sequence[_Wanted], asked: NewRun) -> Sequence[Run]:
        with self._database.write() as tx:
            return [self._queue_one(tx, run, files, asked, idempotency) for run, files, idempotency in wanted]

    def _queue_one(
        self, tx: Transaction, run: Run, files: _Files, asked: NewRun, idempotency: IdempotentRequest | None
    ) -> Run:
        now = run.created_at
        if idempotency is not None:
            known = self._known(tx, run.account_id, idempotency)
            if known is not None:
                return known
            tx.idempotency.add(
                run.account_id, _VERB, idempotency.key, fingerprint=idempotency.fingerprint, subject=run.id, now=now
            )
        if run.held > 0:
            last = tx.ledger.last(run.account_id, lock=True)
            tx.ledger.add(ledger.hold(last, run.held, account_id=run.account_id, run_id=run.id, now=now))
        self._terms.require_day(tx, run, now=now)
        tx.runs.add(run)
        self._runnables.lease(tx, run.id, files.models, now=now)
        self._lease(tx, run, files.assets, keeps=asked.keeps_inputs)
        tx.events.add(run.account_id, run.id, EventKind.RUN_QUEUED, {"model": run.model}, now=now)
        self._run_files.begin(tx, run, files.fetched, job=_job_payload(run, asked))
        if asked.payload_lifetime is not None:
            self._remove_payloads_later(tx, run, asked.payload_lifetime)
        return run

    def _remove_payloads_later(self, tx: Transaction, run: Run, lifetime: timedelta) -> None:
        tx.jobs.enqueue(
            PAYLOAD_JOB,
            {"run_id": run.id, "keep_seconds": int(lifetime.total_seconds())},
            job_id=JobId(new_id(self._entropy)),
            now=run.created_at,
            run_at=run.created_at + lifetime,
            dedupe_key=run.id,
            account_id=run.account_id,
        )

    def _lease(self, tx: Transaction, run: Run, files: Mapping[str, Asset], *, keeps: bool) -> None:
        """Look once more inside the transaction: an asset may have been deleted or expired since it was resolved.

        Always in the same order, so that two runs that name the same assets do not wait for each other.
        """
        wanted = sorted(files.values(), key=lambda asset: asset.id)
        for asset in wanted:
            current = tx.assets.get(asset.account_id, asset.id)
            if not is_readable(current, at=run.created_at):
                raise AssetNotFound(asset.id)
            if keeps and current.expires_at is not None and current.account_id == run.account_id:
                tx.assets.replace(replace(current, expires_at=None))
        tx.assets.lease(run.id, [asset.id for asset in wanted])


def _there(tx: Transaction, account_id: AccountId, run_id: RunId) -> Run:
    run = tx.runs.get(account_id, run_id)
    rules.require_there(run)
    return run


def _cancel(tx: Transaction, run: Run, *, callbacks: Callbacks, now: datetime) -> Run:
    """The run after the wish to cancel it. The transaction holds its row: nobody changes its state meanwhile."""
    wanted = rules.cancel_wanted(run, now=now)
    if wanted == run:
        return run
    if wanted.state is RunState.CANCELLED:
        end_run(tx, wanted, EventKind.RUN_CANCELLED, {}, was=run.state, callbacks=callbacks)
    else:
        tx.runs.replace(wanted, was=run.state)
    return wanted


def _clear(tx: Transaction, run: Run, cleared: Run, *, now: datetime) -> list[AssetId]:
    """Write what was removed of a run, and throw away for good the files that it made; those that were still there."""
    if cleared == run:
        return []
    tx.runs.clear(cleared)
    tx.deliveries.forget_run(run.account_id, run.id)
    if not rules.is_finished(run):
        return []
    gone: list[AssetId] = []
    for asset_id in map(AssetId, rules.output_assets(run.output)):
        with contextlib.suppress(AssetNotFound):
            asset = tx.asset_sweeps.known(run.account_id, asset_id)
            thrown_away = asset_deleted(asset, now=now, trash=timedelta(0))
            if asset.purged_at is None and thrown_away != asset:
                tx.assets.replace(thrown_away)
                gone.append(asset_id)
    return gone


def _job_payload(run: Run, asked: NewRun) -> dict[str, object]:
    payload: dict[str, object] = {"run_id": run.id, "account_id": run.account_id}
    if asked.output_lifetime is not None:
        payload["output_lifetime_seconds"] = int(asked.output_lifetime.total_seconds())
    return payload
