"""Relay: which runs changed is passed on to the servers that have subscribers in their environment, and to no others.

A server with subscribers says so to the others by NOTIFY: at once when the first of an environment comes, again every
half minute, and whenever a server asks, as each does that has just begun to listen. They believe it for a while, and
until they can know they tell everything. Ids of changed runs are gathered for a few milliseconds; a subscriber's server
reads the rows itself, so a notification is a hint. What may have been missed is named, and looked for.

Life of a run, this module's part::

    transaction commits -> Relay.apply -> NOTIFY -> Relay.hear -> Feeds.touch, on every server with subscribers
"""

import asyncio
import base64
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from oncue.api.rounds import Rounds

CHANNEL: Final = "oncue_changes"
_REPEAT_SECONDS: Final = 30.0
_BELIEVE_SECONDS: Final = 3 * _REPEAT_SECONDS
_NEWCOMER_SECONDS: Final = 5.0
"""For so long after it began to listen a server tells everything: answers to its question are on their way."""
_LOOKS_AGAIN_SECONDS: Final = (0.3, 2.0)
"""After the first subscriber of an environment came: others may have changed runs before they heard of it."""
_IDS: Final = 320
"""In one notification: 16 bytes each in base64, below PostgreSQL's 8,000."""
_ENVIRONMENTS: Final = 500
"""In one notification: ten digits and a comma each."""
_NOTIFICATIONS: Final = 50
"""In one statement."""


_Kind: TypeAlias = Literal["runs", "streams"]
_Runs: TypeAlias = Mapping[int, Collection[uuid.UUID]]
"""By environment."""


class Told(msgspec.Struct, frozen=True, omit_defaults=True, rename={"sender": "from"}):
    """What one server tells the others."""

    sender: str
    subscribed: list[int] = []
    """Environments in which it has subscribers."""
    asks: bool = False
    """Who has subscribers?"""
    missed: bool = False
    """It did not hear the others for a while, and may not have told them what they wanted to know."""
    runs: dict[int, str] = {}
    """Ids of changed runs, by environment."""
    streams: dict[int, str] = {}
    """Ids of runs of whose streams there are new chunks, by environment."""


_decoder: Final = msgspec.json.Decoder(Told)


class Relay:
    """Passes changed runs on."""

    def __init__(
        self,
        *,
        send: Callable[[list[str]], Awaitable[None]],
        on_changed: Callable[[int, Collection[uuid.UUID]], None],
        on_streamed: Callable[[int, Collection[uuid.UUID]], None],
        on_missed: Callable[[int | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing to tell.

        Args:
            send: Sends payloads on ``CHANNEL``.
            on_changed: Runs of an environment changed, here or elsewhere.
            on_streamed: Streams of runs of an environment have new chunks, here or elsewhere.
            on_missed: Any run of an environment may have changed; of None, of any environment.
            clock: Seconds.
        """
        self._send, self._on_missed, self._clock = send, on_missed, clock
        self._on = {"runs": on_changed, "streams": on_streamed}
        self._name = uuid.uuid4().hex[:12]
        self._here: Counter[int] = Counter()
        self._elsewhere: dict[int, float] = {}
        self._tells_all_until = 0.0
        self._untold: dict[tuple[_Kind, int], set[uuid.UUID]] = {}
        self._notes: list[Told] = []
        self._rounds = Rounds(
            "oncue-relay", self._tell, is_due=self._has_news, event="notify.failed", on_failed=self._fail
        )
        self._repeating: asyncio.TimerHandle | None = None
        self._looks: list[asyncio.TimerHandle] = []
        self._closed = False

    def start(self) -> None:
        """Ask who has subscribers, now that the answers are heard."""
        self._tells_all_until = self._clock() + _NEWCOMER_SECONDS
        self._note(Told(self._name, asks=True))

    def apply(self, changed: _Runs, streamed: _Runs) -> None:
        """Tell everybody who wants to know what a transaction changed, after its COMMIT.

        Args:
            changed: By environment, runs that changed.
            streamed: By environment, runs of whose streams there are new chunks.
        """
        if changed:
            self._apply("runs", changed)
        if streamed:
            self._apply("streams", streamed)

    def join(self, environment: int) -> None:
        """Count a subscription in."""
        self._here[environment] += 1
        if self._here[environment] > 1 or self._closed:
            return
        self._note(Told(self._name, subscribed=[environment]))
        self._settle(environment)
        if self._repeating is None:
            self._repeating = asyncio.get_running_loop().call_later(_REPEAT_SECONDS, self._repeat)

    def leave(self, environment: int) -> None:
        """Count a subscription out; the others forget it in time."""
        self._here[environment] -= 1
        if not self._here[environment]:
            del self._here[environment]

    def hear(self, _channel: str, payload: str) -> None:
        """Take in what another server tells."""
        try:
            told = _decoder.decode(payload)
            if told.sender == self._name:
                return
            changed = {environment: _unpacked(text) for environment, text in told.runs.items()}
            streamed = {environment: _unpacked(text) for environment, text in told.streams.items()}
        except (msgspec.MsgspecError, ValueError):
            # A newer server may say it differently; to look is always right.
            self._on_missed(None)
            return
        believed_until = self._clock() + _BELIEVE_SECONDS
        self._elsewhere.update(dict.fromkeys(told.subscribed, believed_until))
        if told.asks and self._here:
            self._note(*self._said())
        if told.missed:
            self._on_missed(None)
        self._tell_here("runs", changed)
        self._tell_here("streams", streamed)

    def miss(self) -> None:
        """Act on a lost connection that is back: neither changes nor who wants to know of them were heard."""
        self._on_missed(None)
        self._tells_all_until = self._clock() + _NEWCOMER_SECONDS
        self._note(*self._said(asks=True, missed=True))

    async def close(self) -> None:
        """Tell what is left to tell."""
        self._closed = True
        for timer in (*self._looks, self._repeating):
            if timer is not None:
                timer.cancel()
        await self._rounds.close()

    def _apply(self, kind: _Kind, found: _Runs) -> None:
        self._tell_here(kind, found)
        for environment, runs in found.items():
            if self._is_wanted(environment):
                self._untold.setdefault((kind, environment), set()).update(runs)
                self._rounds.start()

    def _tell_here(self, kind: _Kind, found: _Runs) -> None:
        for environment, runs in found.items():
            if environment in self._here:
                self._on[kind](environment, runs)

    def _is_wanted(self, environment: int) -> bool:
        until = self._elsewhere.get(environment)
        if until is not None:
            if until > self._clock():
                return True
            del self._elsewhere[environment]
        return self._tells_all_until > self._clock()

    def _settle(self, environment: int) -> None:
        """Look in a while for what others change before they have heard of the subscriber."""
        loop = asyncio.get_running_loop()
        self._looks += [loop.call_later(pause, self._look_again, environment) for pause in _LOOKS_AGAIN_SECONDS]

    def _look_again(self, environment: int) -> None:
        now = asyncio.get_running_loop().time()
        self._looks = [look for look in self._looks if look.when() > now]
        if environment in self._here:
            self._on_missed(environment)

    def _repeat(self) -> None:
        self._repeating = None
        if self._here and not self._closed:
            self._note(*self._said())
            self._repeating = asyncio.get_running_loop().call_later(_REPEAT_SECONDS, self._repeat)

    def _note(self, *told: Told) -> None:
        self._notes += told
        self._rounds.start()

    def _has_news(self) -> bool:
        return bool(self._notes or self._untold)

    async def _tell(self) -> None:
        notes, self._notes = self._notes, []
        untold, self._untold = self._untold, {}
        payloads = [*map(_encoded, notes), *self._payloads(untold)]
        for start in range(0, len(payloads), _NOTIFICATIONS):
            await self._send(payloads[start : start + _NOTIFICATIONS])

    def _fail(self) -> None:
        # What was not told is looked for by whoever wants to know: it may be more than can be kept. What was asked is
        # asked again, and what others changed before they heard of a subscriber is looked for once they have.
        self._notes += self._said(asks=True, missed=True)
        self._tells_all_until = self._clock() + _NEWCOMER_SECONDS
        for environment in () if self._closed else self._here:
            self._settle(environment)

    def _said(self, *, asks: bool = False, missed: bool = False) -> list[Told]:
        """Return notes that say who has subscribers here, in as many as fit."""
        here = list(self._here)
        first = Told(self._name, subscribed=here[:_ENVIRONMENTS], asks=asks, missed=missed)
        rest = range(_ENVIRONMENTS, len(here), _ENVIRONMENTS)
        return [first, *(Told(self._name, subscribed=here[start : start + _ENVIRONMENTS]) for start in rest)]

    def _payloads(self, untold: Mapping[tuple[_Kind, int], Collection[uuid.UUID]]) -> Iterable[str]:
        for (kind, environment), runs in untold.items():
            ids = [run.bytes for run in runs]
            for start in range(0, len(ids), _IDS):
                packed = {environment: base64.b64encode(b"".join(ids[start : start + _IDS])).decode()}
                told = Told(self._name, runs=packed) if kind == "runs" else Told(self._name, streams=packed)
                yield _encoded(told)


def _encoded(told: Told) -> str:
    return msgspec.json.encode(told).decode()


def _unpacked(text: str) -> list[uuid.UUID]:
    packed = base64.b64decode(text, validate=True)
    return [uuid.UUID(bytes=packed[start : start + 16]) for start in range(0, len(packed), 16)]
