"""The tables as SQLAlchemy's, which Alembic and the tests compare with a database."""

from typing import Any

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    CheckConstraint,
    Double,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Index as SqlIndex
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

from monitor.postgres import columns, tables
from monitor.postgres.columns import Column, Index, Table, Type

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
TYPES: dict[Type, TypeEngine[Any]] = {
    "bigint": BigInteger(),
    "boolean": Boolean(),
    "bytea": LargeBinary(),
    "double precision": Double(),
    "integer": Integer(),
    "jsonb": JSONB(),
    "smallint": SmallInteger(),
    "text": Text(),
    "timestamptz": TIMESTAMP(timezone=True),
    "uuid": Uuid(),
}


def _add(table: Table) -> None:
    items: list[SchemaItem] = [_column(column) for column in table.columns]
    items += [UniqueConstraint(*names) for names in table.unique]
    items += [CheckConstraint(rule, name=name) for name, rule in table.checks.items()]
    items += [_index(index) for index in table.indexes]
    SqlTable(
        table.name,
        metadata,
        *items,
        prefixes=["UNLOGGED"] if table.unlogged else [],
        postgresql_with={"fillfactor": str(table.fillfactor)} if table.fillfactor else {},
    )


def _column(column: Column) -> SqlColumn[Any]:
    arguments: list[SchemaItem] = []
    if column.identity:
        arguments.append(Identity(always=True))
    if column.references is not None:
        arguments.append(ForeignKey(column.references, ondelete="CASCADE"))
    return SqlColumn(
        column.name,
        TYPES[column.type],
        *arguments,
        primary_key=column.key,
        nullable=column.null,
        autoincrement=column.identity,
        server_default=None if column.default is None else text(column.default),
    )


def _index(index: Index) -> SqlIndex:
    where = None if index.where is None else text(index.where)
    return SqlIndex(index.name, *index.columns, unique=index.unique, postgresql_where=where)


for stated in columns.tables(vars(tables)):
    _add(stated)
