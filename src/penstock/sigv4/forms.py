"""Browser forms: a signed policy says which form may be posted, until when (S3 API, "POST Object").

The policy is signed as the base64 text that travels in the form, so it is checked before it is decoded.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from penstock.sigv4.canonical import ALGORITHM, format_time, sign, signing_key
from penstock.sigv4.errors import AccessDenied, InvalidArgument, InvalidPolicyDocument, InvalidRequest
from penstock.sigv4.verify import parse_credential, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from penstock.sigv4.sign import Signer
    from penstock.sigv4.verify import Verifier

_RESERVED = frozenset({"key", "policy", "file", "x-amz-signature", "x-amz-credential", "x-amz-algorithm", "x-amz-date"})
_SIGNING = ("policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_UNCONDITIONAL = frozenset({"x-amz-signature", "file", "policy"})
_UNCONDITIONAL_PREFIXES = ("x-ignore-", "x-amz-checksum-")
"""Of fields that need no condition. A checksum only tightens what the policy allows."""
_OPERATORS = frozenset({"eq", "starts-with"})
_EXPIRATION = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII)
_LONGEST_POLICY_BYTES = 20_480
_KEY_LIFE = timedelta(days=7)
_SKEW = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form to be signed: one bucket and key, a size range in bytes, and fields with their exact values (S25).

    `free` names fields that the client may fill in, each with the prefix its value must have.
    """

    bucket: str
    key: str
    min_bytes: int
    max_bytes: int
    fields: tuple[tuple[str, str], ...] = ()
    free: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedForm:
    """A form that its policy allows. The size range (bytes) is for whoever streams the file to enforce.

    `fields` has lower-case names, the last value of a repeated one. `key` has its `${filename}` replaced.
    """

    access_key: str
    bucket: str
    key: str
    min_bytes: int
    max_bytes: int | None
    fields: dict[str, str]
    expires_at: datetime


def sign_form(signer: Signer, form: Form, *, now: datetime, expires_in: timedelta) -> dict[str, str]:
    """The fields to post, in order, before the free ones and the file."""
    amz_date = format_time(now)
    date, region, service = amz_date[:8], signer.region, signer.service
    exact = {
        "key": form.key,
        **dict(form.fields),
        "x-amz-algorithm": ALGORITHM,
        "x-amz-credential": f"{signer.credentials.access_key}/{date}/{region}/{service}/aws4_request",
        "x-amz-date": amz_date,
    }
    policy = {
        "expiration": (now + expires_in).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "conditions": [
            {"bucket": form.bucket},
            *({name: value} for name, value in exact.items()),
            *(["starts-with", f"${name}", prefix] for name, prefix in form.free),
            ["content-length-range", form.min_bytes, form.max_bytes],
        ],
    }
    encoded = base64.b64encode(json.dumps(policy, separators=(",", ":")).encode()).decode()
    key = signing_key(signer.credentials.secret_key, date, region, service)
    return {**exact, "policy": encoded, "x-amz-signature": sign(key, encoded)}


def verify_form(
    verifier: Verifier, fields: Sequence[tuple[str, str]], *, bucket: str, file_name: str, now: datetime
) -> VerifiedForm:
    """Check the fields that came before the file, in the order of the form.

    Raises a `SignatureError`: AccessDenied for what the policy does not allow, InvalidArgument for a form without its
    key or with a repeated reserved field, InvalidPolicyDocument for a policy that cannot be read.
    """
    lowered = [(name.lower(), value) for name, value in fields]
    values = dict(lowered)
    access_key = _check_signature(verifier, lowered, now=now)
    expires_at, conditions, sizes = _parse_policy(values["policy"])
    if now > expires_at:
        raise AccessDenied("Invalid according to Policy: Policy expired.")
    key = _key(values, file_name)
    facts = [("bucket", bucket), *((name, key if name == "key" else value) for name, value in lowered)]
    _check_conditions(conditions, facts)
    return VerifiedForm(
        access_key=access_key,
        bucket=bucket,
        key=key,
        min_bytes=max((low for low, _ in sizes), default=0),
        max_bytes=min((high for _, high in sizes), default=None),
        fields=values,
        expires_at=expires_at,
    )


def is_open_form(fields: Sequence[tuple[str, str]]) -> bool:
    """Whether a form does not even try to be signed."""
    return not {name.lower() for name, _ in fields} & {*_SIGNING, "awsaccesskeyid"}


def open_form(fields: Sequence[tuple[str, str]], *, bucket: str, file_name: str, now: datetime) -> VerifiedForm:
    """A form that needs no policy, because everybody may post to its bucket. Raises `InvalidArgument`."""
    lowered = [(name.lower(), value) for name, value in fields]
    _check_repetitions([name for name, _ in lowered])
    values = dict(lowered)
    return VerifiedForm(
        access_key="",
        bucket=bucket,
        key=_key(values, file_name),
        min_bytes=0,
        max_bytes=None,
        fields=values,
        expires_at=now,
    )


def _key(values: Mapping[str, str], file_name: str) -> str:
    if "key" not in values:
        raise InvalidArgument("Bucket POST must contain a field named 'key'.")
    return values["key"].replace("${filename}", re.split(r"[/\\]", file_name)[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    name: str
    value: str
    prefix: bool

    def allows(self, value: str) -> bool:
        """Whether a field may have this value; a comma list of content types must match item by item."""
        if not self.prefix:
            return value == self.value
        items = re.split(r",\s*", value) if self.name == "content-type" else [value]
        return all(item.startswith(self.value) for item in items)


def _check_signature(verifier: Verifier, fields: Sequence[tuple[str, str]], *, now: datetime) -> str:
    names = [name for name, _ in fields]
    _check_repetitions(names)
    if "awsaccesskeyid" in names:
        raise InvalidRequest(f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.")
    if not set(_SIGNING) & set(names):
        raise AccessDenied("Anonymous access is not allowed.")
    for name in _SIGNING:
        if name not in names:
            raise InvalidArgument(f"Bucket POST must contain a field named '{name}'.")
    values = dict(fields)
    if values["x-amz-algorithm"] != ALGORITHM:
        raise InvalidArgument(f'x-amz-algorithm only supports "{ALGORITHM}"')
    access_key, scope = parse_credential(values["x-amz-credential"], InvalidArgument)
    signed_at = parse_time(values["x-amz-date"], InvalidArgument)
    if scope.date != values["x-amz-date"][:8]:
        raise InvalidArgument("Invalid credential date; it must be that of the form.")
    verifier.check_place(scope, InvalidArgument)
    verifier.check_signature(access_key, scope, values["policy"], values["x-amz-signature"])
    if signed_at - now > _SKEW or now - signed_at > _KEY_LIFE:
        raise AccessDenied("Invalid according to Policy: signed too long ago, or not yet valid.")
    return access_key


def _check_repetitions(names: Sequence[str]) -> None:
    repeated = sorted({name for name in names if name in _RESERVED and names.count(name) > 1})
    if repeated:
        raise InvalidArgument(f"The form has the field {repeated[0]} more than once.")


def _parse_policy(encoded: str) -> tuple[datetime, list[_Condition], list[tuple[int, int]]]:
    try:
        if len(encoded) > _LONGEST_POLICY_BYTES:
            raise InvalidPolicyDocument("Invalid Policy: too long.")
        policy = json.loads(
            base64.b64decode(encoded, validate=True), object_pairs_hook=_object, parse_constant=_no_constant
        )
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidPolicyDocument("Invalid Policy: Invalid JSON.") from None
    expiration = policy.get("expiration") if isinstance(policy, dict) else None
    if not isinstance(expiration, str) or not isinstance(policy.get("conditions"), list):
        raise InvalidPolicyDocument("Invalid Policy: expiration or conditions missing.")
    conditions: list[_Condition] = []
    sizes: list[tuple[int, int]] = []
    for item in policy["conditions"]:
        if isinstance(item, list) and item and str(item[0]).lower() == "content-length-range":
            sizes.append(_size_range(item))
        else:
            conditions.extend(_conditions(item))
    return _expiration(expiration), conditions, sizes


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def _no_constant(word: str) -> object:
    raise ValueError(word)


def _expiration(text: str) -> datetime:
    try:
        if _EXPIRATION.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidPolicyDocument("Invalid Policy: Invalid 'expiration' value.")


def _size_range(item: list[object]) -> tuple[int, int]:
    match item:
        case [_, int(low), int(high)] if 0 <= low <= high and not isinstance(low, bool) and not isinstance(high, bool):
            return low, high
    raise InvalidPolicyDocument("Invalid Policy: Invalid content-length-range.")


def _conditions(item: object) -> Iterable[_Condition]:
    match item:
        case [str(operator), str(name), str(value)] if name.startswith("$") and operator.lower() in _OPERATORS:
            return [_Condition(name=name[1:].lower(), value=value, prefix=operator.lower() == "starts-with")]
        case dict() if item and all(isinstance(value, str) for value in item.values()):
            return [_Condition(name=name.lower(), value=value, prefix=False) for name, value in item.items()]
    raise InvalidPolicyDocument("Invalid Policy: Invalid condition.")


def _check_conditions(conditions: Iterable[_Condition], facts: Sequence[tuple[str, str]]) -> None:
    present = {name for name, _ in facts}
    covered = set()
    for condition in conditions:
        covered.add(condition.name)
        if condition.name not in present or not all(
            condition.allows(value) for name, value in facts if name == condition.name
        ):
            raise AccessDenied(f"Invalid according to Policy: Policy Condition failed: {condition.name!a}")
    for name in sorted(present - covered - _UNCONDITIONAL):
        if not name.startswith(_UNCONDITIONAL_PREFIXES):
            raise AccessDenied(f"Invalid according to Policy: Extra input fields: {name!a}")
