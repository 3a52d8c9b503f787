"""Query files are read as SQL, not searched as text."""

import pytest

from oncue.store.errors import QueryError
from oncue.store.query_text import parse_file, to_positional


@pytest.mark.parametrize(
    ("sql", "expected", "names"),
    [
        ("select :a::int", "select $1::int", ("a",)),
        ("select :ids::uuid[]", "select $1::uuid[]", ("ids",)),
        ("select :a, :b, :a", "select $1, $2, $1", ("a", "b")),
        ("select (:a)", "select ($1)", ("a",)),
        ("select 1 where x=:a", "select 1 where x=$1", ("a",)),
        ("select x||:a||-:b", "select x||$1||-$2", ("a", "b")),
        ("select array[:a, :b]", "select array[$1, $2]", ("a", "b")),
        ("select part[1:n]", "select part[1:n]", ()),
        ("select part[i:n], part[f(1):n], (a)[b[1]:n]", "select part[i:n], part[f(1):n], (a)[b[1]:n]", ()),
        ("select part[:a::int]", "select part[$1::int]", ("a",)),
        ("select x::text::int", "select x::text::int", ()),
        ("select ':a', 'it''s :b'", "select ':a', 'it''s :b'", ()),
        (r"select E'\':a', :b", r"select E'\':a', $1", ("b",)),
        ("""select ":a", "say "":b""" + '""" ', """select ":a", "say "":b""" + '""" ', ()),
        ("select $$ :a $$, $tag$ :b $$ $tag$, :c", "select $$ :a $$, $tag$ :b $$ $tag$, $1", ("c",)),
        ("select 1 -- :a it's\n, :b", "select 1 -- :a it's\n, $1", ("b",)),
        ("select /* :a ' */ :b", "select /* :a ' */ $1", ("b",)),
        ("select f(x := :a)", "select f(x := $1)", ("a",)),
        ("select '12:30'::time, :a::time", "select '12:30'::time, $1::time", ("a",)),
        ("select U&'\\0041:a', :b", "select U&'\\0041:a', $1", ("b",)),
    ],
)
def test_only_parameters_of_the_sql_are_replaced(sql: str, expected: str, names: tuple[str, ...]) -> None:
    assert to_positional(sql) == (expected, names)


def test_file_of_two_queries_is_taken_apart() -> None:
    text = """-- Queries about runs.

-- name: first_due :many DueRun
-- Up to :limit runs,
-- oldest first.
-- Moves: DELAYED, PENDING -> PENDING, EXECUTING.
select id
-- an inner comment
from runs limit :limit::int;

-- name: forget :none
delete from runs where note = 'a;b';
"""

    queries = parse_file(text, "runs.sql")

    assert list(queries) == ["first_due", "forget"]
    first, forget = queries.values()
    assert (first.shape, first.row, first.parameters, first.line) == ("many", "DueRun", ("limit",), 3)
    assert first.sql == "select id\n-- an inner comment\nfrom runs limit $1::int"
    assert first.comment.startswith("Up to :limit runs, oldest first.")
    assert first.moves == (
        ("DELAYED", "PENDING"),
        ("DELAYED", "EXECUTING"),
        ("PENDING", "PENDING"),
        ("PENDING", "EXECUTING"),
    )
    assert (forget.row, forget.sql, forget.moves) == (None, "delete from runs where note = 'a;b'", ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select 1;", "SQL before the first header"),
        ("-- name: a :many\nselect 1", "name a row Struct"),
        ("-- name: a :none Row\nselect 1", "name a row Struct"),
        ("-- name: a :some Row\nselect 1", "is no header"),
        ("-- name: A-b :none\nselect 1", "is no header"),
        ("--name: a :none\nselect 1", "is no header"),
        ("-- name: a :none\n-- nothing here\n", "has no SQL"),
        ("-- name: a :none\nselect 1;\n-- name: a :none\nselect 2;", "f.sql:3: 'a' is defined twice"),
    ],
)
def test_malformed_file_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_file(text, "f.sql")
