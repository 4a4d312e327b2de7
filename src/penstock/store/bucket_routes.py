"""The operations on buckets that clients and conformance tests need (S3 API)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.store import xml
from penstock.store.answers import Answer, document
from penstock.store.cors import read_rules, shown_rules
from penstock.store.demands import kept_acl, require_public_bucket
from penstock.store.faults import BUCKET_ALREADY_OWNED, INVALID_BUCKET_NAME, NO_SUCH_CORS, Refused
from penstock.store.layout import BUCKET_NAME
from penstock.store.listing import list_object_versions, list_objects_v1, list_objects_v2
from penstock.store.payload import read_document

if TYPE_CHECKING:
    from penstock.store.config import Limits
    from penstock.store.health import Health
    from penstock.store.multipart import Multipart
    from penstock.store.objects import Objects
    from penstock.store.request import S3Request

_MOST_BUCKETS = 10_000


class BucketRoutes:
    """The operations on one bucket, and the list of all."""

    def __init__(self, objects: Objects, multipart: Multipart, health: Health, *, limits: Limits, region: str) -> None:
        self._objects = objects
        self._multipart = multipart
        self._health = health
        self._limits = limits
        self._region = region

    def list_buckets(self, request: S3Request) -> Answer:
        """ListBuckets, in the order of their names; a page's token is its last name."""
        prefix, after = request.query.get("prefix", ""), request.query.get("continuation-token", "")
        limit = request.number("max-buckets", _MOST_BUCKETS, most=_MOST_BUCKETS)
        found = [one for one in self._objects.buckets() if one[0] > after and one[0].startswith(prefix)]
        page = found[:limit]
        buckets = [
            f"<Bucket>{xml.tag('Name', name)}{xml.tag('CreationDate', xml.timestamp(int(created * 1e6)))}</Bucket>"
            for name, created in page
        ]
        content = [
            "<Owner><ID>penstock</ID><DisplayName>penstock</DisplayName></Owner>",
            f"<Buckets>{''.join(buckets)}</Buckets>",
            xml.tag("ContinuationToken", page[-1][0]) if page and len(page) < len(found) else "",
            xml.tag("Prefix", prefix) if prefix else "",
        ]
        return document(xml.root("ListAllMyBucketsResult", content))

    def require_public(self, request: S3Request) -> None:
        """Raises `Refused` unless everybody may do this."""
        require_public_bucket(request, self._objects.settings(request.bucket).acl)

    async def create(self, request: S3Request) -> Answer:
        """CreateBucket; a bucket that is there already is an error outside us-east-1, as in S3."""
        if not BUCKET_NAME.fullmatch(request.bucket):
            raise Refused(INVALID_BUCKET_NAME)
        await read_document(request, limit=self._limits.small_body_bytes)
        self._health.require_writable()
        if not self._objects.create_bucket(request.bucket) and self._region != "us-east-1":
            raise Refused(BUCKET_ALREADY_OWNED)
        if acl := kept_acl(request.parameters):
            self._objects.configure(request.bucket, lambda settings: replace(settings, acl=acl))
        return Answer(status=200, headers=(("Location", f"/{request.bucket}"),))

    def head(self, request: S3Request) -> Answer:
        """HeadBucket."""
        self._objects.require_bucket(request.bucket)
        return Answer(status=200, headers=(("x-amz-bucket-region", self._region),))

    def delete(self, request: S3Request) -> Answer:
        """DeleteBucket; only an empty one. Its open uploads end."""
        self._objects.delete_bucket(request.bucket)
        self._multipart.forget_bucket(request.bucket)
        return Answer(status=204)

    def location(self, request: S3Request) -> Answer:
        """GetBucketLocation; us-east-1 is written as nothing (S3 API)."""
        self._objects.require_bucket(request.bucket)
        return document(xml.root("LocationConstraint", "" if self._region == "us-east-1" else self._region))

    def versioning(self, request: S3Request) -> Answer:
        """GetBucketVersioning: never enabled."""
        self._objects.require_bucket(request.bucket)
        return document(xml.root("VersioningConfiguration", ""))

    def cors(self, request: S3Request) -> Answer:
        """GetBucketCors."""
        self._objects.require_bucket(request.bucket)
        rules = self._objects.settings(request.bucket).cors
        if not rules:
            raise Refused(NO_SUCH_CORS)
        shown = [
            f"<{name}>{''.join([xml.tag(*field) for field in fields])}</{name}>" for name, fields in shown_rules(rules)
        ]
        return document(xml.root("CORSConfiguration", shown))

    async def put_cors(self, request: S3Request) -> Answer:
        """PutBucketCors: the new rules in place of all that there were."""
        self._objects.require_bucket(request.bucket)
        body = await read_document(request, limit=self._limits.small_body_bytes)
        rules = read_rules(xml.parse(body, "CORSConfiguration"))
        self._health.require_writable()
        self._objects.configure(request.bucket, lambda settings: replace(settings, cors=rules))
        return Answer(status=200)

    def delete_cors(self, request: S3Request) -> Answer:
        """DeleteBucketCors."""
        self._objects.configure(request.bucket, lambda settings: replace(settings, cors=()))
        return Answer(status=204)

    def list_v2(self, request: S3Request) -> Answer:
        """ListObjectsV2."""
        self._objects.require_bucket(request.bucket)
        return document(list_objects_v2(self._objects.index, request))

    def list_v1(self, request: S3Request) -> Answer:
        """ListObjects."""
        self._objects.require_bucket(request.bucket)
        return document(list_objects_v1(self._objects.index, request))

    def list_versions(self, request: S3Request) -> Answer:
        """ListObjectVersions: every object is the one version of its key."""
        self._objects.require_bucket(request.bucket)
        return document(list_object_versions(self._objects.index, request))
