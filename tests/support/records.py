"""Domain values for tests of what keeps them. Everything has a value; a test names what it is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from penstock.domain.accounts import ALL_SCOPES, Account, ApiKey
from penstock.domain.assets import Asset
from penstock.domain.ids import (
    AccountId,
    AssetId,
    KeyId,
    MediaKey,
    ModelFileId,
    ModelId,
    ModelUploadId,
    RunId,
    UploadId,
)
from penstock.domain.media_types import Kind
from penstock.domain.model_uploads import ModelUpload, Phase
from penstock.domain.models import ModelCard, ModelFile, RegisteredModel
from penstock.domain.runs import Run, RunFault, RunState
from penstock.domain.uploads import SizePolicy, TypePolicy, Upload, UploadMethod, UploadState
from penstock.domain.weights import Category

if TYPE_CHECKING:
    from penstock.ports.database import Database

NOW = datetime(2026, 11, 21, 12, 30, 15, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)


def uuid_text(number: int) -> str:
    """A version-4 UUID that shows its number."""
    return str(UUID(int=number, version=4))


def open_account(database: Database, name: str = "acme") -> AccountId:
    """A new account in the database; its id is made from its name."""
    account = Account(id=AccountId(f"account-{name}"), name=name, created_at=NOW)
    with database.write() as tx:
        tx.accounts.add(account)
    return account.id


def make_key(number: int, account_id: AccountId, **changes: object) -> ApiKey:
    """A key with all optional fields set."""
    key = ApiKey(
        id=KeyId(uuid_text(number)),
        account_id=account_id,
        digest=f"{number:064x}",
        hint="sk_1234…",
        scopes=ALL_SCOPES,
        created_at=NOW + timedelta(seconds=number),
        expires_at=NOW + 2 * HOUR,
        revoked_at=None,
        last_used_at=NOW + HOUR,
    )
    return replace(key, **changes)  # type: ignore[arg-type]  # a test names its own fields


def make_upload(number: int, account_id: AccountId, **changes: object) -> Upload:
    """A pending upload with all optional fields set, younger the higher its number."""
    upload = Upload(
        id=UploadId(uuid_text(number)),
        account_id=account_id,
        dialect="native",
        method=UploadMethod.PUT,
        state=UploadState.PENDING,
        name="Фото №1.jpg",
        declared_type="image/jpeg",
        declared_size=5 * 2**40,
        size_policy=SizePolicy.EXACT,
        type_policy=TypePolicy.RECORD,
        min_size=512,
        max_size=2**62,
        staging_key=f"staging/{number}",
        media_key=MediaKey(f"upload-{number}"),
        asset_id=AssetId(uuid_text(number)),
        failure="none yet",
        lifetime=timedelta(days=1, microseconds=7),
        created_at=NOW + timedelta(seconds=number),
        expires_at=NOW + HOUR,
    )
    return replace(upload, **changes)  # type: ignore[arg-type]  # a test names its own fields


def make_asset(number: int, account_id: AccountId, **changes: object) -> Asset:
    """A readable asset without expiry, younger the higher its number."""
    asset = Asset(
        id=AssetId(uuid_text(number)),
        account_id=account_id,
        upload_id=UploadId(uuid_text(number)),
        run_id=RunId(uuid_text(number)),
        name="фото.jpg",
        size=5 * 2**40,
        sha256="ab" * 32,
        content_type="image/jpeg",
        declared_type="image/png",
        kind=Kind.IMAGE,
        object_key=f"assets/{number}",
        media_key=MediaKey(f"asset-{number}"),
        created_at=NOW + timedelta(seconds=number),
        expires_at=None,
    )
    return replace(asset, **changes)  # type: ignore[arg-type]  # a test names its own fields


def make_run(number: int, account_id: AccountId, **changes: object) -> Run:
    """A queued run with all optional fields set, younger the higher its number."""
    run = Run(
        id=RunId(uuid_text(number)),
        account_id=account_id,
        dialect="native",
        model="builtin/stylize",
        runner="builtin",
        runner_model="stylize",
        state=RunState.QUEUED,
        inputs={"prompt": "a dam", "image": "asset_1"},
        values={"strength": 0.1, "steps": 20},
        files={"image": AssetId(uuid_text(number))},
        metadata={"order": "7"},
        output={"image": {"$asset": uuid_text(number)}},
        error="none yet",
        held=Decimal("0.05"),
        cost=Decimal("0.000000001"),
        cancel_requested=False,
        created_at=NOW + timedelta(seconds=number),
        started_at=NOW + HOUR,
        finished_at=NOW + 2 * HOUR,
        fault=RunFault.SERVER,
    )
    return replace(run, **changes)  # type: ignore[arg-type]  # a test names its own fields


def make_card(**changes: object) -> ModelCard:
    """A private checkpoint's card with all optional fields set."""
    card = ModelCard(
        category=Category.CHECKPOINT,
        type="base",
        architecture="sdxl",
        conditioning="canny",
        name="Größe XL",
        version_label="v1.0 (beta)",
        unique_identifier="whatever",
        default_steps=20,
        default_scheduler="Default",
        default_cfg=7.5,
        default_strength=0.8,
        default_weight=-1.0,
        hero_image_url="https://example.com/hero.png?a=b",
        tags=("realistic", "client a"),
        positive_trigger_words=("sharp",),
        negative_trigger_words=("blurry", "text"),
        short_description="Sharp portraits of rivers.",
        comment="for the spring campaign",
    )
    return replace(card, **changes)  # type: ignore[arg-type]  # a test names its own fields


def make_model(number: int, account_id: AccountId, **changes: object) -> RegisteredModel:
    """A model of the source `acme`, younger the higher its number; its file has the same number."""
    air = str(changes.get("air", f"acme:{number}@1"))
    source, _, rest = air.partition(":")
    model = RegisteredModel(
        id=ModelId(uuid_text(number)),
        account_id=account_id,
        air=air,
        source=source,
        number=rest.partition("@")[0],
        version=rest.partition("@")[2],
        card=make_card(),
        file_id=ModelFileId(uuid_text(number)),
        created_at=NOW + timedelta(seconds=number),
        updated_at=NOW + HOUR,
    )
    return replace(model, **changes)  # type: ignore[arg-type]  # a test names its own fields


def make_model_file(number: int, account_id: AccountId, **changes: object) -> ModelFile:
    """Weights of which there are two objects and a manifest."""
    prefix = f"models/{uuid_text(number)}"
    file = ModelFile(
        id=ModelFileId(uuid_text(number)),
        account_id=account_id,
        original_key=f"{prefix}/original",
        size=6 * 2**30,
        sha256=f"{number:064x}",
        optimized_key=f"{prefix}/optimized",
        optimized_size=3 * 2**30,
        optimized_sha256="cd" * 32,
        manifest_key=f"{prefix}/manifest.json",
        summary={"tensors": 1680, "dropped": []},
        created_at=NOW,
    )
    return replace(file, **changes)  # type: ignore[arg-type]  # a test names its own fields


def make_model_upload(number: int, account_id: AccountId, **changes: object) -> ModelUpload:
    """A validated one with all optional fields set, younger the higher its number."""
    upload = ModelUpload(
        id=ModelUploadId(uuid_text(number)),
        account_id=account_id,
        dialect="native",
        client_ref=f"task {number}",
        air="acme:1@1",
        given={"name": "Größe XL", "default_steps": 20},
        fingerprint="f" * 64,
        source_url="https://example.com/model.safetensors?token=a",
        asset_id=AssetId(uuid_text(number)),
        phase=Phase.VALIDATED,
        file_id=ModelFileId(uuid_text(number)),
        received=12,
        size=5 * 2**40,
        warnings=("the variant cannot be told",),
        error_code="download_failed",
        error="none yet",
        error_field="source_url",
        callback_url="https://example.com/told?token=b",
        created_at=NOW + timedelta(seconds=number),
        finished_at=None,
    )
    return replace(upload, **changes)  # type: ignore[arg-type]  # a test names its own fields
