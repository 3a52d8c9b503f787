"""Queries: call the SQL of ``oncue/sql/queries`` as typed functions.

An engine module loads the file of its own name and declares what it runs, so that a name leads from Python to SQL and
back by searching for it::

    _sql = queries.load("dispatch")                       # oncue/sql/queries/dispatch.sql
    release_due = _sql.many("release_due", ReleasedRun)   # -- name: release_due :many ReleasedRun

    rows = await release_due(tx, limit=100)               # list[ReleasedRun]

A row becomes its Struct by position, without conversion, so the columns must come as the fields' types. That the names
agree is checked at the first row; a house test checks it for every query on a real server.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from oncue.store.errors import QueryError
from oncue.store.pool import Tx
from oncue.store.query_text import QueryText, Shape, parse_file

if TYPE_CHECKING:
    import asyncpg

Row = TypeVar("Row", bound=msgspec.Struct)

_registry: "dict[tuple[str, str], Query]" = {}


class Query:
    """One declared query; its subclasses run it."""

    def __init__(self, file: "QueryFile", text: QueryText, row: type[msgspec.Struct] | None) -> None:
        self.file = file
        self.text = text
        self.row = row
        self.sql = text.sql
        self._names = text.parameters
        self._known = frozenset(text.parameters)
        _registry[file.name, text.name] = self

    @property
    def name(self) -> str:
        """File and name, as messages have it: ``dispatch.release_due``."""
        return f"{self.file.name}.{self.text.name}"

    def arguments(self, values: dict[str, object]) -> list[object]:
        """Put named values in the order of ``$1`` to ``$n``.

        Raises:
            TypeError: A name is missing or unknown.
        """
        if values.keys() != self._known:
            missing, unknown = sorted(self._known - values.keys()), sorted(values.keys() - self._known)
            told = [f"missing {', '.join(missing)}"] if missing else []
            told += [f"unknown {', '.join(unknown)}"] if unknown else []
            expected = ", ".join(self._names) or "no arguments"
            raise TypeError(f"{self.name}() was called with {' and '.join(told)}; it takes {expected}")
        return [values[name] for name in self._names]


class _Returning(Query, Generic[Row]):
    """A query with rows."""

    def __init__(self, file: "QueryFile", text: QueryText, row: type[Row]) -> None:
        super().__init__(file, text, row)
        self._make: Callable[[asyncpg.Record], Row] | None = None

    async def _rows(self, tx: Tx, values: dict[str, object]) -> list[Row]:
        records = await tx.fetch(self.sql, *self.arguments(values))
        if not records:
            return []
        make = self._make or self._learn(tuple(records[0].keys()))
        return [make(record) for record in records]

    def _learn(self, columns: tuple[str, ...]) -> "Callable[[asyncpg.Record], Row]":
        """Find out, at the first row, how a record becomes a Struct."""
        row: Callable[..., Row] = self.row  # type: ignore[assignment]
        permute = arrangement(self, columns)
        if permute is None:
            self._make = lambda record: row(*record)
        else:
            self._make = lambda record: row(*permute(record))
        return self._make


class Many(_Returning[Row]):
    """A query that returns any number of rows."""

    async def __call__(self, tx: Tx, /, **parameters: object) -> list[Row]:
        """Run it and return its rows in the order of the SQL; an empty list if there are none.

        Raises:
            TypeError: A parameter is missing or unknown.
            QueryError: The columns are not the Struct's fields.
        """
        return await self._rows(tx, parameters)


class Maybe(_Returning[Row]):
    """A query that returns at most one row."""

    async def __call__(self, tx: Tx, /, **parameters: object) -> Row | None:
        """Run it and return its row, or None.

        Raises:
            TypeError: A parameter is missing or unknown.
            QueryError: There are several rows, or the columns are not the Struct's fields.
        """
        rows = await self._rows(tx, parameters)
        if len(rows) > 1:
            raise QueryError(f"{self.name} returned {len(rows)} rows; it promises at most one")
        return rows[0] if rows else None


class One(_Returning[Row]):
    """A query that returns exactly one row."""

    async def __call__(self, tx: Tx, /, **parameters: object) -> Row:
        """Run it and return its row.

        Raises:
            TypeError: A parameter is missing or unknown.
            QueryError: There is no row or several, or the columns are not the Struct's fields.
        """
        rows = await self._rows(tx, parameters)
        if len(rows) != 1:
            raise QueryError(f"{self.name} returned {len(rows)} rows; it promises exactly one")
        return rows[0]


class Nothing(Query):
    """A query that returns no rows."""

    async def __call__(self, tx: Tx, /, **parameters: object) -> int:
        """Run it and return how many rows it inserted, changed or deleted; 0 for statements that do not count.

        Raises:
            TypeError: A parameter is missing or unknown.
        """
        status = await tx.execute(self.sql, *self.arguments(parameters))
        count = status.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0


class QueryFile:
    """The queries of one file, to be declared by the module of the same name."""

    def __init__(self, name: str, queries: dict[str, QueryText]) -> None:
        self.name = name
        self.queries = queries

    def one(self, name: str, row: type[Row]) -> One[Row]:
        """Declare a ``:one`` query; raises QueryError unless the file says the same."""
        return One(self, self._text(name, "one", row), row)

    def maybe(self, name: str, row: type[Row]) -> Maybe[Row]:
        """Declare a ``:maybe`` query; raises QueryError unless the file says the same."""
        return Maybe(self, self._text(name, "maybe", row), row)

    def many(self, name: str, row: type[Row]) -> Many[Row]:
        """Declare a ``:many`` query; raises QueryError unless the file says the same."""
        return Many(self, self._text(name, "many", row), row)

    def none(self, name: str) -> Nothing:
        """Declare a ``:none`` query; raises QueryError unless the file says the same."""
        return Nothing(self, self._text(name, "none", None), None)

    def _text(self, name: str, shape: Shape, row: type[msgspec.Struct] | None) -> QueryText:
        text = self.queries.get(name)
        if text is None:
            raise QueryError(f"{self.name}.sql has no query {name!r}; it has {', '.join(self.queries) or 'none'}")
        declared = (shape, row.__name__ if row else None)
        if (text.shape, text.row) != declared:
            raise QueryError(
                f"{self.name}.sql:{text.line} says {name} :{text.shape} {text.row or ''}; "
                f"the module declares :{shape} {declared[1] or ''}"
            )
        if row is not None and any(p.kind is p.KEYWORD_ONLY for p in inspect.signature(row).parameters.values()):
            raise QueryError(f"{row.__name__} has keyword-only fields; rows are made by position")
        return text


@lru_cache
def load(name: str) -> QueryFile:
    """Return the queries of ``oncue/sql/queries/<name>.sql``.

    Args:
        name: Name of the file, which is that of the engine module that runs it.

    Raises:
        QueryError: There is no such file, or it cannot be read as queries.
    """
    file = resources.files("oncue") / "sql" / "queries" / f"{name}.sql"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise QueryError(f"oncue/sql/queries has no {name}.sql; a module loads the file of its own name") from error
    return QueryFile(name, parse_file(text, f"{name}.sql"))


def registered() -> list[Query]:
    """Return every query declared by the modules imported so far, by file and name."""
    return [_registry[key] for key in sorted(_registry)]


def arrangement(query: Query, columns: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]] | None:
    """Return how to order a record of these columns for the query's Struct; None if it is in order.

    Raises:
        QueryError: The columns are not the Struct's fields.
    """
    fields = query.row.__struct_fields__ if query.row else ()
    if columns == fields:
        return None
    if sorted(columns) != sorted(fields):
        raise QueryError(
            f"{query.name} returns {', '.join(columns)}; {query.text.row} has {', '.join(fields)}; make them agree"
        )
    # At least two names, because one name cannot be out of order: so itemgetter answers with a tuple.
    return itemgetter(*(columns.index(field) for field in fields))
