"""Lines that are attached to runs."""

import datetime

import msgspec
import pytest

from oncue.engine import run_logs
from oncue.protocol import ids
from oncue.protocol.errors import BadRequest, NotFound
from oncue.protocol.logs import LogLine, RunEvents
from tests.engine.conftest import Engine

AT = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def line(run: str, number: int, **fields: object) -> LogLine:
    document = msgspec.Raw(msgspec.json.encode(fields)) if fields else msgspec.Raw()
    return LogLine(
        run_id=run, epoch=1, number=number, attempt=1, at=AT, level="info", message=f"line {number}", fields=document
    )


async def keep(engine: Engine, *lines: LogLine) -> int:
    run_logs.check(lines)
    return await engine.run(lambda tx: run_logs.append(tx, engine.environment, lines))


async def read(engine: Engine, run: str, after: str | None = None, limit: int = 100) -> RunEvents:
    key = ids.parse(ids.RUN, run)
    return await engine.run(lambda tx: run_logs.read(tx, engine.environment, key, after=after, limit=limit))


async def test_lines_are_read_in_pages_as_they_were_written(engine: Engine) -> None:
    run = await engine.trigger("child")
    assert await keep(engine, *(line(run, number, to="a@b.c") for number in range(5))) == 5

    first = await read(engine, run, limit=3)
    rest = await read(engine, run, after=first.next, limit=3)
    assert [event.message for event in (*first.events, *rest.events)] == [f"line {number}" for number in range(5)]
    assert (rest.next, first.events[0].at, bytes(first.events[0].fields)) == (None, AT, b'{"to":"a@b.c"}')


async def test_lines_that_are_sent_again_are_stored_once(engine: Engine) -> None:
    run = await engine.trigger("child")
    await keep(engine, line(run, 1))

    assert await keep(engine, line(run, 1), line(run, 2)) == 1
    assert len((await read(engine, run)).events) == 2


async def test_lines_of_runs_of_another_environment_are_passed_over(engine: Engine, production: Engine) -> None:
    run = await engine.trigger("child")

    assert await keep(production, line(run, 1)) == 0
    with pytest.raises(NotFound):
        await read(production, run)
    assert (await read(engine, run)).events == []


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("epoch", 1 << 31),
        ("number", -1),
        ("attempt", 0),
        ("at", datetime.datetime(2030, 1, 1)),  # noqa: DTZ001 - what is to be refused
        ("message", "a\0b"),
        ("fields", msgspec.Raw(b"{")),
        ("fields", msgspec.Raw(b"[1]")),
        ("fields", msgspec.Raw(b'"to"')),
    ],
)
async def test_line_that_cannot_be_stored_is_refused_by_its_field(engine: Engine, field: str, found: object) -> None:
    run = await engine.trigger("child")

    with pytest.raises(BadRequest, match=field):
        await keep(engine, line(run, 1), msgspec.structs.replace(line(run, 2), **{field: found}))
    with pytest.raises(BadRequest, match="after="):
        await read(engine, run, after="x")
