from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from trimtab.errors import InvalidConfig
from trimtab.store.engine import begun, open_engine
from trimtab.store.state import open_state
from trimtab.store.tables import metadata


def test_the_migrated_schema_is_the_one_in_the_code(url: str) -> None:
    open_state(url).close()
    engine = open_engine(url)
    with begun(engine, writing=True) as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert [] == compare_metadata(context, metadata)
    engine.dispose()


def described(things: Iterable[Mapping[str, Any]]) -> list[str]:
    """Text of constraints and indexes, with that of their conditions."""
    plain = [{**thing, "dialect_options": None} for thing in things]
    conditions = [
        sorted(f"{key} {value}" for key, value in thing.get("dialect_options", {}).items())
        for thing in things
    ]
    return sorted(map(str, zip(plain, conditions, strict=True)))


def schema_of(connection: Connection) -> dict[str, object]:
    found = inspect(connection)
    return {
        table: (
            found.get_pk_constraint(table)["constrained_columns"],
            described(found.get_indexes(table)),
            described(found.get_check_constraints(table)),
            described(found.get_unique_constraints(table)),
            described(found.get_foreign_keys(table)),
        )
        for table in sorted(set(found.get_table_names()) - {"alembic_version"})
    }


def test_migrated_indexes_and_checks_are_those_in_the_code(url: str) -> None:
    open_state(url).close()
    engine = open_engine(url)
    with begun(engine, writing=True) as connection:
        migrated = schema_of(connection)
        metadata.drop_all(connection)
        metadata.create_all(connection)
        created = schema_of(connection)
    engine.dispose()
    assert created == migrated


def test_opening_again_changes_nothing(url: str) -> None:
    open_state(url).close()
    store = open_state(url)
    with store.transaction() as tx:
        tx.control.advance(0)
    store.close()
    store = open_state(url)
    with store.reading() as tx:
        assert 1 == tx.control.epoch()
    store.close()


def test_who_only_reads_waits_for_no_writer(url: str) -> None:
    writer = open_state(url)
    with writer.transaction() as writing:
        writing.control.advance(0)
        reader = open_state(url, wait_seconds=0.05)
        with reader.reading() as tx:
            assert 0 == tx.control.epoch()
        reader.close()
    writer.close()


def test_a_database_of_a_newer_release_is_refused(url: str) -> None:
    open_state(url).close()
    engine = open_engine(url)
    with begun(engine, writing=True) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(InvalidConfig) as refused:
        open_state(url)
    assert "schema_too_new" == refused.value.code
