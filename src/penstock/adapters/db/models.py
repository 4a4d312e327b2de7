"""Registered models as rows, the sources of their names, and the index of terms that finds them."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, func, insert, literal_column, or_, select, tuple_, update

from penstock.adapters.db.leads import AFTER_ALL
from penstock.adapters.db.rows import Rows, insert_missing, to_change
from penstock.adapters.db.tables import model_files, model_sources, model_terms, models
from penstock.domain.errors import ModelNotFound, NameTaken
from penstock.domain.model_search import clauses_of, sort_name, terms_of
from penstock.domain.models import ModelCard, ModelSort, ModelSource, RegisteredModel, Visibility

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row

    from penstock.domain.ids import AccountId, ModelFileId
    from penstock.domain.library import Clause
    from penstock.domain.models import ModelQuery

EVERYBODY = ""
"""The audience of public models."""
_USE_KEPT = timedelta(minutes=1)
_SOURCES = Rows(ModelSource, model_sources)
_CARD = tuple(field.name for field in fields(ModelCard))
_OWN = tuple(field.name for field in fields(RegisteredModel) if field.name != "card")
_FIXED = ("id", "account_id", "air", "source", "number", "version", "created_at")
"""What never changes, so that replacing a row leaves the indexes on it alone."""

_ADD_SOURCE = insert_missing(model_sources)
_SOURCES_OF = (
    _SOURCES.select().where(model_sources.c.account_id == bindparam("account_id")).order_by(model_sources.c.name)
)
_OWNED = select(model_sources.c.name).where(
    model_sources.c.account_id == bindparam("account_id"), model_sources.c.name == bindparam("name")
)
_LOCK_SOURCE = to_change(_OWNED)

_MODELS = select(*(models.c[name] for name in (*_OWN, *_CARD)))
_GET = _MODELS.where(
    models.c.air == bindparam("air"), or_(models.c.account_id == bindparam("viewer"), ~models.c.private)
)
_OF_OWNER = _MODELS.where(models.c.air == bindparam("air"), models.c.account_id == bindparam("account_id"))
_OF_OWNER_TO_CHANGE = to_change(_OF_OWNER)
_ADD = insert(models)
_REPLACE = update(models).where(models.c.id == bindparam("its_id"), models.c.account_id == bindparam("its_account"))
_REMOVE = delete(models).where(models.c.id == bindparam("its_id"), models.c.account_id == bindparam("its_account"))
_BEFORE = select(models.c.id, models.c.private, models.c.terms, models.c.file_id).where(
    models.c.air == bindparam("air"), models.c.account_id == bindparam("its_account")
)
_USED = update(models).where(
    models.c.air == bindparam("its_air"),
    or_(models.c.used_at.is_(None), models.c.used_at <= bindparam("before", type_=models.c.used_at.type)),
)
_LOOSEN = update(model_files).where(model_files.c.id == bindparam("its_id"))
_POST = insert(model_terms)
_TAKE_BACK = delete(model_terms).where(
    model_terms.c.audience == bindparam("its_audience"),
    model_terms.c.term == bindparam("its_term"),
    model_terms.c.model_id == bindparam("its_id"),
)
_ORDERS = {
    ModelSort.NAME: models.c.sort_name,
    ModelSort.ADDED: models.c.created_at,
    ModelSort.UPDATED: models.c.updated_at,
    ModelSort.USED: func.coalesce(models.c.used_at, literal_column("0")),
}


class SqlModels:
    """Implements `ModelRepository`."""

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._writes = writes

    def add_source(self, source: ModelSource) -> None:
        """Raises `NameTaken`."""
        if self._connection.execute(_ADD_SOURCE, _SOURCES.values(source)).first() is None:
            raise NameTaken(source.name)

    def sources(self, account_id: AccountId) -> Sequence[ModelSource]:
        """By name."""
        return _SOURCES.all(self._connection, _SOURCES_OF, {"account_id": account_id})

    def owns(self, account_id: AccountId, source: str) -> bool:
        """Whether the source is the account's own."""
        return self._connection.execute(_OWNED, {"account_id": account_id, "name": source}).first() is not None

    def get(self, viewer: AccountId, air: str) -> RegisteredModel:
        """Raises `ModelNotFound`."""
        row = self._connection.execute(_GET, {"viewer": viewer, "air": air}).first()
        if row is None:
            raise ModelNotFound(air)
        return _made(row)

    def own(self, account_id: AccountId, air: str) -> RegisteredModel | None:
        """Its row is locked; where there is none yet, that of its source is, so that two do not add it at once."""
        query = _OF_OWNER_TO_CHANGE if self._writes else _OF_OWNER
        parameters = {"account_id": account_id, "air": air}
        row = self._connection.execute(query, parameters).first()
        if row is None and self._writes:
            self._connection.execute(_LOCK_SOURCE, {"account_id": account_id, "name": air.partition(":")[0]})
            row = self._connection.execute(query, parameters).first()
        return None if row is None else _made(row)

    def put(self, model: RegisteredModel) -> None:
        """Add a model, or replace what the AIR stood for, and make it findable as it is now."""
        before = self._before(model)
        terms = terms_of(model)
        row = {
            **{name: getattr(model, name) for name in _OWN},
            **{name: getattr(model.card, name) for name in _CARD},
            "sort_name": sort_name(model),
            "terms": _lines(terms),
        }
        if before is None:
            self._connection.execute(_ADD, row)
            self._post(model.id, set(), _places(model.account_id, terms, private=model.card.private))
        else:
            changed = {name: value for name, value in row.items() if name not in _FIXED}
            self._connection.execute(_REPLACE, {**changed, "its_id": before.id, "its_account": model.account_id})
            was = _places(model.account_id, before.terms.split("\n"), private=before.private)
            self._post(before.id, was, _places(model.account_id, terms, private=model.card.private))
        files: dict[ModelFileId, datetime | None] = {model.file_id: None}
        if before is not None:
            files.setdefault(before.file_id, model.updated_at)
        for file_id in sorted(files):  # in one order, so that two updates cannot wait in a circle
            self._loosen(file_id, at=files[file_id])

    def remove(self, model: RegisteredModel) -> None:
        """The AIR is free again."""
        before = self._before(model)
        if before is not None:
            was = _places(model.account_id, before.terms.split("\n"), private=before.private)
            self._post(before.id, was, set())
            self._connection.execute(_REMOVE, {"its_id": before.id, "its_account": model.account_id})
            self._loosen(before.file_id, at=model.updated_at)

    def search(self, viewer: AccountId, query: ModelQuery) -> tuple[int, Sequence[RegisteredModel]]:
        """How many fit in all, and those from `offset` on."""
        fits = _fits(viewer, query)
        total = self._connection.execute(select(func.count()).select_from(models).where(*fits)).scalar_one()
        order: list[ColumnElement[Any]] = [_ORDERS[query.sort], models.c.id]
        if query.descending:
            order = [column.desc() for column in order]
        page = _MODELS.where(*fits).order_by(*order)
        if query.below is not None:
            position = tuple_(
                bindparam("below_at", query.below[0], type_=models.c.created_at.type),
                bindparam("below_id", query.below[1], type_=models.c.id.type),
            )
            page = page.where(tuple_(models.c.created_at, models.c.id) < position)
        rows = self._connection.execute(page.offset(query.offset).limit(query.limit))
        return total, [_made(row) for row in rows]

    def note_use(self, air: str, *, now: datetime) -> None:
        """One word a minute, so that runs of a popular model do not wait for one another."""
        self._connection.execute(_USED.values(used_at=now), {"its_air": air, "before": now - _USE_KEPT})

    def _before(self, model: RegisteredModel) -> Row[Any, Any, Any, Any] | None:
        return self._connection.execute(_BEFORE, {"air": model.air, "its_account": model.account_id}).first()

    def _loosen(self, file_id: ModelFileId, *, at: datetime | None) -> None:
        self._connection.execute(_LOOSEN.values(loose_at=at), {"its_id": file_id})

    def _post(self, model_id: str, before: set[tuple[str, str]], after: set[tuple[str, str]]) -> None:
        """Make the index say what the model's row says; the difference alone is written."""
        if gone := sorted(before - after):
            self._connection.execute(
                _TAKE_BACK,
                [{"its_audience": audience, "its_term": term, "its_id": model_id} for audience, term in gone],
            )
        if new := sorted(after - before):
            self._connection.execute(
                _POST, [{"audience": audience, "term": term, "model_id": model_id} for audience, term in new]
            )


def _made(row: Row[Any]) -> RegisteredModel:
    values = dict(zip((*_OWN, *_CARD), row, strict=True))
    card = ModelCard(**{name: values[name] for name in _CARD})
    return RegisteredModel(card=card, **{name: values[name] for name in _OWN})


def _lines(terms: Iterable[str]) -> str:
    return "\n".join(terms)


def _places(account_id: AccountId, terms: Iterable[str], *, private: bool) -> set[tuple[str, str]]:
    """Audiences and terms."""
    audiences = (account_id,) if private else (account_id, EVERYBODY)
    return {(audience, term) for term in terms if term for audience in audiences}


def _fits(viewer: AccountId, query: ModelQuery) -> Sequence[ColumnElement[bool]]:
    conditions = [_visible(viewer, query.visibility)]
    for column, values in (
        (models.c.air, query.airs),
        (models.c.category, query.categories),
        (models.c.type, query.types),
        (models.c.architecture, query.architectures),
        (models.c.conditioning, query.conditionings),
        (models.c.source, query.sources),
    ):
        if values:
            conditions.append(column.in_(values))
    return [*conditions, *(models.c.id.in_(_having(viewer, clause)) for clause in clauses_of(query))]


def _visible(viewer: AccountId, visibility: Visibility) -> ColumnElement[bool]:
    own = models.c.account_id == viewer
    return {
        Visibility.ALL: or_(own, ~models.c.private),
        Visibility.PUBLIC: ~models.c.private,
        Visibility.PRIVATE: and_(own, models.c.private),
        Visibility.OWNED: own,
    }[visibility]


def _having(viewer: AccountId, clause: Clause) -> Any:  # noqa: ANN401 - a subquery
    """Ids of the models that the viewer may see and that have the term: others' private ones are not looked at."""
    found = select(model_terms.c.model_id).where(model_terms.c.audience.in_((viewer, EVERYBODY)))
    if clause.prefix:
        return found.where(model_terms.c.term >= clause.term, model_terms.c.term < clause.term + AFTER_ALL)
    return found.where(model_terms.c.term == clause.term)
