"""Opening a results schema: who may write it, and which of its tables fit the models."""

from collections.abc import Mapping
from dataclasses import replace

from topline.errors import FencedError, StateError
from topline.results import registry
from topline.results.connection import Cursor
from topline.results.epoch import Model, Opened
from topline.results.guest import drop_places
from topline.results.registry import Registered, Writer
from topline.results.session import describe_writer
from topline.results.swap import drop_shadow
from topline.results.tables import align_indexes, create_indexes, create_key, create_table, describe, has_shape, stands


def take_schema(
    cursor: Cursor, schema: str, writer: Writer, models: Mapping[str, Model], published: Mapping[str, int], *, take_over: bool
) -> Opened:
    """Register `writer` (its epoch: the newest that its state has committed), and make a table stand for each model.

    FencedError when another state wrote last, or a newer one of the same name, unless `take_over`.
    """
    registry.create_registry(cursor, schema)
    found = registry.read_writer(cursor, schema, lock=True)
    if found is not None and not take_over:
        _require_same(found, writer, schema)
    drop_places(cursor, schema)
    begin = 0 if found is None or take_over else found.epoch
    registry.write_writer(cursor, schema, replace(writer, epoch=begin))
    registered = registry.read_models(cursor, schema)
    orphans = sorted(set(registered) - set(models))
    registry.retire_models(cursor, schema, orphans)
    stale = {
        name
        for name, model in models.items()
        if not _stands_fitting(cursor, schema, model, registered.get(name))
        or not _continues(registered[name], writer, model, published.get(name, 0))
    }
    for name in models:
        registry.add_model(cursor, schema, name, disown=take_over)
        drop_shadow(cursor, schema, name)
    return Opened(
        epoch=found.epoch if found else 0,
        published_epoch={name: registered[name].epoch if name in registered else 0 for name in models},
        must_republish=frozenset(models if take_over else stale),
        orphans=tuple(name for name in orphans if stands(cursor, schema, name)),
    )


def _require_same(found: Writer, writer: Writer, schema: str) -> None:
    if (found.engine, found.state_id) != (writer.engine, writer.state_id):
        raise FencedError(
            f"the result tables in the schema {schema!r} were written by {describe_writer(found)}, not by this state. "
            "`topline run --take-over` republishes all of them from this one"
        )
    if found.epoch > writer.epoch:
        raise FencedError(
            f"the result tables in the schema {schema!r} are at epoch {found.epoch}, but this state has come to "
            f"{writer.epoch} only: it is an older copy. `topline run --take-over` republishes all of them from this one"
        )


def _stands_fitting(cursor: Cursor, schema: str, model: Model, found: Registered | None) -> bool:
    """Make the table stand; whether it stood already in the model's shape."""
    if not stands(cursor, schema, model.name):
        create_table(cursor, schema, model.name, model.schema)
        create_key(cursor, schema, model.name, model.schema.key)
        create_indexes(cursor, schema, model.name, model.indexes)
        describe(cursor, schema, model.name, model)
        return False
    if found is None:
        raise StateError(
            f"the table {schema}.{model.name} stands already and is not Topline's: rename it, or set results.schema"
        )
    if not has_shape(cursor, schema, model.name, model.schema):
        return False
    align_indexes(cursor, schema, model)
    return True


def _continues(found: Registered, writer: Writer, model: Model, published: int) -> bool:
    """Whether the table shows what this state published, or newer: an older one came back from a backup."""
    same = (found.engine, found.state_id, found.fingerprint) == (writer.engine, writer.state_id, model.fingerprint)
    return same and not found.retired and 0 < published <= found.epoch
