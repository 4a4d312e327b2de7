"""Which operation a request means (S3 API, path style), and nothing else."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from penstock.store.demands import require_kept
from penstock.store.faults import ACCESS_DENIED, METHOD_NOT_ALLOWED, NO_SUCH_VERSION, NOT_IMPLEMENTED, Refused
from penstock.store.request import ONLY_VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from penstock.store.answers import Answer
    from penstock.store.attribute_routes import AttributeRoutes
    from penstock.store.bucket_routes import BucketRoutes
    from penstock.store.multipart_routes import MultipartRoutes
    from penstock.store.object_routes import ObjectRoutes
    from penstock.store.request import S3Request

    Handler = Callable[[S3Request], Answer | Awaitable[Answer]]

_NONE: frozenset[str] = frozenset()
_CORS = frozenset({"cors"})
_VERSION = frozenset({"versionId"})
_PART = frozenset({"partNumber"})
_UPLOAD = frozenset({"uploadId"})
_UPLOADS = frozenset({"uploads"})
_ATTRIBUTES = frozenset({"attributes"})


class Routes:
    """Method, resource and subresource → handler."""

    def __init__(
        self,
        buckets: BucketRoutes,
        objects: ObjectRoutes,
        multipart: MultipartRoutes,
        attributes: AttributeRoutes,
        *,
        public_acls: bool,
    ) -> None:
        self._public_acls = public_acls
        self._buckets = buckets
        self._service: Mapping[tuple[str, frozenset[str]], Handler] = {("GET", _NONE): buckets.list_buckets}
        self._bucket: Mapping[tuple[str, frozenset[str]], Handler] = {
            ("PUT", _NONE): buckets.create,
            ("HEAD", _NONE): buckets.head,
            ("DELETE", _NONE): buckets.delete,
            ("GET", _NONE): buckets.list_v1,
            ("GET", frozenset({"list-type"})): buckets.list_v2,
            ("GET", _CORS): buckets.cors,
            ("PUT", _CORS): buckets.put_cors,
            ("DELETE", _CORS): buckets.delete_cors,
            ("GET", frozenset({"location"})): buckets.location,
            ("GET", frozenset({"versioning"})): buckets.versioning,
            ("GET", frozenset({"versions"})): buckets.list_versions,
            ("GET", _UPLOADS): multipart.list_uploads,
            ("POST", frozenset({"delete"})): objects.delete_many,
        }
        self._object: Mapping[tuple[str, frozenset[str]], Handler] = {
            ("PUT", _NONE): objects.put,
            ("GET", _NONE): objects.get,
            ("HEAD", _NONE): objects.get,
            ("DELETE", _NONE): objects.delete,
            ("GET", _VERSION): of_the_only_version(objects.get),
            ("HEAD", _VERSION): of_the_only_version(objects.get),
            ("DELETE", _VERSION): of_the_only_version(objects.delete),
            ("GET", _PART): objects.get,
            ("HEAD", _PART): objects.get,
            ("GET", _PART | _VERSION): of_the_only_version(objects.get),
            ("HEAD", _PART | _VERSION): of_the_only_version(objects.get),
            ("GET", _ATTRIBUTES): attributes.get,
            ("GET", _ATTRIBUTES | _VERSION): of_the_only_version(attributes.get),
            ("POST", _UPLOADS): multipart.create,
            ("GET", _UPLOAD): multipart.list_parts,
            ("POST", _UPLOAD): multipart.complete,
            ("DELETE", _UPLOAD): multipart.abort,
            ("PUT", _UPLOAD | _PART): multipart.put_part,
        }
        # A PUT that names a source copies it.
        self._copies: Mapping[Handler, Handler] = {objects.put: objects.copy, multipart.put_part: multipart.copy_part}

    async def answer(self, request: S3Request) -> Answer:
        """Run the operation. Raises `Refused` when there is none, or when it would not do all that is asked for."""
        require_kept(request.parameters, public_acls=self._public_acls)
        if request.unsigned:
            self._require_public(request)
        result = self._handler(request)(request)
        return await result if inspect.isawaitable(result) else result

    def _require_public(self, request: S3Request) -> None:
        """Nobody's requests: to look at a public bucket, or to read an object, which `get` holds to its own ACL."""
        if not request.key:
            self._buckets.require_public(request)
        elif request.method not in {"GET", "HEAD"} or request.subresources:
            raise Refused(ACCESS_DENIED)

    def _handler(self, request: S3Request) -> Handler:
        table = self._object if request.key else self._bucket if request.bucket else self._service
        handler = table.get((request.method, request.subresources))
        if handler is None:
            allowed = sorted(method for method, names in table if names == request.subresources)
            if not allowed:
                raise Refused(NOT_IMPLEMENTED)
            raise Refused(METHOD_NOT_ALLOWED, headers=(("Allow", ", ".join(allowed)),))
        if "x-amz-copy-source" in request.parameters:
            return self._copies.get(handler, handler)
        return handler


def of_the_only_version(handler: Handler) -> Handler:
    """The operation on a named version: keys have the one version of an unversioned bucket (S3 API, `null`)."""

    def checked(request: S3Request) -> Answer | Awaitable[Answer]:
        if request.query["versionId"] != ONLY_VERSION:
            raise Refused(NO_SUCH_VERSION)
        return handler(request)

    return checked
