"""Wake-ups: what a committed transaction changed is told to whoever waits for it, here and on other servers.

Here by a call; elsewhere by NOTIFY, at most one every 10 ms from each server, never one per run. A notification is a
hint to look, so one that is lost costs time and nothing else.

Life of a run, this module's part::

    transaction commits -> Wakeups.apply -> Polls, Upkeep; NOTIFY -> Wakeups.hear on other servers
"""

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from oncue.api.polls import Polls
from oncue.api.rounds import Rounds
from oncue.engine.events import Effects

CHANNEL: Final = "oncue_wakeups"
_LONGEST_BYTES: Final = 7_900
"""PostgreSQL refuses payloads of 8,000 bytes and more."""


class Hint(msgspec.Struct, frozen=True, omit_defaults=True, rename={"sender": "from"}):
    """What one server tells the others."""

    sender: str
    lined_up: dict[int, int] = {}
    workers: list[uuid.UUID] = []
    due_sooner: bool = False
    keys_changed: bool = False
    everything: bool = False


_decoder: Final = msgspec.json.Decoder(Hint)


class Wakeups:
    """Passes effects on."""

    def __init__(
        self,
        polls: Polls,
        *,
        send: Callable[[str], Awaitable[None]],
        on_due_sooner: Callable[[], None],
        on_keys_changed: Callable[[], None],
    ) -> None:
        """Begin with nothing to tell.

        Args:
            send: Sends a payload on ``CHANNEL``.
            on_due_sooner: A held run may be due earlier than was known.
            on_keys_changed: Keys were made or revoked.
        """
        self._polls, self._send = polls, send
        self._on_due_sooner, self._on_keys_changed = on_due_sooner, on_keys_changed
        self._name = uuid.uuid4().hex[:12]
        self._untold = Effects()
        # Everybody looks again when the database is back; what was not told is told once more all the same.
        self._rounds = Rounds("oncue-notify", self._tell, is_due=lambda: bool(self._untold), event="notify.failed")

    def apply(self, effects: Effects) -> None:
        """Tell everybody what a transaction changed, after its COMMIT."""
        if not effects:
            return
        self._apply_here(effects)
        self._untold.merge(effects)
        self._rounds.start()

    def hear(self, _channel: str, payload: str) -> None:
        """Take in what another server tells."""
        try:
            hint = _decoder.decode(payload)
        except msgspec.MsgspecError:
            # A newer server may say it differently; to look is always right.
            hint = Hint("", everything=True)
        if hint.sender == self._name:
            return
        if hint.everything:
            self.miss()
            return
        effects = Effects()
        effects.lined_up = Counter(hint.lined_up)
        effects.noticed = set(hint.workers)
        effects.due_sooner, effects.keys_changed = hint.due_sooner, hint.keys_changed
        self._apply_here(effects)

    def miss(self) -> None:
        """Act as if everything had changed: notifications may have been lost."""
        self._on_keys_changed()
        self._on_due_sooner()
        self._polls.wake_all()

    async def close(self) -> None:
        """Tell what is left to tell."""
        await self._rounds.close()

    def _apply_here(self, effects: Effects) -> None:
        if effects.keys_changed:
            self._on_keys_changed()
        if effects.due_sooner:
            self._on_due_sooner()
        self._polls.notice(effects.noticed)
        for environment_id, runs in effects.lined_up.items():
            self._polls.line_up(environment_id, runs)

    async def _tell(self) -> None:
        untold, self._untold = self._untold, Effects()
        try:
            await self._send(self._payload(untold))
        except BaseException:
            self._untold.merge(untold)
            raise

    def _payload(self, effects: Effects) -> str:
        hint = Hint(self._name, dict(effects.lined_up), list(effects.noticed), effects.due_sooner, effects.keys_changed)
        text = msgspec.json.encode(hint)
        if len(text) > _LONGEST_BYTES:
            text = msgspec.json.encode(Hint(self._name, everything=True))
        return text.decode()
