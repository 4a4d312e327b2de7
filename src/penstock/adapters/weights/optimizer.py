"""The rewriter of model files: the pure room's surveys and conversions, with their hashes beside them in threads.

Two hashes of whole files are the slowest of all that is done, each one after the other by its nature; so each has a
lane, and the arithmetic has one. numpy is imported when the first file comes: a worker that waits stays small.
"""

from __future__ import annotations

import hashlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from penstock.adapters.weights.lanes import Lane
from penstock.ports.weights import RewritePlan, WeightsChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from penstock.domain.weights import Category
    from penstock.ports.weights import Survey
    from penstock.weights.convert import Passage
    from penstock.weights.header import Header
    from penstock.weights.plan import Plan
    from penstock.weights.policy import Options
    from penstock.weights.survey import Survey as Surveyed

_PREFIX = 8


class Optimizer:
    """`ports.weights.Rewriter`; usable from many threads. Without options, the defaults of the policy."""

    def __init__(self, options: Options | None = None) -> None:
        self._options = options

    def surveyor(self, head: bytes, *, category: Category | None, family: str | None) -> _Surveyor:
        return _Surveyor(_header(head), self._chosen(), category=category, family=family)

    def passing(self, head: bytes, *, category: Category | None, family: str | None) -> _Passing | None:
        from penstock.weights.convert import Passage  # noqa: PLC0415 - numpy

        header = _header(head)
        passage = Passage(header, category=category, family=family, options=self._chosen())
        return _Passing(header, passage) if passage.is_possible else None

    def plan(self, head: bytes, survey: Survey) -> RewritePlan:
        return _described(_planned(_header(head), survey)[0])

    def rewrite(self, head: bytes, survey: Survey, read: Callable[[int, int], Iterable[bytes]]) -> _Rewriting:
        header = _header(head)
        plan, surveyed = _planned(header, survey)
        return _Rewriting(header, plan, surveyed, read)

    def _chosen(self) -> Options:
        from penstock.weights.policy import Options  # noqa: PLC0415 - heavy rooms are entered when they are needed

        return self._options or Options()


class _Surveyor:
    """`ports.weights.Surveyor`."""

    def __init__(self, header: Header, options: Options, *, category: str | None, family: str | None) -> None:
        from penstock.weights.survey import Surveying  # noqa: PLC0415 - numpy

        self._surveying = Surveying(header, category=category, family=family, options=options)
        self._digest = hashlib.sha256()
        self._hashing, self._looking = Lane("weights-hash"), Lane("weights-look")

    def update(self, block: bytes | memoryview) -> None:
        self._hashing.do(partial(self._digest.update, block))
        self._looking.do(partial(self._look, memoryview(block)))

    def finish(self) -> Survey:
        self._hashing.drain()
        self._looking.drain()
        try:
            return self._surveying.finish(self._digest.hexdigest()).as_json()
        except ValueError as short:
            raise WeightsChangedError(str(short)) from short

    def close(self) -> None:
        self._hashing.close()
        self._looking.close()

    def _look(self, block: memoryview) -> None:
        try:
            deque(self._surveying.update(block), maxlen=0)
        except ValueError as beyond:
            raise WeightsChangedError(str(beyond)) from beyond


class _Passing:
    """`ports.weights.Passing`."""

    def __init__(self, header: Header, passage: Passage) -> None:
        self._header, self._passage = header, passage
        self._digest, self._new_digest = hashlib.sha256(), hashlib.sha256()
        self._hashing, self._looking, self._writing = (Lane(f"weights-{name}") for name in ("hash", "look", "write"))
        self._ready: deque[memoryview] = deque()
        self._surveyed: Surveyed | None = None
        self._give(memoryview(passage.plan.head))

    @property
    def plan(self) -> RewritePlan:
        return _described(self._passage.plan)

    @property
    def refuted(self) -> bool:
        return self._passage.objection is not None

    def update(self, block: bytes | memoryview) -> list[bytes | memoryview]:
        self._hashing.do(partial(self._digest.update, block))
        self._looking.do(partial(self._look, memoryview(block)))
        return self._taken()

    def finish(self) -> tuple[Survey, list[bytes | memoryview]]:
        self._looking.do(partial(self._look, memoryview(b"")))
        for lane in (self._hashing, self._looking, self._writing):
            lane.drain()
        try:
            self._surveyed = self._passage.surveying.finish(self._digest.hexdigest())
        except ValueError as short:
            raise WeightsChangedError(str(short)) from short
        return self._surveyed.as_json(), self._taken()

    def manifest(self) -> tuple[bytes, Mapping[str, object]]:
        if self._surveyed is None or self.refuted:
            raise WeightsChangedError("there is no manifest of what was not written")
        return _manifest(self._header, self._passage.plan, self._surveyed, self._new_digest.hexdigest())

    def close(self) -> None:
        for lane in (self._hashing, self._looking, self._writing):
            lane.close()

    def _look(self, block: memoryview) -> None:
        try:
            for new in self._passage.update(block):
                self._give(new)
        except ValueError as beyond:
            raise WeightsChangedError(str(beyond)) from beyond

    def _give(self, new: memoryview) -> None:
        self._writing.do(partial(self._new_digest.update, new))
        self._ready.append(new)

    def _taken(self) -> list[bytes | memoryview]:
        taken: list[bytes | memoryview] = []
        while self._ready and not self.refuted:
            taken.append(self._ready.popleft())
        return taken


class _Rewriting:
    """`ports.weights.Rewriting`. Reading and arithmetic take the caller's thread, the hash of the new file its own."""

    def __init__(
        self, header: Header, plan: Plan, survey: Surveyed, read: Callable[[int, int], Iterable[bytes]]
    ) -> None:
        self._header, self._plan, self._survey, self._read = header, plan, survey, read
        self._stored_sha256 = survey.sha256 if plan.unchanged else None

    def blocks(self) -> Iterator[bytes | memoryview]:
        from penstock.weights.convert import ChangedError  # noqa: PLC0415 - numpy

        try:
            if self._plan.hashed:
                self._plan = self._plan.with_digest(self._data_digest())
            digest, hashing = hashlib.sha256(self._plan.head), Lane("weights-write")
            try:
                yield self._plan.head
                for block in self._data():
                    hashing.do(partial(digest.update, block))
                    yield block
                hashing.drain()
            finally:
                hashing.close()
        except ChangedError as changed:
            raise WeightsChangedError(str(changed)) from changed
        self._stored_sha256 = digest.hexdigest()

    def manifest(self) -> tuple[bytes, Mapping[str, object]]:
        if self._stored_sha256 is None:
            raise WeightsChangedError("there is no manifest of what was not written")
        return _manifest(self._header, self._plan, self._survey, self._stored_sha256)

    def _data(self) -> Iterator[memoryview]:
        from penstock.weights.convert import Conversion  # noqa: PLC0415 - numpy

        return Conversion(self._header, self._plan, self._survey, self._read).blocks()

    def _data_digest(self) -> str:
        """For metadata that hold the hash of the data: they stand before the data, so it takes a pass of its own."""
        digest = hashlib.sha256()
        for block in self._data():
            digest.update(block)
        return digest.hexdigest()


def _header(head: bytes) -> Header:
    from penstock.weights.container import parse_header  # noqa: PLC0415 - as above

    return parse_header(head[_PREFIX:])


def _planned(header: Header, survey: Survey) -> tuple[Plan, Surveyed]:
    from penstock.weights.plan import make_plan  # noqa: PLC0415 - as above
    from penstock.weights.survey import Survey as Surveyed  # noqa: PLC0415 - numpy

    surveyed = Surveyed.of_json(survey)
    plan = make_plan(
        header,
        category=surveyed.category,
        family=surveyed.family,
        options=surveyed.options,
        refused=surveyed.refused,
    )
    return plan, surveyed


def _described(plan: Plan) -> RewritePlan:
    return RewritePlan(size=plan.size, unchanged=plan.unchanged, fingerprint=plan.fingerprint)


def _manifest(header: Header, plan: Plan, survey: Surveyed, sha256: str) -> tuple[bytes, Mapping[str, object]]:
    from penstock.weights.manifest import manifest, summary  # noqa: PLC0415 - numpy

    document = manifest(header, plan, survey, stored_sha256=sha256)
    return document, summary(header, plan, survey, stored_sha256=sha256)
