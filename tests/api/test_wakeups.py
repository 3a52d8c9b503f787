import asyncio
import time
import uuid
from typing import Any

import msgspec
import pytest

from oncue.api import rounds as module
from oncue.api.polls import Polls
from oncue.api.wakeups import Hint, Wakeups
from oncue.engine.events import Effects
from oncue.protocol.errors import Unavailable


class Channel:
    """Notes what is sent and when; fails as often as it is told to."""

    def __init__(self) -> None:
        self.sent: list[Hint] = []
        self.moments: list[float] = []
        self.payloads: list[str] = []
        self.failures = 0

    async def __call__(self, payload: str) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("away")
        self.moments.append(time.monotonic())
        self.payloads.append(payload)
        self.sent.append(msgspec.json.decode(payload, type=Hint))


class Heard:
    """A server's ears."""

    def __init__(self) -> None:
        self.due, self.keys = 0, 0
        self.channel = Channel()
        self.polls = Noted()
        self.wakeups = Wakeups(self.polls, send=self.channel, on_due_sooner=self._on_due, on_keys_changed=self._on_keys)

    def _on_due(self) -> None:
        self.due += 1

    def _on_keys(self) -> None:
        self.keys += 1


class Noted(Polls):
    """Notes whom it is told to wake."""

    def __init__(self) -> None:
        super().__init__()
        self.lined_up: list[tuple[int, int]] = []
        self.noticed: set[uuid.UUID] = set()
        self.all = 0

    def line_up(self, environment_id: int, runs: int) -> None:
        self.lined_up.append((environment_id, runs))

    def notice(self, workers: Any) -> None:
        self.noticed |= set(workers)

    def wake_all(self) -> None:
        self.all += 1


def lined(environment_id: int, runs: int) -> Effects:
    effects = Effects()
    effects.lined_up[environment_id] = runs
    return effects


async def test_effects_are_applied_here_before_anything_is_sent() -> None:
    heard, worker = Heard(), uuid.uuid4()
    effects = lined(1, 2)
    effects.noticed.add(worker)
    effects.due_sooner = effects.keys_changed = True

    heard.wakeups.apply(effects)

    assert (heard.polls.lined_up, heard.polls.noticed, heard.due, heard.keys) == ([(1, 2)], {worker}, 1, 1)
    assert heard.channel.sent == []
    await heard.wakeups.close()


async def test_other_server_hears_all_that_was_told() -> None:
    here, there, worker = Heard(), Heard(), uuid.uuid4()
    effects = lined(1, 2)
    effects.noticed.add(worker)
    effects.due_sooner = effects.keys_changed = True

    here.wakeups.apply(effects)
    await here.wakeups.close()
    there.wakeups.hear("oncue_wakeups", here.channel.payloads[0])

    assert (there.polls.lined_up, there.polls.noticed, there.due, there.keys) == ([(1, 2)], {worker}, 1, 1)


async def test_server_does_not_hear_itself() -> None:
    heard = Heard()

    heard.wakeups.apply(lined(1, 2))
    await heard.wakeups.close()
    heard.wakeups.hear("oncue_wakeups", heard.channel.payloads[0])

    assert heard.polls.lined_up == [(1, 2)]


async def test_many_effects_go_out_as_few_notifications() -> None:
    heard = Heard()
    began = time.monotonic()

    for _ in range(300):
        heard.wakeups.apply(lined(1, 1))
        await asyncio.sleep(0)
    await heard.wakeups.close()
    allowed = 2 + (time.monotonic() - began) / module._GAP_SECONDS

    assert 1 <= len(heard.channel.sent) <= allowed
    assert sum(hint.lined_up[1] for hint in heard.channel.sent) == 300


async def test_payload_that_would_be_too_long_says_everything() -> None:
    here, there = Heard(), Heard()
    effects = Effects()
    effects.noticed = {uuid.uuid4() for _ in range(300)}

    here.wakeups.apply(effects)
    await here.wakeups.close()
    there.wakeups.hear("oncue_wakeups", here.channel.payloads[0])

    assert len(here.channel.payloads[0]) < 200
    assert (there.polls.all, there.due, there.keys) == (1, 1, 1)


async def test_payload_that_nobody_understands_wakes_everybody() -> None:
    heard = Heard()

    heard.wakeups.hear("oncue_wakeups", "{not json")

    assert heard.polls.all == 1


async def test_notification_that_failed_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
    heard = Heard()
    heard.channel.failures = 2

    heard.wakeups.apply(lined(1, 1))
    async with asyncio.timeout(5):
        while not heard.channel.sent:
            await asyncio.sleep(0.005)

    assert heard.channel.sent[0].lined_up == {1: 1}
    await heard.wakeups.close()
