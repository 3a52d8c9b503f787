"""Nobody waits behind a crowd: keys and queues are served in turn, however long the line of one of them is.

A round is one claim for 100 places: as many runs as a worker with a hundred free places is given at once.
"""

from collections import Counter

import pytest

from oncue.engine import claiming
from oncue.protocol import limits
from oncue.protocol.errors import ApiError, BadRequest
from oncue.protocol.triggers import NestedQueue, QueueOption, TriggerRequest
from tests.engine.conftest import Engine, declared, request

CROWD = 100_000
OTHERS = 1_000
PLACES = 100

STRANGE_KEYS = [
    "a",
    "a ",
    " a",
    "A",
    "  ",
    "a,b",
    "a:b",
    'say "a"',
    "it's",
    "a\\b",
    "%",
    "100%",
    "%s",
    "_",
    "*",
    "{a}",
    "a\nb",
    "a\n",
    "a\r\n",
    "a\tb",
    "\u00a0",
    "\u202eabc",
    "☃",
    "é",
    "e\u0301",
    "\U0001f600",
    "\U0001f469\u200d\U0001f680",
    "null",
    "0",
    "00",
    "x" * limits.MAX_CONCURRENCY_KEY_BYTES,
    "x" * (limits.MAX_CONCURRENCY_KEY_BYTES - 1) + "y",
    "x" * (limits.MAX_CONCURRENCY_KEY_BYTES - 1) + " ",
    "é" * (limits.MAX_CONCURRENCY_KEY_BYTES // 2),
    "\U0001f600" * (limits.MAX_CONCURRENCY_KEY_BYTES // 4),
]


async def crowded(engine: Engine, wanted: TriggerRequest) -> None:
    for _ in range(CROWD // 1_000):
        made = await engine.trigger_many(*[("t", wanted)] * 1_000)
        assert not any(isinstance(one, ApiError) for one in made)


@pytest.mark.parametrize("places", [1, 10, 100])
@pytest.mark.parametrize("limit", [None, 1_000])
async def test_queues_are_served_alike_however_many_keys_they_have(
    engine: Engine, places: int, limit: int | None
) -> None:
    worker = await engine.announce(*(declared(name, queue=name, concurrency_limit=limit) for name in ("many", "one")))
    for number in range(100):
        await engine.trigger_many(*[("many", request(concurrency_key=f"k{number}"))] * 10)
    await engine.trigger_many(*[("one", request())] * 300)

    started: Counter[str] = Counter()
    keys: Counter[str | None] = Counter()
    while started.total() < 200:
        runs = await engine.claim(worker, places)
        started.update(run.queue for run in runs)
        keys.update(run.concurrency_key for run in runs if run.queue == "many")

    assert abs(started["many"] - started["one"]) <= max(places // 10, 1)
    # Within the queue its keys have had their turns alike as well.
    assert max(keys.values()) - min(keys.values(), default=0) <= 4
    assert len(keys) >= min(100, started["many"] // 4)
    assert await engine.violations() == 0


async def test_more_queues_than_are_looked_at_all_have_their_turn(engine: Engine) -> None:
    crowd, others = claiming.QUEUES_AT_ONCE + 20, 50
    worker = await engine.announce("t")
    for number in range(crowd):
        await engine.trigger_many(*[("t", request(queue=f"a{number:03}"))] * others)
    await engine.trigger_many(*(("t", request(queue="last", concurrency_key=f"k{n}")) for n in range(others)))

    started: Counter[str] = Counter()
    for _ in range(8):
        started.update(run.queue for run in await engine.claim(worker, PLACES))

    assert len(started) == crowd + 1
    assert await engine.violations() == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_thousand_keys_pass_a_key_with_a_hundred_thousand_runs(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=50))
    await crowded(engine, request(concurrency_key="crowd"))
    await engine.trigger_many(*[("t", request(concurrency_key=f"k{n}")) for n in range(OTHERS)])

    started: Counter[str | None] = Counter()
    for _ in range(OTHERS // PLACES + 1):
        started.update(run.concurrency_key for run in await engine.claim(worker, PLACES))

    # Ten rounds have just the places for them; the crowd's own turns are in the eleventh.
    assert {f"k{n}" for n in range(OTHERS)} <= set(started)
    assert 0 < started["crowd"] <= 50


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_thousand_queues_pass_a_queue_with_a_hundred_thousand_runs(engine: Engine) -> None:
    worker = await engine.announce("t")
    await crowded(engine, request(queue=QueueOption(NestedQueue("crowd"))))
    await engine.trigger_many(*[("t", request(queue=QueueOption(NestedQueue(f"q{n}")))) for n in range(OTHERS)])

    started: Counter[str] = Counter()
    for _ in range(OTHERS // PLACES + 1):
        started.update(run.queue for run in await engine.claim(worker, PLACES))

    assert {f"q{n}" for n in range(OTHERS)} <= set(started)


async def test_each_strange_key_has_a_lane_of_its_own(engine: Engine) -> None:
    worker = await engine.announce(declared("t", queue="q", concurrency_limit=1))
    for key in STRANGE_KEYS * 2:
        await engine.trigger("t", concurrency_key=key)

    first = await engine.claim(worker)
    none = await engine.claim(worker)
    await engine.succeed(worker, *first)
    second = await engine.claim(worker)

    assert sorted(run.concurrency_key or "" for run in first) == sorted(STRANGE_KEYS)
    assert none == []
    assert sorted(run.concurrency_key or "" for run in second) == sorted(STRANGE_KEYS)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("x" * 513, "options.concurrencyKey is 513 bytes; expected 1 to 512"),
        ("é" * 257, "options.concurrencyKey is 514 bytes; expected 1 to 512"),
        ("a\0b", "options.concurrencyKey contains a NUL character"),
    ],
)
async def test_a_key_that_cannot_be_one_is_refused(engine: Engine, key: str, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        await engine.trigger("t", concurrency_key=key)
