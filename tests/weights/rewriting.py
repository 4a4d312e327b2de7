"""Model files as bytes, taken through survey, plan and conversion: what tests of the room share."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from penstock.weights.container import parse_header
from penstock.weights.convert import Conversion, Passage
from penstock.weights.manifest import manifest
from penstock.weights.plan import make_plan
from penstock.weights.policy import Options
from penstock.weights.survey import Survey, Surveying

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from penstock.weights.header import Header
    from penstock.weights.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A file and what is said of it; `block` is the size in which its bytes come."""

    content: bytes
    category: str | None = "checkpoint"
    family: str | None = "flux1"
    options: Options = field(default_factory=Options)
    block: int = 65_537

    @cached_property
    def header(self) -> Header:
        return header_of(self.content)

    @property
    def said(self) -> dict[str, Any]:
        return {"category": self.category, "family": self.family, "options": self.options}

    def blocks(self) -> Iterator[memoryview]:
        view = memoryview(self.content)
        return (view[begin : begin + self.block] for begin in range(0, len(view), self.block))


def file_of(
    tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]],
    metadata: Mapping[str, str] | None = None,
    *,
    pad: int = 0,
) -> bytes:
    """A model file with its tensors in the given order; `pad` spaces shift its data."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    begin = 0
    for name, (dtype, shape, data) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + len(data)]}
        begin += len(data)
    text = json.dumps(entries).encode() + b" " * pad
    return len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values())


def header_of(content: bytes) -> Header:
    end = 8 + int.from_bytes(content[:8], "little")
    return parse_header(content[8:end], file_size=len(content))


def survey_of(subject: Subject) -> Survey:
    surveying = Surveying(subject.header, **subject.said)
    for block in subject.blocks():
        deque(surveying.update(block), maxlen=0)
    return surveying.finish(hashlib.sha256(subject.content).hexdigest())


def plan_of(subject: Subject, survey: Survey) -> Plan:
    return make_plan(subject.header, **subject.said, refused=survey.refused)


def rewritten(subject: Subject) -> bytes:
    """In two passes."""
    survey = survey_of(subject)
    plan = plan_of(subject, survey)
    return subject.content if plan.unchanged else carried_out(subject, plan, survey)


def carried_out(subject: Subject, plan: Plan, survey: Survey) -> bytes:
    def read(begin: int, end: int) -> Iterable[bytes]:
        assert subject.header.data_start <= begin < end <= len(subject.content)
        return (subject.content[at : min(end, at + subject.block)] for at in range(begin, end, subject.block))

    return b"".join((plan.head, *Conversion(subject.header, plan, survey, read).blocks()))


def in_one_pass(subject: Subject) -> bytes | None:
    """None when its plan was refuted."""
    passage = Passage(subject.header, **subject.said)
    new = [block for part in subject.blocks() for block in passage.update(part)]
    new += list(passage.update(memoryview(b"")))
    return None if passage.objection else b"".join((passage.plan.head, *new))


def manifest_of(subject: Subject) -> dict[str, Any]:
    survey = survey_of(subject)
    read: dict[str, Any] = json.loads(manifest(subject.header, plan_of(subject, survey), survey, stored_sha256="-"))
    return read


def data_of(content: bytes) -> Mapping[str, bytes]:
    header = header_of(content)
    return {
        tensor.name: content[header.data_start + tensor.begin : header.data_start + tensor.end]
        for tensor in header.tensors
    }
