"""Retrying: whether a request is sent again, and after how long; no I/O.

Source: wire contract §1.3.

Life of a run, this module's part::

    sdk/flows.exchange -> retrying.wait_before_retry -> Sleep, or the error
"""

from typing import Final, NamedTuple

from oncue.sdk.answers import Answer, NoAnswer, reset_at

_SLOWEST: Final = 40
"""Attempts after which the pause grows no more."""


class Policy(NamedTuple):
    """When a call is sent again, and after how long. Source: wire contract §1.3."""

    attempts: int = 5
    first_s: float = 1.0
    factor: float = 1.6
    longest_s: float = 30.0
    jitter: bool = False
    heeds_retry_after: bool = False
    waits_out_limits: bool = False
    """Whether a refusal by a rate limit that says until when counts as no attempt."""
    waits_for_server: bool = False
    """Whether it counts as no attempt that there is no server: none answers, or a proxy says that none does."""

    def backoff_s(self, attempt: int, draw: float) -> float:
        """Return how many seconds to wait after an attempt; ``draw``, 0 to 1, stretches it where there is jitter."""
        stretch = 1.0 + draw if self.jitter else 1.0
        # Beyond that a power would be no float.
        return min(self.longest_s, stretch * self.first_s * self.factor ** min(attempt - 1, _SLOWEST))


JSON_CALLS: Final = Policy()
ITEM_STREAMS: Final = Policy(factor=2.0, jitter=True, heeds_retry_after=True)
OPEN_STREAMS: Final = ITEM_STREAMS._replace(waits_out_limits=True)
"""Of a stream without end, which no limit lets through at once: it takes as long as that asks for."""

PATIENT: Final = Policy(first_s=0.1, factor=2.0, longest_s=5.0, jitter=True, waits_for_server=True)
"""Of what a run sends: it goes on while the server is away, and so does what it sends."""

TRANSFERS: Final = Policy(first_s=0.5, factor=2.0, longest_s=5.0, jitter=True)
"""Documents to the object store and from there."""


_AWAY: Final = frozenset({502, 503, 504})
"""What a proxy says in the place of a server, or a server that stops."""
_PASSING: Final = frozenset({408, 409, 429})
"""Statuses that pass, besides the server's own failures."""


def wait_before_retry(
    reply: Answer | NoAnswer, attempt: int, policy: Policy, draw: float, *, counted: int | None = None
) -> float | None:
    """Return how many seconds to wait before a call is sent again, or None where it is not.

    Args:
        reply: What became of the attempt.
        attempt: Its number, from 1.
        counted: How many attempts count against the policy's; None: all.
        policy: Of the call.
        draw: Random, 0 to 1; stretches the wait where the policy or a rate limit asks for it.
    """
    tried = attempt if counted is None else counted
    if tried >= policy.attempts or (isinstance(reply, Answer) and not _may_help(reply)):
        return None
    if isinstance(reply, Answer) and reply.status == 429:  # noqa: PLR2004 - Too Many Requests
        limited = _rate_limit_wait(reply, policy, draw)
        if limited is not None:
            return limited
    return policy.backoff_s(attempt, draw)


def counts_as_attempt(reply: Answer | NoAnswer, policy: Policy) -> bool:
    """Return whether what became of an attempt is counted against the policy's attempts."""
    if isinstance(reply, NoAnswer) or reply.status in _AWAY:
        return not policy.waits_for_server
    if not policy.waits_out_limits or reply.status != 429:  # noqa: PLR2004 - as above
        return True
    # A wait of nothing, as a faulty proxy may ask for, would never end.
    return not (_rate_limit_wait(reply, policy, 0.0) or 0.0) > 0.0


def _may_help(answer: Answer) -> bool:
    """Return whether the same request may fare better later: the server says so, or its status does."""
    match answer.headers.get("x-should-retry"):
        case "true":
            return True
        case "false":
            return False
        case _:
            return answer.status in _PASSING or answer.status >= 500  # noqa: PLR2004 - the class, as HTTP has it


def _rate_limit_wait(answer: Answer, policy: Policy, draw: float) -> float | None:
    ends_at = reset_at(answer)
    if ends_at is not None and ends_at.timestamp() > answer.at:
        return ends_at.timestamp() - answer.at + draw
    seconds = answer.headers.get("retry-after", "")
    if policy.heeds_retry_after and seconds.isdecimal():
        return float(seconds)
    return None
