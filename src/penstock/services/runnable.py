"""What can be run: models of the catalog, and registered ones for which the catalog binds a runner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.domain import bindings
from penstock.domain.air import parse_reference
from penstock.domain.catalog import FieldType
from penstock.domain.errors import ModelNotFound, NoRunner

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.domain.bindings import UsedModel
    from penstock.domain.catalog import Catalog, CheckedInput, Model
    from penstock.domain.ids import AccountId, RunId
    from penstock.domain.models import RegisteredModel
    from penstock.ports.database import Database, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """What a run's name leads to. `base` is the registered model, whose weights the runner gets as `weights`."""

    model: Model
    base: RegisteredModel | None = None
    weights: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedModels:
    """Registered models of a run: their marks by canonical name of the field, and all of them."""

    values: Mapping[str, object] = field(default_factory=dict)
    models: tuple[UsedModel, ...] = ()


class Runnables:
    """Looks names up, for whoever may see what they stand for (P11)."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog

    def find(self, account_id: AccountId, name: str) -> Runnable:
        """The catalog's model, else the registered one whose AIR the name is. Raises `ModelNotFound`, `NoRunner`.

        A private model of somebody else is not found. A name in the operator's catalog, however it is written, is
        nobody else's: any account may make a source that is free, and publish under it.
        """
        reference = parse_reference(name)
        air = reference.air if reference is not None else None
        ours = self._catalog.get(name) or (self._catalog.get(air) if air is not None else None)
        base = self._registered(account_id, name) if ours is None else None
        if base is None:
            return Runnable(model=ours or self._catalog.find(name))
        binding = self._catalog.binding(base.card.architecture, base.card.category)
        if binding is None:
            raise NoRunner(air=base.air, category=base.card.category, architecture=base.card.architecture)
        return Runnable(model=bindings.bound(binding, base), base=base, weights=binding.weights)

    def used(self, account_id: AccountId, runnable: Runnable, checked: CheckedInput) -> UsedModels:
        """The registered models that a run uses: the one that is run, and those that its input names.

        Raises `ModelNotFound` and `InvalidField` about the place of the one that is not there or does not fit.
        """
        values: dict[str, object] = {}
        found: list[UsedModel] = []
        if runnable.base is not None:
            found.append(bindings.used(runnable.base))
            values[runnable.weights] = bindings.marked(found[0])
        for name, (field_, named) in checked.models.items():
            entries: list[dict[str, object]] = []
            for each in named:
                path = ("input", *each.path)
                model = self._registered(account_id, each.air)
                if model is None:
                    raise ModelNotFound(each.air).about(path)
                bindings.check_companion(field_, model, beside=runnable.base, path=path)
                found.append(bindings.used(model))
                entries.append(bindings.entry(model, each.options, files=field_.files))
            values[name] = entries[0]["model"] if field_.type is FieldType.MODEL else entries
        return UsedModels(values=values, models=tuple(found))

    def lease(self, tx: Transaction, run_id: RunId, used: UsedModels, *, now: datetime) -> None:
        """Keep the files of those models until the run has ended. Raises `ModelNotFound` when one is gone by now."""
        if not used.models:
            return
        kept = tx.model_leases.add(run_id, {model.file_id for model in used.models})
        for model in sorted(used.models, key=lambda model: model.air):
            if model.file_id not in kept:
                raise ModelNotFound(model.air)
            tx.models.note_use(model.air, now=now)

    def _registered(self, account_id: AccountId, name: str) -> RegisteredModel | None:
        reference = parse_reference(name)
        if reference is None or reference.air is None:
            return None
        with self._database.read() as tx:
            try:
                return tx.models.get(account_id, reference.air)
            except ModelNotFound:
                return None
