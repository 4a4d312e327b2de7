"""POST Object: a browser's form puts an object, as far as the policy that was signed for it allows (S3 API)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from penstock.sigv4 import SignatureError, Verifier, is_open_form, open_form, parse_target, verify_form
from penstock.store import xml
from penstock.store.answers import Answer, document
from penstock.store.demands import ACL, PUBLIC_READ_WRITE, require_kept
from penstock.store.digests import as_base64
from penstock.store.faults import (
    ACCESS_DENIED,
    ENTITY_TOO_LARGE,
    ENTITY_TOO_SMALL,
    INVALID_ARGUMENT,
    INVALID_REQUEST,
    METHOD_NOT_ALLOWED,
    Fault,
    Refused,
)
from penstock.store.forms import FormReader, boundary_of
from penstock.store.object_routes import content_type_of, etag_of, stored_metadata
from penstock.store.payload import Declared, checksum_headers, declared_digests
from penstock.store.record import Record
from penstock.store.request import split_path

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.sigv4 import VerifiedForm
    from penstock.store.body import Body
    from penstock.store.config import Limits
    from penstock.store.head import Head
    from penstock.store.health import Health
    from penstock.store.incoming import Incoming
    from penstock.store.objects import Objects

# What could end the header line, or is no absolute web address, is no redirect (S3 ignores one that it cannot use).
_WEB_ADDRESS = re.compile(r"https?://[!-~]+", re.ASCII | re.IGNORECASE)
_SUCCESS = {"200": 200, "201": 201}


def is_form(head: Head) -> bool:
    """Whether a request can only be a form: its signature is not in the head, so it must be in the body."""
    return head.method == "POST" and "?" not in head.target and "authorization" not in head.fields


class FormRoutes:
    """The one operation that browser forms have."""

    def __init__(
        self, objects: Objects, health: Health, *, verifier: Verifier, limits: Limits, public_acls: bool
    ) -> None:
        self._objects = objects
        self._health = health
        self._verifier = verifier
        self._limits = limits
        self._public_acls = public_acls

    async def post(self, head: Head, body: Body, *, now: datetime) -> Answer:
        """POST Object. As with PUT, nothing is stored unless everything was right; the answer comes after the fsyncs.

        The policy is checked when the file begins: of a form that is refused no byte of the file is stored.
        """
        boundary = boundary_of(head.fields.get("content-type", ""))
        reader = FormReader(body, boundary)
        try:
            bucket, key = split_path(parse_target(head.target).path)
            if not bucket or key:
                raise Refused(METHOD_NOT_ALLOWED)
            fields = await reader.fields()
            form = self._permitted(fields, bucket=bucket, file_name=reader.file_name, now=now)
        except SignatureError as error:
            raise Refused(Fault(error.code, error.status, error.message)) from None
        self._objects.require_bucket(bucket)
        _, key = split_path(f"/{bucket}/{form.key}")
        if not key:
            raise Refused(INVALID_ARGUMENT, "The key of the form is empty.")
        record = await self._store(reader, form, key=key, length=body.length, now=now)
        return _success(record, form.fields)

    def _permitted(self, fields: list[tuple[str, str]], *, bucket: str, file_name: str, now: datetime) -> VerifiedForm:
        if not (self._public_acls and is_open_form(fields)):
            return verify_form(self._verifier, fields, bucket=bucket, file_name=file_name, now=now)
        if self._objects.settings(bucket).acl != PUBLIC_READ_WRITE:
            raise Refused(ACCESS_DENIED)
        return open_form(fields, bucket=bucket, file_name=file_name, now=now)

    async def _store(
        self, reader: FormReader, form: VerifiedForm, *, key: str, length: int | None, now: datetime
    ) -> Record:
        values = {name: _as_on_the_wire(value) for name, value in form.fields.items()}
        claim = self._claim(form, values)
        # A form's field is called `acl`; the header of that name is no field.
        demands = {name: value for name, value in values.items() if name != ACL} | {ACL: values.get("acl", "")}
        require_kept(demands, public_acls=self._public_acls)
        headers, user = stored_metadata(demands)
        content_type = content_type_of(values)
        self._health.require_writable()
        self._health.require_space(length or 0)
        with self._objects.begin({"sha256", *claim.algorithms}) as incoming:
            digests = await _receive(reader, incoming, form, claim)
            record = Record(
                bucket=form.bucket,
                key=key,
                size=incoming.size,
                etag=etag_of(digests),
                sha256=digests["sha256"].hex(),
                content_type=content_type,
                modified_us=int(now.timestamp() * 1_000_000),
                headers=headers,
                user=user,
                checksums={name: as_base64(digests[name]) for name in claim.algorithms - {"md5"}},
            )
            self._objects.commit(incoming, record, check=_always)
        return record

    def _claim(self, form: VerifiedForm, values: dict[str, str]) -> Declared:
        digests = declared_digests(values, values)
        if len(digests.keys() - {"md5"}) > 1:
            raise Refused(INVALID_REQUEST, "Expecting a single x-amz-checksum- field.")
        most = self._limits.object_bytes if form.max_bytes is None else min(form.max_bytes, self._limits.object_bytes)
        return Declared(digests=digests, payload_sha256=None, max_bytes=most, length=None, trailing=None)


async def _receive(reader: FormReader, incoming: Incoming, form: VerifiedForm, claim: Declared) -> dict[str, bytes]:
    """Move the file of the form into `incoming`; its digests. Raises `Refused` when a limit or a claim is not kept."""
    while piece := await reader.receive():
        if incoming.size + len(piece) > claim.max_bytes:
            raise Refused(ENTITY_TOO_LARGE)
        incoming.write(piece)
    if incoming.size < form.min_bytes:
        raise Refused(ENTITY_TOO_SMALL)
    await reader.finish()
    digests = incoming.finish()
    claim.compare(digests)
    return digests


def _success(record: Record, fields: dict[str, str]) -> Answer:
    """204, or what the form asked for: another status, or to be sent on to a web page (S3 API)."""
    etag, location = f'"{record.etag}"', f"/{record.bucket}/{quote(record.key)}"
    headers = (("ETag", etag), ("Location", location), *checksum_headers(record.checksums))
    target = fields.get("success_action_redirect", fields.get("redirect", ""))
    if _WEB_ADDRESS.fullmatch(target):
        page, hash_mark, fragment = target.partition("#")
        query = urlencode({"bucket": record.bucket, "key": record.key, "etag": etag}, quote_via=quote)
        address = f"{page}{'&' if '?' in page else '?'}{query}{hash_mark}{fragment}"
        return Answer(status=303, headers=(("ETag", etag), ("Location", address)))
    status = _SUCCESS.get(fields.get("success_action_status", ""), 204)
    if status != 201:  # noqa: PLR2004 - the one with a document
        return Answer(status=status, headers=headers)
    content = (xml.tag("Location", location), xml.tag("Bucket", record.bucket), xml.tag("Key", record.key))
    return document(xml.plain("PostResponse", (*content, xml.tag("ETag", etag))), status=201, headers=headers)


def _as_on_the_wire(value: str) -> str:
    """A field's text as the same text would come in a header: records hold latin-1 text of the wire."""
    return value.encode().decode("latin-1")


def _always(_etag: str | None) -> None:
    """A form knows no conditions."""
