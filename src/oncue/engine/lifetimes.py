"""Lifetimes: how long a run may stand in line before it expires.

Pure; when the clock runs is in ``expiry``.

Source: wire contract §8.4.

Life of a run, this module's part::

    triggering, placing -> lifetimes.effective -> runs.ttl, live.expires_at
"""

import datetime
from typing import Final

from oncue.engine.rows import Environment

_DEVELOPMENT: Final = datetime.timedelta(minutes=10)
_LONGEST: Final = datetime.timedelta(days=14)
"""Outside development."""


def effective(
    environment: Environment, option: datetime.timedelta | None, task: datetime.timedelta | None
) -> datetime.timedelta | None:
    """Return how long a run may stand in line, or None where that has no end.

    Args:
        option: What the caller said; zero switches it off.
        task: What the task says; None: nothing.

    Source: wire contract §8.4: option, task, ten minutes in development; elsewhere at most 14 days.
    """
    default = _DEVELOPMENT if environment.is_development else None
    wanted = next((said for said in (option, task, default) if said is not None), None) or None
    if environment.is_development:
        return wanted
    return _LONGEST if wanted is None else min(wanted, _LONGEST)
