"""How a table is stated: plain data, because SQLAlchemy takes half a second to import and few programs need it.

`metadata.py` makes SQLAlchemy's tables of it. A table of facts gives each of its columns a role, and from the roles the
lists that triggers, grants, REST and tests need.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Type = Literal[
    "bigint", "boolean", "bytea", "double precision", "integer", "jsonb", "smallint", "text", "timestamptz", "uuid"
]


class Role(StrEnum):
    """Who states a column, and who may see it."""

    # An operator edits it; each edit makes a new row version. REST takes and shows it, events tell it unless it says
    # `told=False`.
    OPERATOR = "operator"
    # A monitor has found it out. REST shows it, events tell it unless it says `told=False`.
    VERDICT = "verdict"
    # The database keeps it about the row itself, such as its id. REST shows it, events tell it unless `told=False`.
    RECORD = "record"
    # For the fleet's own programs: not in REST, not in events. Subscribers may read it.
    INTERNAL = "internal"
    # An operator gives it, and only the fleet's own programs read it.
    SECRET = "secret"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `default` is SQL. `references` names a column of another table: the row is deleted with that one's.

    `told`: events tell its changes. `of_address`: an edit of it makes another server of the row; a verdict with it does
    not outlive such an edit.
    """

    name: str
    type: Type
    null: bool = field(default=False, kw_only=True)
    default: str | None = field(default=None, kw_only=True)
    key: bool = field(default=False, kw_only=True)
    identity: bool = field(default=False, kw_only=True)
    references: str | None = field(default=None, kw_only=True)
    role: Role | None = field(default=None, kw_only=True)
    told: bool = field(default=False, kw_only=True)
    of_address: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Index:
    """An index; without a name it gets the usual one."""

    columns: tuple[str, ...]
    name: str | None = field(default=None, kw_only=True)
    unique: bool = field(default=False, kw_only=True)
    where: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `checks` are its rules by their names, `unlogged` is one that a crash of PostgreSQL empties."""

    name: str
    columns: Sequence[Column]
    checks: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    unique: Sequence[tuple[str, ...]] = field(default=(), kw_only=True)
    indexes: Sequence[Index] = field(default=(), kw_only=True)
    unlogged: bool = field(default=False, kw_only=True)
    fillfactor: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class FactTable(Table):
    """A table whose changes are events. A column without a role, or a hidden one that events would tell, is refused."""

    def __post_init__(self) -> None:
        """Raise `ValueError` unless each column says who may see it."""
        for column in self.columns:
            if column.role is None:
                raise ValueError(
                    f"{self.name}.{column.name} has no role. State it with operator(), verdict(), record(), internal() "
                    "or secret(), which decides who may see it."
                )
            if column.told and column.role in {Role.INTERNAL, Role.SECRET}:
                raise ValueError(f"{self.name}.{column.name} is {column.role}, so events must not tell it.")

    @property
    def edited(self) -> tuple[str, ...]:
        """What an operator edits; a change of any makes a new row version."""
        return self._named(lambda column: column.role in {Role.OPERATOR, Role.SECRET})

    @property
    def shown(self) -> tuple[str, ...]:
        """What REST shows."""
        return self._named(lambda column: column.role not in {Role.INTERNAL, Role.SECRET})

    @property
    def told(self) -> tuple[str, ...]:
        """What events may tell."""
        return self._named(lambda column: column.told)

    @property
    def silent(self) -> tuple[str, ...]:
        """What no event tells."""
        return self._named(lambda column: not column.told)

    @property
    def noticed(self) -> tuple[str, ...]:
        """What events may tell and no row version shows."""
        return self._named(lambda column: column.told and column.role is not Role.OPERATOR)

    @property
    def secret(self) -> tuple[str, ...]:
        """What only the fleet's own programs may read."""
        return self._named(lambda column: column.role is Role.SECRET)

    @property
    def readable(self) -> tuple[str, ...]:
        """What a subscriber may read with SQL."""
        return self._named(lambda column: column.role is not Role.SECRET)

    @property
    def address(self) -> tuple[str, ...]:
        """What an edit of makes another server of the row."""
        return self._named(lambda column: column.of_address and column.name in self.edited)

    @property
    def forgotten(self) -> tuple[str, ...]:
        """The verdicts that do not outlive such an edit."""
        return self._named(lambda column: column.of_address and column.name not in self.edited)

    def _named(self, wanted: Callable[[Column], bool]) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if wanted(column))


def operator(name: str, type: Type, *, told: bool = True, **options: Any) -> Column:
    """Return a column that an operator edits."""
    return Column(name, type, role=Role.OPERATOR, told=told, **options)


def verdict(name: str, type: Type, *, told: bool = True, null: bool = True, **options: Any) -> Column:
    """Return a column that a monitor writes; NULL means that nothing is known."""
    return Column(name, type, role=Role.VERDICT, told=told, null=null, **options)


def record(name: str, type: Type, *, told: bool = True, **options: Any) -> Column:
    """Return a column that the database keeps about the row."""
    return Column(name, type, role=Role.RECORD, told=told, **options)


def internal(name: str, type: Type, *, null: bool = True, **options: Any) -> Column:
    """Return a column for the fleet's own programs."""
    return Column(name, type, role=Role.INTERNAL, null=null, **options)


def secret(name: str, type: Type, **options: Any) -> Column:
    """Return a column that nobody may read but the fleet's own programs."""
    return Column(name, type, role=Role.SECRET, **options)


def are_texts(column: str, *, kind: str, elements: str) -> dict[str, str]:
    """Return the rule that all elements of a jsonb column are texts; `kind` is what the column itself is."""
    # strict: a lax path would look into an array inside and take its texts for the elements.
    other = f"jsonb_path_exists({column}, 'strict {elements} ? (@.type() <> \"string\")', '{{}}', true)"
    return {f"{column}_are_texts": f"jsonb_typeof({column}) = '{kind}' AND NOT {other}"}


def tables(module: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the tables among the names of a module, in their order."""
    return (value for value in module.values() if isinstance(value, Table))
