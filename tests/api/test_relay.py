"""What is told to other servers of runs that changed, and what is not."""

import asyncio
import uuid
from collections.abc import Collection

import asyncpg
import msgspec
import pytest

from oncue.api import relay as module
from oncue.api.relay import CHANNEL, Relay, Told
from oncue.protocol.errors import Unavailable


class Server:
    """A relay between a channel and what it tells its own subscribers."""

    def __init__(self, *, is_new: bool = False) -> None:
        self.sent: list[str] = []
        self.failures = 0
        self.failure: Exception = Unavailable("away")
        self.changed: list[tuple[int, set[uuid.UUID]]] = []
        self.streamed: list[tuple[int, set[uuid.UUID]]] = []
        self.missed: list[int | None] = []
        self.time = 1_000.0
        self.relay = Relay(
            send=self._send,
            on_changed=self._on_changed,
            on_streamed=lambda environment, runs: self.streamed.append((environment, set(runs))),
            on_missed=self.missed.append,
            clock=lambda: self.time,
        )
        if is_new:
            self.relay.start()

    async def _send(self, payloads: list[str]) -> None:
        if self.failures:
            self.failures -= 1
            raise self.failure
        self.sent += payloads

    def _on_changed(self, environment: int, runs: Collection[uuid.UUID]) -> None:
        self.changed.append((environment, set(runs)))

    @property
    def told(self) -> list[Told]:
        return [msgspec.json.decode(payload, type=Told) for payload in self.sent]

    async def tell(self, *others: "Server") -> None:
        """Let everything arrive that is to be told."""
        await self.relay.close()
        for payload in self.sent:
            for other in others:
                other.relay.hear(CHANNEL, payload)


async def test_nothing_is_sent_where_nobody_subscribes() -> None:
    server = Server()

    server.relay.apply({1: [uuid.uuid4()]}, {})
    await server.relay.close()

    assert (server.sent, server.changed) == ([], [])


async def test_change_is_told_here_without_a_notification() -> None:
    server, run = Server(), uuid.uuid4()
    server.relay.join(1)

    server.relay.apply({1: [run], 2: [run]}, {})
    await server.relay.close()

    assert server.changed == [(1, {run})]
    assert [told.runs for told in server.told] == [{}]


async def test_change_reaches_the_server_that_subscribed() -> None:
    here, there, run = Server(), Server(), uuid.uuid4()
    there.relay.join(1)
    await there.tell(here)

    here.relay.apply({1: [run], 2: [uuid.uuid4()]}, {})
    await here.tell(there, here)

    assert there.changed == [(1, {run})]
    assert here.changed == []


async def test_new_chunks_are_told_apart_from_changes() -> None:
    here, there, run = Server(), Server(), uuid.uuid4()
    there.relay.join(1)
    await there.tell(here)

    here.relay.apply({}, {1: [run]})
    await here.tell(there)

    assert (there.streamed, there.changed) == ([(1, {run})], [])


async def test_subscription_of_another_is_believed_for_a_while() -> None:
    here, there = Server(), Server()
    there.relay.join(1)
    await there.tell(here)
    here.time += module._BELIEVE_SECONDS + 1

    here.relay.apply({1: [uuid.uuid4()]}, {})
    await here.relay.close()

    assert here.sent == []


async def test_newcomer_tells_all_and_asks_who_subscribes() -> None:
    newcomer, old, run = Server(is_new=True), Server(), uuid.uuid4()
    old.relay.join(7)

    newcomer.relay.apply({7: [run]}, {})
    await newcomer.tell(old)
    await old.tell(newcomer)
    newcomer.time += module._NEWCOMER_SECONDS + 1

    assert old.changed == [(7, {run})]
    assert [told.subscribed for told in old.told] == [[7], [7]]
    assert newcomer.relay._is_wanted(7)
    assert not newcomer.relay._is_wanted(8)


async def test_many_changed_runs_fit_into_notifications() -> None:
    here, there = Server(), Server()
    there.relay.join(1)
    await there.tell(here)
    runs = {uuid.uuid4() for _ in range(2_000)}

    here.relay.apply({1: runs}, {})
    await here.tell(there)

    assert max(map(len, here.sent)) < 8_000
    assert set().union(*(found for _, found in there.changed)) == runs


async def test_many_changes_go_out_as_few_notifications() -> None:
    here, there = Server(), Server()
    there.relay.join(1)
    await there.tell(here)

    for _ in range(200):
        here.relay.apply({1: [uuid.uuid4()]}, {})
    await here.relay.close()

    assert len(here.sent) == 1


async def test_lost_connection_makes_everybody_look_again() -> None:
    here, there = Server(), Server()
    here.relay.join(1)

    here.relay.miss()
    await here.tell(there)

    assert (here.missed, there.missed) == ([None], [None])
    assert there.relay._is_wanted(1)


async def test_notification_that_failed_makes_others_look() -> None:
    here, there = Server(), Server()
    there.relay.join(1)
    await there.tell(here)
    here.failures = 1

    here.relay.apply({1: [uuid.uuid4()]}, {})
    async with asyncio.timeout(5):
        while not here.sent:
            await asyncio.sleep(0.01)
    await here.tell(there)

    assert there.missed == [None]


async def until_sent(server: Server) -> None:
    async with asyncio.timeout(5):
        while not server.sent:
            await asyncio.sleep(0.01)


async def test_question_that_could_not_be_sent_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    newcomer, old = Server(), Server()
    old.relay.join(7)
    newcomer.failures = 1
    newcomer.relay.start()
    # It goes out late: what changes until the answer is there is told all the same.
    async with asyncio.timeout(5):
        while newcomer.failures:
            await asyncio.sleep(0.01)
    newcomer.time += module._NEWCOMER_SECONDS - 0.5
    await until_sent(newcomer)
    run = uuid.uuid4()
    newcomer.relay.apply({7: [run]}, {})
    await newcomer.tell(old)
    await old.tell(newcomer)
    newcomer.time += module._NEWCOMER_SECONDS

    assert old.changed == [(7, {run})]
    assert newcomer.relay._is_wanted(7)


async def test_subscription_that_could_not_be_told_is_looked_after_once_it_is() -> None:
    server = Server()
    server.failures = 1
    server.relay.join(1)
    async with asyncio.timeout(5):
        while server.failures:
            await asyncio.sleep(0.01)
        before = len(server.relay._looks)
        await until_sent(server)
        while server.relay._looks:
            await asyncio.sleep(0.01)

    assert before > len(module._LOOKS_AGAIN_SECONDS)
    assert server.missed[-1] == 1


async def test_error_of_the_driver_is_told_as_missed(caplog: pytest.LogCaptureFixture) -> None:
    here, there = Server(), Server()
    there.relay.join(1)
    await there.tell(here)
    here.failures, here.failure = 1, asyncpg.InvalidParameterValueError("payload string too long: secret")

    here.relay.apply({1: [uuid.uuid4()]}, {})
    async with asyncio.timeout(5):
        while not here.sent:
            await asyncio.sleep(0.01)
    await here.tell(there)

    assert there.missed == [None]
    (fields,) = [record.__dict__["fields"] for record in caplog.records if record.msg == "%s %s"]
    assert fields["error"] == "InvalidParameterValueError"
    assert "secret" not in caplog.text


async def test_subscriptions_in_very_many_environments_are_told_in_parts() -> None:
    here, there = Server(), Server()
    environments = range(1_000_000_000, 1_000_002_000)
    for environment in environments:
        there.relay._here[environment] += 1
    there.relay.miss()

    await there.tell(here)

    assert max(map(len, there.sent)) < 8_000
    assert all(here.relay._is_wanted(environment) for environment in environments)


async def test_word_of_a_newer_server_is_taken_as_a_reason_to_look() -> None:
    server = Server()

    server.relay.hear(CHANNEL, '{"from": "x", "runs": {"1": "?"}}')
    server.relay.hear(CHANNEL, '{"from": 5}')

    assert server.missed == [None, None]


async def test_first_subscriber_of_an_environment_is_looked_after_twice() -> None:
    server = Server()
    server.relay.join(1)
    server.relay.join(1)

    async with asyncio.timeout(5):
        while server.missed != [1, 1]:
            await asyncio.sleep(0.01)
    server.relay.leave(1)
    server.relay.leave(1)
    await server.relay.close()

    assert len(server.sent) == 1
