"""House rules of the SQL: every query is declared, prepares on a real server, and fits its Struct."""

import datetime
import importlib
import pkgutil
import re
import types
import typing
import uuid
from decimal import Decimal
from importlib import resources
from pathlib import Path

import asyncpg
import msgspec

import oncue.engine
from oncue.store import queries
from oncue.store.errors import QueryError
from oncue.store.pool import Pool
from oncue.store.queries import Query, arrangement

ENGINE = Path(oncue.engine.__file__).parent
MODULES = [module.name for module in pkgutil.walk_packages(oncue.engine.__path__, "oncue.engine.")]
for _module in MODULES:
    importlib.import_module(_module)

DECLARED = {(query.file.name, query.text.name): query for query in queries.registered()}
FILES = sorted(
    file.name.removesuffix(".sql")
    for file in (resources.files("oncue") / "sql" / "queries").iterdir()
    if file.is_file()
)

CHANGING = re.compile(r"(\w+) as (?:materialized )?\(\s*(?:--[^\n]*\s*)*(?:update|delete|insert)\b")

NEVER_WAITING = {"claiming: claim: moved": "its rows were locked before, passing over those that others hold"}

PYTHON_TYPES: dict[str, type] = {
    "bool": bool,
    "bytea": bytes,
    "date": datetime.date,
    "float4": float,
    "float8": float,
    "int2": int,
    "int4": int,
    "int8": int,
    "interval": datetime.timedelta,
    "json": str,
    "jsonb": str,
    "name": str,
    "numeric": Decimal,
    "oid": int,
    "text": str,
    "timestamptz": datetime.datetime,
    "uuid": uuid.UUID,
    "varchar": str,
}
"""What the driver makes of a column's type; other types (enums of ours) arrive as str."""


def plain_types(annotation: object) -> set[object]:
    """Return the classes that an annotation admits: aliases, new types, literals and unions taken apart."""
    match typing.get_origin(annotation):
        case typing.Union | types.UnionType:
            return {plain for part in typing.get_args(annotation) for plain in plain_types(part)}
        case typing.Literal:
            return {type(value) for value in typing.get_args(annotation)}
        case typing.Annotated:
            return plain_types(typing.get_args(annotation)[0])
        case None:
            return plain_types(annotation.__supertype__) if isinstance(annotation, typing.NewType) else {annotation}
        case origin:
            return {origin}


def type_faults(query: Query, columns: tuple[asyncpg.Attribute, ...]) -> list[str]:
    """Say which columns arrive as something else than their field's type."""
    assert query.row is not None
    fields = {field.name: plain_types(field.type) for field in msgspec.structs.fields(query.row)}
    arriving = {
        column.name: list if column.type.kind == "array" else PYTHON_TYPES.get(column.type.name, str)
        for column in columns
    }
    return [
        f"{query.name}: column {name} arrives as {arrives.__name__}; give field {name} that type, or cast the column"
        for name, arrives in arriving.items()
        if arrives not in fields[name]
    ]


async def faults_of(query: Query, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> list[str]:
    try:
        statement = await connection.prepare(query.sql)
    except asyncpg.PostgresError as error:
        return [f"{query.name}: {error}; make it run in psql"]
    columns = statement.get_attributes()
    if query.row is None:
        # Rows that are only locked are read by nobody.
        for_effect = not columns or re.search(r"\bfor (no key )?(update|share)\b", query.sql)
        return [] if for_effect else [f"{query.name}: returns columns; give it a shape with rows, or no returning"]
    try:
        arrangement(query, tuple(column.name for column in columns))
    except QueryError as error:
        return [str(error)]
    return type_faults(query, columns)


async def test_every_query_prepares_and_fits_its_struct(db: Pool) -> None:
    async with db.acquire() as connection:
        faults = [fault for query in DECLARED.values() for fault in await faults_of(query, connection)]

    assert DECLARED
    assert faults == []


def test_every_query_in_a_file_is_declared() -> None:
    undeclared = [
        f"{file}.sql:{text.line}: {name} is run by nobody; declare it in engine/{file}.py, or delete it"
        for file in FILES
        for name, text in queries.load(file).queries.items()
        if (file, name) not in DECLARED
    ]

    assert undeclared == []


def test_every_module_runs_only_the_file_of_its_name() -> None:
    strangers = [
        f"engine/{path.name} loads {name}.sql; call the module {name} instead"
        for path in sorted(ENGINE.rglob("*.py"))
        for name in re.findall(r"queries\.load\(\s*[\"'](\w+)", path.read_text(encoding="utf-8"))
        if name != path.stem
    ]

    assert strangers == []


def test_every_query_file_has_the_module_of_its_name() -> None:
    stems = {module.rpartition(".")[2] for module in MODULES}

    assert [f"{file}.sql has no engine/{file}.py" for file in FILES if file not in stems] == []


def test_what_a_statement_changes_is_read_once() -> None:
    """Where PostgreSQL waits for a row and looks at it again, a second part that reads what changed finds nothing."""
    read_twice = []
    for (file, name), query in sorted(DECLARED.items()):
        for part in CHANGING.findall(query.text.sql):
            readers = re.findall(rf"\b(?:from|join|using)\s+{part}\b", query.text.sql)
            if len(readers) > 1 and f"{file}: {name}: {part}" not in NEVER_WAITING:
                read_twice.append(f"{file}: {name}: {part}")
    assert read_twice == []
