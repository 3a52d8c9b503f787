"""Named SQL becomes typed functions over a transaction."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from oncue.store import queries
from oncue.store.errors import QueryError
from oncue.store.pool import Connection, connect
from oncue.store.queries import QueryFile
from oncue.store.query_text import parse_file

TEXT = """
-- name: numbers :many Number
-- From 1 to :last.
select n as value, 'n' || n as label from generate_series(1, :last::int) as n order by n;

-- name: swapped :many Number
select 'n' || n as label, n as value from generate_series(1, 2) as n order by n;

-- name: wrong :many Number
select 1 as value, 'a' as title;

-- name: number :one Number
select n as value, 'x' as label from unnest(:found::int[]) as n;

-- name: perhaps :maybe Number
select n as value, 'x' as label from unnest(:found::int[]) as n;

-- name: count_up :none
update things set value = value + 1 where value >= :least::int;

-- name: make_things :none
create temporary table things as select n as value from generate_series(1, 5) as n;

-- name: single :many Single
select n as value from generate_series(1, 3) as n;
"""


class Number(msgspec.Struct, frozen=True):
    """A row of the queries above."""

    value: int
    label: str


class Single(msgspec.Struct, frozen=True):
    """A row of one column."""

    value: int


class Keyword(msgspec.Struct, frozen=True, kw_only=True):
    """A row that cannot be made by position."""

    value: int


@pytest.fixture(autouse=True)
def registry_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_registry", {})


@pytest.fixture
def sql() -> QueryFile:
    return QueryFile("sample", parse_file(TEXT, "sample.sql"))


@pytest.fixture
async def tx(server_url: str) -> AsyncIterator[Connection]:
    connection = await connect(server_url)
    yield connection
    await connection.close()


async def test_many_returns_structs_in_sql_order(sql: QueryFile, tx: Connection) -> None:
    numbers = sql.many("numbers", Number)

    rows = await numbers(tx, last=2)

    assert rows == [Number(1, "n1"), Number(2, "n2")]
    assert await numbers(tx, last=0) == []


async def test_columns_find_their_fields_by_name(sql: QueryFile, tx: Connection) -> None:
    swapped = sql.many("swapped", Number)

    assert await swapped(tx) == [Number(1, "n1"), Number(2, "n2")]


async def test_row_of_one_column_becomes_a_struct(sql: QueryFile, tx: Connection) -> None:
    assert await sql.many("single", Single)(tx) == [Single(1), Single(2), Single(3)]


async def test_other_columns_are_refused_by_name(sql: QueryFile, tx: Connection) -> None:
    wrong = sql.many("wrong", Number)

    with pytest.raises(QueryError, match=r"sample.wrong returns value, title; Number has value, label"):
        await wrong(tx)


async def test_one_refuses_none_and_several(sql: QueryFile, tx: Connection) -> None:
    number = sql.one("number", Number)

    assert await number(tx, found=[7]) == Number(7, "x")
    for found in ([], [1, 2]):
        with pytest.raises(QueryError, match=f"returned {len(found)} rows; it promises exactly one"):
            await number(tx, found=found)


async def test_maybe_returns_none_and_refuses_several(sql: QueryFile, tx: Connection) -> None:
    perhaps = sql.maybe("perhaps", Number)

    assert await perhaps(tx, found=[7]) == Number(7, "x")
    assert await perhaps(tx, found=[]) is None
    with pytest.raises(QueryError, match="returned 2 rows; it promises at most one"):
        await perhaps(tx, found=[1, 2])


async def test_none_returns_how_many_rows_changed(sql: QueryFile, tx: Connection) -> None:
    assert await sql.none("make_things")(tx) == 5

    assert await sql.none("count_up")(tx, least=4) == 2


async def test_missing_and_unknown_parameters_are_named(sql: QueryFile, tx: Connection) -> None:
    numbers = sql.many("numbers", Number)

    with pytest.raises(TypeError, match=r"sample.numbers\(\) was called with missing last and unknown first"):
        await numbers(tx, first=1)


@pytest.mark.parametrize(
    ("shape", "name", "row", "message"),
    [
        ("many", "nameless", Number, "sample.sql has no query 'nameless'"),
        ("one", "numbers", Number, "says numbers :many Number; the module declares :one Number"),
        ("many", "numbers", Single, "says numbers :many Number; the module declares :many Single"),
    ],
)
def test_declaration_that_differs_from_file_is_refused(
    sql: QueryFile, shape: str, name: str, row: type[msgspec.Struct], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        getattr(sql, shape)(name, row)


def test_keyword_only_struct_is_refused_as_row() -> None:
    sql = QueryFile("sample", parse_file("-- name: a :many Keyword\nselect 1 as value", "sample.sql"))

    with pytest.raises(QueryError, match="Keyword has keyword-only fields"):
        sql.many("a", Keyword)


def test_declared_queries_are_registered_in_order(sql: QueryFile) -> None:
    sql.many("swapped", Number)
    sql.none("count_up")

    assert [query.name for query in queries.registered()] == ["sample.count_up", "sample.swapped"]


def test_missing_file_is_named_when_loaded() -> None:
    with pytest.raises(QueryError, match="has no nowhere"):
        queries.load("nowhere")
