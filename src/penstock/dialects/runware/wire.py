"""The product's shapes: the array of tasks, the envelope of answers, authentication and ping (contract §3, §4)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.domain.errors import InvalidField, MalformedBody

if TYPE_CHECKING:
    from collections.abc import Sequence


AUTHENTICATION = "authentication"
PING = "ping"
MOST_TASKS = 100
"""Tasks in one array (inferred)."""
_LONGEST_ECHO = 100
_UUID_4 = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NAMED_UUID = re.compile(r'"taskUUID"\s*:\s*"([0-9a-fA-F-]{36})"')
_NAMED_TYPE = re.compile(r'"taskType"\s*:\s*"([A-Za-z0-9]{1,50})"')
_PEEKED = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What names a task in an answer; what the client did not say, or not as a short text, is None."""

    task_type: str | None = None
    task_uuid: str | None = None

    def members(self) -> dict[str, object]:
        """As an item or an error of an answer has them."""
        said = {"taskType": self.task_type, "taskUUID": self.task_uuid}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One item or one error, as JSON; `status` and `headers` are of a REST answer that has nothing else."""

    text: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_error(self) -> bool:
        """Whether it stands in `errors`."""
        return self.status != 200  # noqa: PLR2004 - the one status of success


def told(value: Mapping[str, object], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Told:
    """Written down at once: what cannot be is found where it was made. Raises `TypeError`, `ValueError`."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Told(text=text, status=status, headers=headers or {})


def read_tasks(value: object) -> list[object]:
    """The elements of a request. Raises `InvalidField` when it is no array, or an empty or a very long one."""
    if not isinstance(value, list):
        raise InvalidField((), "must be a JSON array of task objects")
    if not 1 <= len(value) <= MOST_TASKS:
        raise InvalidField((), f"must hold 1 to {MOST_TASKS} tasks")
    return value


def named(element: object) -> Named:
    """How a task calls itself, as far as that can be repeated: garbage too, when it is short."""
    if not isinstance(element, Mapping):
        return Named()
    return Named(task_type=_echo(element.get("taskType")), task_uuid=_echo(element.get("taskUUID")))


def named_within(text: str) -> Named:
    """What a frame that nobody will parse seems to be about, so that its refusal reaches who sent it (RU-12)."""
    seen = text if len(text) <= 2 * _PEEKED else text[:_PEEKED] + text[-_PEEKED:]
    uuid, kind = _NAMED_UUID.search(seen), _NAMED_TYPE.search(seen)
    return Named(task_type=kind[1] if kind else None, task_uuid=uuid[1] if uuid else None)


def task_type(element: object) -> str:
    """Of which type a task is. Raises `InvalidField` (`missingTaskType`, `invalidTaskType`, inferred)."""
    if not isinstance(element, Mapping):
        raise InvalidField((), "every element of the array must be a task object")
    if "taskType" not in element:
        raise InvalidField(("taskType",), "is required", rule="missing")
    kind = element["taskType"]
    if not isinstance(kind, str):
        raise InvalidField(("taskType",), "must be a string", facts={"type": "string"})
    return kind


def task_uuid(element: Mapping[str, Any]) -> str:
    """The task's own UUID v4. Raises `InvalidField` (RU-13; `missingTaskUUID`, `invalidTaskUUID`, inferred)."""
    if element.get("taskUUID") is None:
        raise InvalidField(("taskUUID",), "is required", rule="missing")
    uuid = element["taskUUID"]
    if not isinstance(uuid, str):
        raise InvalidField(("taskUUID",), "must be a string", facts={"type": "string"})
    if not _UUID_4.fullmatch(uuid):
        raise InvalidField(("taskUUID",), "must be a UUID of version 4")
    return uuid


def is_uuid(text: object) -> bool:
    """Whether it is a UUID of any version."""
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


def is_of(element: object, kind: str) -> bool:
    """Whether an element is a task of that type."""
    return isinstance(element, Mapping) and element.get("taskType") == kind


def read_api_key(element: Mapping[str, Any]) -> str | None:
    """The key of an authentication element; None when there is none."""
    key = element.get("apiKey")
    return key if isinstance(key, str) and key else None


def read_session(element: Mapping[str, Any]) -> str | None:
    """The connection that an authentication wants to resume."""
    said = element.get("connectionSessionUUID")
    return said.lower() if isinstance(said, str) and is_uuid(said) else None


def peek_first(head: str) -> object:
    """The first element of an array of which only the beginning is there. Raises `MalformedBody`."""
    begun = head.lstrip(" \t\r\n")
    if not begun.startswith("["):
        msg = "the body is no JSON array"
        raise MalformedBody(msg)
    try:
        return json.JSONDecoder().raw_decode(begun[1:].lstrip(" \t\r\n"))[0]
    except (json.JSONDecodeError, RecursionError) as error:
        msg = "the body's first element is not JSON, or too large"
        raise MalformedBody(msg) from error


def authenticated_out(session_id: str | None) -> Told:
    """The answer to an authentication: without `taskUUID`, for clients find it by its type (RU-01)."""
    said: dict[str, object] = {"taskType": AUTHENTICATION}
    return told(said if session_id is None else {**said, "connectionSessionUUID": session_id})


def pong_out(element: Mapping[str, Any]) -> Told:
    """The answer to a ping (RU-04). Only one client gives its pings a UUID; it gets it back."""
    uuid = _echo(element.get("taskUUID"))
    return told({"taskType": PING, **({} if uuid is None else {"taskUUID": uuid}), "pong": True})


def item_out(who: Named, item: Mapping[str, object]) -> Told:
    """One item of an answer; members by which clients tell errors have no place in it (contract §3)."""
    said = {**who.members(), **item}
    return told({name: value for name, value in said.items() if name not in {"code", "error", "errorId"}})


def envelope(parts: Sequence[Told]) -> str:
    """`data` with the items, `errors` with the errors; neither key when there are none of it but `data` of nothing."""
    data = ",".join(part.text for part in parts if not part.is_error)
    errors = ",".join(part.text for part in parts if part.is_error)
    members = [f'"data":[{data}]'] if data or not errors else []
    return "{" + ",".join([*members, f'"errors":[{errors}]'] if errors else members) + "}"


def is_dry_run(*said: str | None) -> bool:
    """Whether a header or a parameter asks only to check and price tasks."""
    return any(value is not None and value.strip().lower() in {"1", "true"} for value in said)


def _echo(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_ECHO else None
