"""Model uploads: begin one, look at it, and what its flow says of it. The work is `workflows/model_upload`'s.

Uploads for one AIR go one after another, in the order in which they were accepted: so the last word is the newest's,
and one that brings what is there already finds it. All of them, and whoever else changes the model, take the lock of
`ModelRepository.own` first.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from penstock.domain import model_uploads as rules
from penstock.domain.air import parse_air
from penstock.domain.assets import is_readable
from penstock.domain.egress import UrlRefusedError, parse_url, shown_url
from penstock.domain.errors import (
    AssetNotFound,
    InvalidField,
    ModelUploadConflict,
    QuotaExceeded,
    RateLimited,
    SourceNotOwned,
)
from penstock.domain.events import EventKind
from penstock.domain.ids import JobId, ModelId, ModelUploadId, RunId
from penstock.domain.model_cards import check_given, merged
from penstock.domain.model_uploads import ModelUpload, Phase
from penstock.domain.models import RegisteredModel
from penstock.domain.weights import Declaration
from penstock.services.callbacks import SILENT
from penstock.services.identity import new_id
from penstock.services.paging import Page, check_limit, decode_cursor, page_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.domain.egress import EgressRules
    from penstock.domain.ids import AccountId, AssetId
    from penstock.domain.models import ModelCard, ModelFile
    from penstock.domain.webhooks import Callback
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database, Transaction
    from penstock.services.callbacks import Callbacks

MODEL_JOB = "model_upload"
"""Payload `{model_upload_id}`."""
MOST_FOR_ONE_AIR = 100
"""Uploads for one AIR that have not ended: each waits for those before it, and looks at them when it begins (P9)."""
_FULL_RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModelUpload:
    """What a caller asks. `given` is what they say of the model, by the names of `ModelCard`, as JSON.

    The file comes from a URL or from an asset; of neither, it is the one that is there. `needs_balance`: whether the
    caller's API asks for a balance also while storage is free.
    """

    air: str
    given: Mapping[str, object] = field(default_factory=dict)
    source_url: str | None = field(default=None, repr=False)
    asset_id: AssetId | None = None
    needs_balance: bool = False


class CreditCheck(Protocol):
    """Decides whether an account may bring one more file."""

    def __call__(self, tx: Transaction, account_id: AccountId, *, also_free: bool) -> None:
        """`also_free`: ask for a balance while storage is free, too. Raises `InsufficientCredits`."""
        ...


def _anybody(tx: Transaction, account_id: AccountId, *, also_free: bool) -> None:
    """Nobody needs a balance."""


class ModelUploads:
    """Use cases on model uploads. `check_credit` raises `InsufficientCredits` for who may bring no new file now.

    `architectures`: what the operator lets models be declared as beside what everybody knows. `most_open`: how many
    uploads of one account may be on their way (None: any number).
    """

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        database: Database,
        rules: EgressRules,
        *,
        clock: Clock,
        entropy: Entropy,
        callbacks: Callbacks = SILENT,
        check_credit: CreditCheck = _anybody,
        architectures: tuple[str, ...] = (),
        most_open: int | None = None,
    ) -> None:
        self._database = database
        self._rules = rules
        self._clock = clock
        self._entropy = entropy
        self._callbacks = callbacks
        self._check_credit = check_credit
        self._architectures = architectures
        self._most_open = most_open

    def begin(
        self,
        account_id: AccountId,
        wanted: NewModelUpload,
        *,
        dialect: str,
        client_ref: str | None = None,
        callback: Callback | None = None,
    ) -> ModelUpload:
        """Accept what is said of a model, and have its file brought.

        What goes on already under the same `client_ref`, and is the same, is returned as it stands; a failed one frees
        its name (RU-17, RU-18, RU-57). Raises `InvalidField`, `InvalidFields`, `SourceNotOwned` (whoever's it is, P11),
        `AssetNotFound`, `ModelUploadConflict`, `InsufficientCredits`, `RateLimited` where too many wait for one AIR,
        `QuotaExceeded` where too many of the account do. Nothing is connected to here.
        """
        upload = self._asked(account_id, wanted, dialect=dialect, client_ref=client_ref, callback=callback)
        with self._database.write() as tx:
            live = self._live(tx, upload)
            known = self._named(tx, upload)
            if known is not None:
                return known
            self._require(tx, upload, live, needs_balance=wanted.needs_balance)
            if not tx.model_uploads.add(upload):
                # Somebody used the name for another AIR, at the same moment.
                known = self._named(tx, upload)
                if known is None:
                    raise ModelUploadConflict(_CONFLICT)
                return known
            self._start(tx, upload)
            self._require_place(tx, account_id, begun=1)
        return upload

    def check(
        self, account_id: AccountId, wanted: NewModelUpload, *, dialect: str, callback: Callback | None = None
    ) -> None:
        """Look at all that `begin` looks at, and begin nothing. Raises what it does for an upload without a name."""
        upload = self._asked(account_id, wanted, dialect=dialect, client_ref=None, callback=callback)
        with self._database.write() as tx:  # a reader has no `own`
            self._require(tx, upload, self._live(tx, upload), needs_balance=wanted.needs_balance)
            self._require_place(tx, account_id, begun=0)

    def get(self, account_id: AccountId, upload_id: ModelUploadId) -> ModelUpload:
        """Raises `ModelUploadNotFound`."""
        with self._database.read() as tx:
            return tx.model_uploads.get(account_id, upload_id)

    def by_ref(self, account_id: AccountId, *, dialect: str, client_ref: str) -> ModelUpload | None:
        """The newest upload that its caller called so."""
        with self._database.read() as tx:
            return tx.model_uploads.by_ref(account_id, dialect=dialect, client_ref=client_ref)

    def page(self, account_id: AccountId, *, cursor: str | None, limit: int) -> Page[ModelUpload]:
        """Newest first. Raises `InvalidCursor`, `InvalidField`."""
        check_limit(limit)
        with self._database.read() as tx:
            found = tx.model_uploads.page(account_id, below=decode_cursor(cursor), limit=limit + 1)
        return page_of(found, limit, lambda upload: (upload.created_at, upload.id))

    # What the flow calls, in its own transactions.

    def declaration(self, tx: Transaction, upload: ModelUpload) -> Declaration:
        """What the model will be said to be. Raises `InvalidField`: what is there may have changed since."""
        card = self._card(tx, upload)
        return Declaration(
            category=card.category, architecture=card.architecture, type=card.type, conditioning=card.conditioning
        )

    def kept(self, tx: Transaction, upload: ModelUpload) -> ModelFile | None:
        """The file that is there already for what the upload brings, to be asked when it is its turn (RU-30).

        Raises `InvalidField` when there is none, and it brings none.
        """
        live = tx.models.own(upload.account_id, upload.air)
        card = self._card(tx, upload)
        if live is not None and live.card.unique_identifier == card.unique_identifier:
            return tx.model_files.get(upload.account_id, live.file_id)
        if upload.source_url is None and upload.asset_id is None:
            raise _needs_file()
        return None

    def finish(self, tx: Transaction, upload: ModelUpload, file: ModelFile) -> ModelUpload:
        """The last phase: the model can be used, with all that was given, and that is told.

        Raises `InvalidField`, `IllegalTransition`.
        """
        now = self._clock.now()
        live = tx.models.own(upload.account_id, upload.air)
        card = merged(live.card if live is not None else None, upload.given)
        air = parse_air(upload.air)
        tx.models.put(
            RegisteredModel(
                id=live.id if live is not None else ModelId(new_id(self._entropy)),
                account_id=upload.account_id,
                air=upload.air,
                source=air.source,
                number=air.number,
                version=air.version,
                card=card,
                file_id=file.id,
                created_at=live.created_at if live is not None else now,
                updated_at=now,
            )
        )
        done = rules.deployed(upload, now=now)
        return self._end(tx, upload, done, EventKind.MODEL_READY, {"air": upload.air})

    def fail(
        self, tx: Transaction, upload: ModelUpload, *, code: str, error: str, field: str | None = None
    ) -> ModelUpload:
        """The upload came to nothing, which is told; the model is as it was. Raises `IllegalTransition`."""
        over = rules.failed(upload, code=code, error=error, field=field, now=self._clock.now())
        told = {"reason": error, "code": code, "field": field}
        return self._end(tx, upload, over, EventKind.MODEL_FAILED, told)

    def _end(
        self, tx: Transaction, upload: ModelUpload, over: ModelUpload, kind: EventKind, told: Mapping[str, object]
    ) -> ModelUpload:
        now = self._clock.now()
        if over.source_url is not None:
            over = replace(over, source_url=shown_url(over.source_url))  # its query may be a secret: needed no more
        if not tx.model_uploads.replace(over, was=upload.phase):
            msg = f"model upload {upload.id} is no longer {upload.phase.value}"
            raise AssertionError(msg)
        tx.events.add(upload.account_id, upload.id, kind, told, now=now)
        tx.assets.release(_holder(upload))
        self._callbacks.model_ended(tx, over)
        waiting = [one.id for one in tx.model_uploads.going_on(upload.account_id, upload.air, limit=1)]
        tx.jobs.wake(MODEL_JOB, waiting, now=now)
        return over

    def _asked(
        self,
        account_id: AccountId,
        wanted: NewModelUpload,
        *,
        dialect: str,
        client_ref: str | None,
        callback: Callback | None,
    ) -> ModelUpload:
        """What would begin, as far as it can be told without looking at what is there."""
        air = parse_air(wanted.air)
        given = check_given(wanted.given, architectures=self._architectures)
        source_url = self._source(wanted.source_url)
        callback_url = self._callbacks.check(dialect, callback) if callback is not None else None
        return ModelUpload(
            id=ModelUploadId(new_id(self._entropy)),
            account_id=account_id,
            dialect=dialect,
            client_ref=client_ref,
            air=str(air),
            given=given,
            fingerprint=_fingerprint(str(air), given, source_url, wanted.asset_id, callback_url),
            source_url=source_url,
            asset_id=wanted.asset_id,
            phase=Phase.VALIDATED,
            callback_url=callback_url,
            created_at=self._clock.now(),
        )

    def _live(self, tx: Transaction, upload: ModelUpload) -> RegisteredModel | None:
        """The model that the AIR stands for. Raises `SourceNotOwned`."""
        source = parse_air(upload.air).source
        if not tx.models.owns(upload.account_id, source):
            raise SourceNotOwned(source)
        return tx.models.own(upload.account_id, upload.air)

    def _source(self, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            place = parse_url(url)
        except UrlRefusedError as error:
            raise InvalidField(("source_url",), str(error), rule="url") from error
        if self._rules.refuses_at_sight(place):
            raise InvalidField(
                ("source_url",),
                "its address or port is not one that is fetched from, unless the operator allows it",
                rule="url_refused",
            )
        return place.url

    def _named(self, tx: Transaction, upload: ModelUpload) -> ModelUpload | None:
        """The one that goes on under the same name, if it is the same. Raises `ModelUploadConflict`."""
        if upload.client_ref is None:
            return None
        known = tx.model_uploads.by_ref(upload.account_id, dialect=upload.dialect, client_ref=upload.client_ref)
        if known is None or known.phase is Phase.FAILED:
            return None
        if known.phase is Phase.READY or known.fingerprint != upload.fingerprint:
            raise ModelUploadConflict(_CONFLICT)
        return known

    def _require(
        self, tx: Transaction, upload: ModelUpload, live: RegisteredModel | None, *, needs_balance: bool
    ) -> None:
        """All that can be told before the file is seen."""
        card = merged(live.card if live is not None else None, upload.given)
        if upload.source_url is not None and upload.asset_id is not None:
            raise InvalidField(("asset_id",), "the file comes from a URL or from an asset, not from both")
        if upload.asset_id is not None:
            asset = tx.assets.get(upload.account_id, upload.asset_id)
            if not is_readable(asset, at=upload.created_at) and not tx.assets.is_leased(asset.id):
                raise AssetNotFound(upload.asset_id)
        before = live.card.unique_identifier if live is not None else None
        others = tx.model_uploads.going_on(upload.account_id, upload.air, limit=MOST_FOR_ONE_AIR)
        if len(others) >= MOST_FOR_ONE_AIR:
            raise RateLimited(retry_after=_FULL_RETRY_SECONDS)
        for other in others:
            before = str(other.given.get("unique_identifier", before))
        if before == card.unique_identifier:
            return
        if upload.source_url is None and upload.asset_id is None:
            raise _needs_file()
        self._check_credit(tx, upload.account_id, also_free=needs_balance)

    def _require_place(self, tx: Transaction, account_id: AccountId, *, begun: int) -> None:
        """That one more may be on its way; of those that are, the transaction has added `begun`. To be asked last."""
        most = self._most_open
        if most is None:
            return
        used = tx.quotas.open_model_uploads(account_id, most=most + 1) - begun
        if used >= most:
            raise QuotaExceeded(what="model uploads on their way", limit=most, used=used, needed=1)

    def _start(self, tx: Transaction, upload: ModelUpload) -> None:
        if upload.asset_id is not None:
            tx.assets.lease(_holder(upload), [upload.asset_id])
        tx.events.add(
            upload.account_id, upload.id, EventKind.MODEL_VALIDATED, {"air": upload.air}, now=upload.created_at
        )
        tx.jobs.enqueue(
            MODEL_JOB,
            {"model_upload_id": upload.id},
            job_id=JobId(new_id(self._entropy)),
            now=upload.created_at,
            dedupe_key=upload.id,
            account_id=upload.account_id,
        )

    def _card(self, tx: Transaction, upload: ModelUpload) -> ModelCard:
        live = tx.models.own(upload.account_id, upload.air)
        return merged(live.card if live is not None else None, upload.given)


_CONFLICT = "that name stands for another model upload already"


def _holder(upload: ModelUpload) -> RunId:
    """Under which an upload leases the asset that it reads; ids of all kinds are random, so no run has it."""
    return RunId(upload.id)


def _needs_file() -> InvalidField:
    return InvalidField(("source_url",), "is required: these bytes are not here yet", rule="missing")


def _fingerprint(*parts: object) -> str:
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
