"""Resolving reference strings to assets, in one place. The syntaxes come from the dialects, as parsers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import unquote

from penstock.domain.assets import Asset, type_by_bytes
from penstock.domain.errors import (
    AssetNotFound,
    FileTooLarge,
    PenstockError,
    ReferenceInvalid,
    UploadNotFound,
)
from penstock.domain.foreign import ReferenceRules, WantedFile, check_length, wanted_file
from penstock.domain.media_types import OCTET_STREAM
from penstock.domain.references import (
    AssetReference,
    ForeignUrl,
    InlineData,
    MediaReference,
    SignedReference,
    UploadReference,
    is_data_uri,
    parse_data_uri,
    parse_foreign_url,
)
from penstock.domain.uploads import SizePolicy, UploadPolicy
from penstock.services.contents import Contents, require_kind
from penstock.services.uploads import NewUpload

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from penstock.domain.egress import EgressRules
    from penstock.domain.foreign import InlineRules
    from penstock.domain.ids import AccountId, UploadId
    from penstock.domain.references import Reference
    from penstock.domain.uploads import Upload
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database
    from penstock.ports.objects import ObjectStore
    from penstock.ports.references import ReferenceParser
    from penstock.services.assets import Assets
    from penstock.services.uploads import Uploads


class References:
    """Turns what stands in a file field into an asset."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        database: Database,
        objects: ObjectStore,
        assets: Assets,
        uploads: Uploads,
        *,
        parsers: Sequence[ReferenceParser],
        clock: Clock,
        entropy: Entropy,
        egress: EgressRules,
        max_inline_bytes: int,
        inline_lifetime: timedelta,
    ) -> None:
        """`inline_lifetime` is that of what data URIs and URLs of other servers become."""
        self._database = database
        self._objects = objects
        self._assets = assets
        self._uploads = uploads
        self._parsers = parsers
        self._clock = clock
        self._entropy = entropy
        self._egress = egress
        self._max_inline_bytes = max_inline_bytes
        self._inline_lifetime = inline_lifetime
        self._contents = Contents(database, objects, clock=clock, entropy=entropy)

    def parse(self, text: str) -> Reference:
        """What a string names; our own forms come before foreign URLs. Raises `ReferenceInvalid`, `AssetNotFound`."""
        for parse in self._parsers:
            found = parse(text)
            if found is not None:
                return found
        found = parse_data_uri(text) or self._assets.signed_reference(text) or parse_foreign_url(text)
        if found is None:
            raise ReferenceInvalid((), "is not a reference to a file: give an id, a URL of this server or a data URI")
        return found

    def resolve(
        self, account_id: AccountId, text: str, *, path: tuple[str | int, ...], accepts: tuple[str, ...] = ()
    ) -> Asset:
        """The asset that a string names for this account; `accepts` lists the kinds that fit (empty: any).

        Raises `ReferenceInvalid`, `AssetNotFound`, `FileNotStored`, `FileTypeRefused`, or what admission raises, all
        with the `path` that they are about.
        """
        found = self.find(account_id, text, path=path, accepts=accepts, rules=ReferenceRules(urls=None))
        if isinstance(found, WantedFile):
            msg = "a URL of another server was let through without rules for it"
            raise AssertionError(msg)  # noqa: TRY004 - no caller's fault
        return found

    def find(
        self,
        account_id: AccountId,
        text: str,
        *,
        path: tuple[str | int, ...],
        accepts: tuple[str, ...],
        rules: ReferenceRules,
    ) -> Asset | WantedFile:
        """As `resolve`, under a product's rules; a file of another server is named, and nothing of it fetched yet."""
        try:
            found = self._found(account_id, self._parsed(text, rules.inline), accepts, rules)
            if isinstance(found, Asset):
                require_kind(found.kind, type_by_bytes(found), accepts)
        except ReferenceInvalid as error:
            raise ReferenceInvalid(path, error.reason, rule=error.rule).about(path) from None
        except UploadNotFound as error:
            raise AssetNotFound(error.identifier).about(path) from None
        except PenstockError as error:
            raise error.about(path) from None
        return found

    def fetched(self, account_id: AccountId, file: WantedFile, *, dialect: str) -> Upload:
        """The upload, not kept yet, that a file of another server is to come by."""
        policy = UploadPolicy(
            max_bytes=file.max_bytes,
            url_ttl=file.rules.within,
            fetch_ttl=file.rules.within,
            size_policy=SizePolicy.ADVISORY,
        )
        declared = NewUpload(
            dialect=dialect,
            filename=unquote(file.place.path),
            content_type=OCTET_STREAM,
            size=None,
            lifetime=self._inline_lifetime,
            source_url=file.place.url,
        )
        return self._uploads.declare(account_id, declared, policy)

    def forget(self, account_id: AccountId, assets: Iterable[Asset]) -> None:
        """Take back what data URIs became for a request that was then refused: nobody else knows of it."""
        for asset in assets:
            with contextlib.suppress(AssetNotFound):
                self._assets.forget(account_id, asset.id)

    def _parsed(self, text: str, inline: InlineRules) -> Reference:
        if is_data_uri(text):
            check_length(text, inline)
        found = self.parse(text)
        limit = inline.max_bytes or self._max_inline_bytes
        if isinstance(found, InlineData) and len(found.data) > limit:
            raise FileTooLarge(limit=limit, actual=len(found.data))
        return found

    def _found(
        self, account_id: AccountId, reference: Reference, accepts: tuple[str, ...], rules: ReferenceRules
    ) -> Asset | WantedFile:
        match reference:
            case AssetReference(asset_id=asset_id):
                return self._assets.first_use(account_id, asset_id)
            case UploadReference(upload_id=upload_id, names_for=names_for):
                if names_for is not None:
                    self._require_recent(account_id, upload_id, names_for)
                return self._uploads.use_upload(account_id, upload_id)
            case MediaReference(media_key=media_key):
                return self._assets.by_media_key(media_key)
            case SignedReference(asset_id=asset_id):
                return self._assets.by_signature(asset_id)
            case InlineData():
                return self._contents.keep(account_id, reference, accepts=accepts, lifetime=self._inline_lifetime)
            case ForeignUrl(url=url):
                return wanted_file(url, rules.urls, self._egress, kinds=accepts)

    def _require_recent(self, account_id: AccountId, upload_id: UploadId, names_for: timedelta) -> None:
        """Raises `UploadNotFound`, also for an upload that was begun so long ago."""
        if self._clock.now() >= self._uploads.get(account_id, upload_id).created_at + names_for:
            raise UploadNotFound(upload_id)
