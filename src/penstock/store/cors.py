"""Cross-origin requests from browsers (S26): the operator's origins and each bucket's own rules. Pure.

No credentials are involved: the signature is the permission, so a rule says only whose pages may read the answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.store.answers import Answer, Headers
from penstock.store.faults import CORS_FORBIDDEN, CORS_INCOMPLETE, INVALID_REQUEST, MALFORMED_XML, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from xml.etree.ElementTree import Element

_METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
_MAX_AGE_SECONDS = 3600
_MOST_RULES = 100
_EXPOSED = (
    "ETag", "Accept-Ranges", "Content-Range", "Repr-Digest", "x-amz-checksum-crc32", "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme", "x-amz-checksum-sha1", "x-amz-checksum-sha256", "x-amz-checksum-type",
    "x-amz-mp-parts-count", "x-amz-request-id",
)  # fmt: skip
_VARY: Headers = (("Vary", "Origin"),)
_FIELD_TEXT = re.compile(r"[\x21-\x7e]{1,1024}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsRule:
    """Which pages may make which requests (S3 API, CORSRule). `origins` and `headers` may hold one `*` each.

    `max_age` in seconds; None where the rule says nothing.
    """

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age: int | None = None
    id: str = ""

    def allows(self, origin: str, method: str) -> bool:
        """Whether a page of `origin` may make this request."""
        return method in self.methods and any(_matches(pattern, origin) for pattern in self.origins)

    def allows_headers(self, names: Iterable[str]) -> bool:
        """Whether the request may carry these headers."""
        return all(any(_matches(pattern.lower(), name) for pattern in self.headers) for name in names)


def operators_rules(origins: tuple[str, ...]) -> tuple[CorsRule, ...]:
    """What the operator's origins may do: everything, because a signature decides what comes of it."""
    if not origins:
        return ()
    return (CorsRule(origins=origins, methods=_METHODS, headers=("*",), exposed=_EXPOSED, max_age=_MAX_AGE_SECONDS),)


def response_headers(origin: str | None, method: str, rules: Sequence[CorsRule]) -> Headers:
    """What a browser needs to let a page of `origin` read the answer; nothing for another origin."""
    rule = next((rule for rule in rules if origin is not None and rule.allows(origin, method)), None)
    if origin is None or rule is None:
        return _VARY if rules else ()  # a cache must not show this answer to a page that may read it
    exposed = (("Access-Control-Expose-Headers", ", ".join(rule.exposed)),) if rule.exposed else ()
    return (("Access-Control-Allow-Origin", origin), *exposed, *_VARY)


def preflight(fields: Mapping[str, str], rules: Iterable[CorsRule]) -> Answer:
    """The answer to OPTIONS (Fetch standard, CORS-preflight). Raises `Refused` for what no rule allows."""
    origin, method = fields.get("origin"), fields.get("access-control-request-method")
    if origin is None:
        raise Refused(CORS_INCOMPLETE)
    if method not in _METHODS:
        raise Refused(CORS_INCOMPLETE, "Access-Control-Request-Method must name a method that is served here.")
    asked = fields.get("access-control-request-headers", "")
    names = [name.strip().lower() for name in asked.split(",") if name.strip()]
    for rule in rules:
        if rule.allows(origin, method) and rule.allows_headers(names):
            return Answer(status=200, headers=_granted(rule, origin, asked))
    raise Refused(CORS_FORBIDDEN)


def _granted(rule: CorsRule, origin: str, asked: str) -> Headers:
    headers: Headers = (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Methods", ", ".join(rule.methods)),
        *_VARY,
    )
    if rule.max_age is not None:
        headers += (("Access-Control-Max-Age", str(rule.max_age)),)
    return headers + ((("Access-Control-Allow-Headers", asked),) if asked else ())


def read_rules(tree: Element) -> tuple[CorsRule, ...]:
    """The rules of a `CORSConfiguration` document. Raises `Refused`."""
    rules = tuple([_rule(node) for node in tree.findall("CORSRule")])
    if not 1 <= len(rules) <= _MOST_RULES:
        raise Refused(MALFORMED_XML)
    return rules


def _rule(node: Element) -> CorsRule:
    age = node.findtext("MaxAgeSeconds")
    if age is not None and not (age.isascii() and age.isdigit() and len(age) <= 9):  # noqa: PLR2004 - 30 years
        raise Refused(MALFORMED_XML)
    rule = CorsRule(
        origins=_texts(node, "AllowedOrigin"),
        methods=_texts(node, "AllowedMethod"),
        headers=_texts(node, "AllowedHeader"),
        exposed=_texts(node, "ExposeHeader"),
        max_age=None if age is None else int(age),
        id=(node.findtext("ID") or "")[:255],
    )
    if not rule.origins or not rule.methods:
        raise Refused(MALFORMED_XML)
    for method in rule.methods:
        if method not in _METHODS:
            raise Refused(INVALID_REQUEST, f"Found unsupported HTTP method in CORS config: {method!a}.")
    for pattern in (*rule.origins, *rule.headers):
        if pattern.count("*") > 1:
            raise Refused(INVALID_REQUEST, f"{pattern!a} can not have more than one wildcard.")
    return rule


def _texts(node: Element, name: str) -> tuple[str, ...]:
    texts = tuple([(child.text or "").strip() for child in node.findall(name)])
    if not all(_FIELD_TEXT.fullmatch(text) for text in texts):  # they become header values
        raise Refused(MALFORMED_XML)
    return texts


def shown_rules(rules: Sequence[CorsRule]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The rules as names and texts of XML elements, in the order of the S3 API."""
    return [
        (
            "CORSRule",
            [
                *([("ID", rule.id)] if rule.id else []),
                *[("AllowedOrigin", text) for text in rule.origins],
                *[("AllowedMethod", text) for text in rule.methods],
                *[("AllowedHeader", text) for text in rule.headers],
                *([("MaxAgeSeconds", str(rule.max_age))] if rule.max_age is not None else []),
                *[("ExposeHeader", text) for text in rule.exposed],
            ],
        )
        for rule in rules
    ]


def _matches(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == text
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
