"""Requests that nobody should send, for every dialect: bodies, members, ids, queries and headers that are wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

UUID = "0b8f3a52-88a4-4d0c-9b0e-2f1f3c0d9a11"
_DEEP = 20_000
_BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "a space": b" ",
    "cut off": b'{"filename": "a',
    "two values": b"{}{}",
    "a list": b"[]",
    "a list of objects": b"[{}]",
    "null": b"null",
    "true": b"true",
    "a number": b"7",
    "a text": b'"text"',
    "NaN": b"NaN",
    "a member that is NaN": b'{"size": NaN}',
    "a member beyond a double": b'{"size": 1e999}',
    "a member beyond 64 bits": b'{"size": 18446744073709551616}',
    "a member twice": b'{"model": "a", "model": "b"}',
    "single quotes": b"{'a': 1}",
    "a form": b"filename=a.png&size=5",
    "XML": b"<?xml version='1.0'?><a/>",
    "Latin-1": b'{"filename": "\xff"}',
    "UTF-16": json.dumps({"filename": "a"}).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "half a surrogate pair": b'{"filename": "\\ud800"}',
    "NUL": b"\x00",
    "lists without end": b"[" * _DEEP,
    "objects without end": b'{"a":' * _DEEP,
    "a member deep within": b'{"input": ' + b"[" * 200 + b"]" * 200 + b"}",
}
"""None of these is an object of JSON that every reader reads alike."""
_VALUES: Mapping[str, object] = {
    "null": None,
    "true": True,
    "a list": [],
    "a list of lists": [[[]]],
    "an object": {},
    "an object of objects": {"a": {"b": {}}},
    "zero": 0,
    "minus one": -1,
    "a fraction": 0.5,
    "the largest integer": 2**63 - 1,
    "the smallest integer": -(2**63),
    "an empty text": "",
    "a space": " ",
    "NUL": "a\x00b",
    "a line feed": "a\r\nX-Injected: 1",
    "the other direction": "a\u202egnp.exe",
    "an emoji": "\U0001f4a9",
    "a long text": "a" * 20_000,
    "a way up": "../../etc/passwd",
    "a template": "{{7*7}}${7*7}%s%n",
    "a quote": "' OR 1=1; --",
    "a wild card": "%_*?[",
    "a file": "file:///etc/passwd",
    "a place inside": "http://169.254.169.254/latest/meta-data/",
    "a broken data URI": "data:image/png;base64,////=",
    "a URI of nothing": "runway://" + "A" * 43,
    "another URI of nothing": f"runflow://assets/{UUID}",
    "an id of nothing": f"file_{UUID}",
}
_IDS: Mapping[str, str] = {
    "NUL": "%00",
    "a way up": "%2e%2e%2f%2e%2e%2fetc",
    "a broken escape": "%zz",
    "no UTF-8": "%ff%fe",
    "a quote": "%27%20OR%201%3D1",
    "an emoji": quote("\U0001f4a9"),
    "a long one": "a" * 4000,
    "digits": "9" * 40,
    "a UUID of nothing": UUID,
    "capitals": UUID.upper(),
    "a semicolon": "a;b=c",
    "a space": "%20",
    "the other direction": quote("a\u202eb"),
}
_QUERIES: Mapping[str, str] = {
    "limits of words": "limit=many&offset=few",
    "a limit of nothing": "limit=&cursor=",
    "a limit below": "limit=-1",
    "a limit beyond": "limit=99999999999999999999",
    "a limit twice": "limit=1&limit=x",
    "a broken cursor": "cursor=%00&pq=%ff&after=abc",
    "another's cursor": "cursor=eyJhIjoxfQ&pq=eyJhIjoxfQ",
    "texts with NUL": "q=%00&name=%00&folder_id=%00&type=%00",
    "lists": "q[]=1&filter[a][b]=c",
    "a long one": "q=" + "a" * 4000,
    "half an escape": "q=%",
    "flags of words": "logs=maybe&wait=long&deep=x",
}
_KEYS: Mapping[str, str] = {
    "no word": "",
    "a word alone": "{scheme}",
    "another scheme": "Basic YTpi",
    "a key of spaces": "{scheme}     ",
    "an unknown key": "{scheme} sk_0000",
    "two keys": "{scheme} a, {scheme} b",
    "a long key": "{scheme} " + "a" * 20_000,
    "a key that is no ASCII": "{scheme} \xff\xfe",
    "a key that is a query": "{scheme} ' OR 1=1 --",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route that takes a body, with a good one; `{}` in a path is where an id stands.

    `in_list`: the body stands in a list of its own.
    """

    method: str
    path: str
    body: Mapping[str, Any]
    needs_body: bool = True
    in_list: bool = False

    def said(self, **changes: object) -> bytes:
        """The body with other members."""
        members = {**self.body, **changes}
        return json.dumps([members] if self.in_list else members).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tongue:
    """What of a dialect can be said wrongly. `reads` are its paths to get, `acts` other requests without body.

    `{}` is where an id stands.
    """

    scheme: str
    routes: tuple[Route, ...]
    reads: tuple[str, ...]
    acts: tuple[tuple[str, str], ...]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """One request; `refused` says that no answer but an error is right."""

    what: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    refused: bool


TONGUES: Mapping[str, Tongue] = {
    "native": Tongue(
        scheme="Bearer",
        routes=(
            Route(
                method="POST",
                path="/uploads",
                body={"filename": "a.png", "content_type": "image/png", "size_bytes": 600},
            ),
            Route(method="POST", path="/imports", body={"url": "https://files.example.test/a.png"}),
            Route(method="POST", path="/runs", body={"model": "acme/model", "input": {"image": "asset_"}}),
            Route(method="POST", path="/folders", body={"name": "a", "parent_id": None}),
            Route(method="POST", path="/assets/bulk", body={"asset_ids": [], "action": "delete"}),
        ),
        reads=(
            "/uploads/{}",
            "/assets/{}",
            "/folders/{}",
            "/runs/{}",
            "/models/{}",
            "/media/{}",
            "/runs",
            "/assets",
            "/uploads",
            "/folders",
            "/tags",
            "/account/ledger",
            "/runs/{}/events",
            "/assets/{}/events",
            "/media/{}/thumbnail",
        ),
        acts=(
            ("DELETE", "/uploads/{}"),
            ("DELETE", "/assets/{}"),
            ("DELETE", "/folders/{}"),
            ("POST", "/uploads/{}/complete"),
            ("POST", "/assets/{}/promote"),
            ("POST", "/assets/{}/restore"),
            ("POST", "/runs/{}/cancel"),
        ),
    ),
    "modelrunner": Tongue(
        scheme="Key",
        routes=(
            Route(
                method="POST",
                path="/storage/upload/initiate",
                body={"file_name": "a.png", "content_type": "image/png", "size": 600},
            ),
            Route(
                method="POST",
                path="/storage/upload/initiate-multipart",
                body={"file_name": "a.png", "content_type": "image/png"},
            ),
            Route(
                method="POST",
                path="/storage/upload/complete",
                body={"upload_id": UUID, "key": "a", "parts": [{"part_number": 1, "etag": "a"}]},
            ),
            Route(
                method="POST", path="/acme/model", body={"image": "https://files.example.test/a.png", "metadata": {}}
            ),
        ),
        reads=(
            "/requests/{}",
            "/acme/model/requests/{}",
            "/acme/model/requests/{}/status",
            "/media/{}",
            "/acme/model/requests/{}/status/stream",
            "/storage/upload/multipart-url",
            "/webhooks/deliveries",
            "/requests",
            "/files",
        ),
        acts=(
            ("DELETE", "/files/{}"),
            ("DELETE", "/requests/{}/payloads"),
            ("DELETE", "/acme/model/requests/{}/payloads"),
            ("PUT", "/acme/model/requests/{}/cancel"),
            ("POST", "/webhooks/deliveries/{}/replay"),
        ),
    ),
    "modelroute": Tongue(
        scheme="Bearer",
        routes=(
            Route(
                method="POST",
                path="/v1/files/upload",
                body={"filename": "a.png", "content_type": "image/png", "size_bytes": 600},
            ),
            Route(method="POST", path="/v1/files/confirm", body={"file_id": f"file_{UUID}"}),
            Route(
                method="POST",
                path="/v1/webhooks/endpoints",
                body={"url": "https://hooks.example.test/a", "description": "a", "events": [], "headers": {}},
            ),
            Route(
                method="POST",
                path="/v1/executions",
                body={"model": "acme/model", "input": {"image": f"file_{UUID}"}, "metadata": {}},
            ),
        ),
        reads=(
            "/v1/files/{}/url",
            "/v1/files/{}/download",
            "/v1/executions/{}",
            "/v1/executions/{}/result",
            "/v1/webhooks/endpoints",
        ),
        acts=(
            ("POST", "/v1/executions/{}/cancel"),
            ("DELETE", "/v1/webhooks/endpoints/{}"),
            ("POST", "/v1/webhooks/endpoints/{}/test"),
        ),
    ),
    "runway": Tongue(
        scheme="Bearer",
        headers={"X-Runway-Version": "2024-11-06"},
        routes=(
            Route(method="POST", path="/v1/uploads", body={"filename": "a.png", "type": "ephemeral"}),
            Route(
                method="POST",
                path="/v1/image_to_video",
                body={
                    "model": "acme/model",
                    "promptImage": "https://files.example.test/a.png",
                    "promptText": "a",
                    "ratio": "1280:720",
                    "duration": 5,
                    "seed": 1,
                },
            ),
            Route(
                method="POST",
                path="/v1/text_to_image",
                body={"model": "acme/model", "promptText": "a", "ratio": "1920:1080", "referenceImages": []},
            ),
            Route(
                method="POST",
                path="/v1/video_to_video",
                body={"model": "acme/model", "promptText": "a", "videoUri": "https://files.example.test/a.mp4"},
            ),
            Route(
                method="POST",
                path="/v1/image_upscale",
                body={"model": "acme/model", "imageUri": "https://files.example.test/a.png"},
            ),
            Route(
                method="POST",
                path="/v1/character_performance",
                body={
                    "model": "acme/model",
                    "character": {"type": "image", "uri": "https://files.example.test/a.png"},
                    "reference": {"type": "video", "uri": "https://files.example.test/a.mp4"},
                },
            ),
            Route(
                method="POST",
                path="/v1/organization/usage",
                body={"startDate": "2026-11-01", "beforeDate": "2026-11-21"},
                needs_body=False,
            ),
        ),
        reads=("/v1/tasks/{}", "/v1/organization"),
        acts=(("DELETE", "/v1/tasks/{}"),),
    ),
    "runflow": Tongue(
        scheme="Bearer",
        routes=(
            Route(
                method="POST",
                path="/v1/asset-uploads",
                body={"filename": "a.png", "mime_type": "image/png", "size_bytes": 600},
            ),
            Route(
                method="POST",
                path=f"/v1/asset-uploads/{UUID}/confirmations",
                body={"folder_id": None},
                needs_body=False,
            ),
            Route(
                method="POST",
                path="/v1/models/acme/model/runs",
                body={"input": {"asset_id": UUID}, "callback_url": None, "client_ref": None, "metadata": {}},
            ),
            Route(method="POST", path="/v1/asset-folders", body={"name": "a", "parent_id": None}),
            Route(method="POST", path="/v1/callback-secrets", body={"label": "a"}, needs_body=False),
        ),
        reads=(
            "/v1/assets/{}",
            "/v1/assets",
            "/v1/asset-folders",
            "/v1/asset-folders/{}",
            "/v1/runs/{}",
            "/v1/runs",
            "/v1/runs/{}/logs",
            "/v1/runs/{}/callback",
            "/v1/callback-secrets",
        ),
        acts=(
            ("DELETE", "/v1/assets/{}"),
            ("DELETE", "/v1/asset-folders/{}"),
            ("POST", "/v1/runs/{}/callback-redeliveries"),
        ),
    ),
    "runware": Tongue(
        scheme="Bearer",
        routes=(
            Route(method="POST", path="/v1", body={"taskType": "ping", "ping": True, "taskUUID": UUID}, in_list=True),
            Route(
                method="POST",
                path="/v1",
                body={
                    "taskType": "modelUpload",
                    "taskUUID": UUID,
                    "category": "lora",
                    "architecture": "sdxl",
                    "format": "safetensors",
                    "air": "nobody:1@1",
                    "uniqueIdentifier": "a",
                    "name": "a",
                    "version": "1",
                    "downloadURL": "https://files.example.test/a.safetensors",
                    "tags": [],
                    "private": True,
                },
                in_list=True,
            ),
            Route(
                method="POST",
                path="/v1",
                body={"taskType": "modelSearch", "taskUUID": UUID, "search": "a", "tags": [], "limit": 1, "offset": 0},
                in_list=True,
            ),
            Route(method="POST", path="/v1", body={"taskType": "getResponse", "taskUUID": UUID}, in_list=True),
            Route(
                method="POST",
                path="/v1",
                body={"taskType": "mediaStorage", "taskUUID": UUID, "operation": "delete", "media": UUID},
                in_list=True,
            ),
            Route(
                method="POST",
                path="/v1",
                body={
                    "taskType": "imageInference",
                    "taskUUID": UUID,
                    "model": "nobody:1@1",
                    "positivePrompt": "a",
                    "numberResults": 1,
                    "outputType": "URL",
                    "lora": [],
                },
                in_list=True,
            ),
        ),
        reads=("/media/{}",),
        acts=(),
    ),
}


def malformed(tongue: Tongue, key: str) -> Iterator[Malformed]:
    """What can be said wrongly in a dialect: every wrong body once, of wrong members and ids each a part in turn."""
    good = {**tongue.headers, "Authorization": f"{tongue.scheme} {key}", "Content-Type": "application/json"}
    for number, route in enumerate(tongue.routes):
        yield from _bodies(route, good, list(_BODIES) if number == 0 else list(_BODIES)[number::4])
        yield from _members(route, good, first=number)
    asked = [*(("GET", path) for path in tongue.reads), *tongue.acts]
    for number, (method, path) in enumerate(asked):
        yield from _paths(method, path, good, first=number)
    first = tongue.routes[0]
    for what, said in _KEYS.items():
        headers = {**good, "Authorization": said.format(scheme=tongue.scheme)}
        yield Malformed(
            what=what,
            method=first.method,
            path=first.path,
            headers=headers,
            body=first.said(),
            refused=True,
        )
    for method in ("DELETE", "PATCH", "PUT", "TRACE"):
        yield Malformed(what="the method", method=method, path=first.path, headers=good, body=None, refused=True)


def _bodies(route: Route, headers: Mapping[str, str], chosen: list[str]) -> Iterator[Malformed]:
    for what in chosen:
        refused = route.needs_body or what not in {"nothing", "null"}
        yield Malformed(
            what=what, method=route.method, path=route.path, headers=headers, body=_BODIES[what], refused=refused
        )


def _members(route: Route, headers: Mapping[str, str], *, first: int) -> Iterator[Malformed]:
    for number, name in enumerate(route.body, start=first):
        for what in list(_VALUES)[number % 4 :: 4]:
            yield Malformed(
                what=f"{name}: {what}",
                method=route.method,
                path=route.path,
                headers=headers,
                body=route.said(**{name: _VALUES[what]}),
                refused=False,
            )


def _paths(method: str, path: str, headers: Mapping[str, str], *, first: int) -> Iterator[Malformed]:
    if "{}" in path:
        for what in list(_IDS)[first % 2 :: 2]:
            yield Malformed(
                what=f"an id: {what}",
                method=method,
                path=path.format(_IDS[what]),
                headers=headers,
                body=None,
                refused=True,
            )
        return
    for what in list(_QUERIES)[first % 2 :: 2]:
        yield Malformed(
            what=f"a query: {what}",
            method=method,
            path=f"{path}?{_QUERIES[what]}",
            headers=headers,
            body=None,
            refused=False,
        )
