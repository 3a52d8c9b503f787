"""Durations: ``"1h"``, ``"88s"``, ``"2h30m"`` and what they mean.

The grammar is the wire contract's (§1.9): one or more whole numbers, each with a unit of ``w d h|hr m s``, no spaces,
at most 100 characters, at most ten years. Python callers may also give seconds or a timedelta.
"""

import datetime
import re
from typing import Final, TypeAlias

_PART: Final = re.compile(r"(\d+)(w|d|hr|h|m|s)")
_WHOLE: Final = re.compile(r"(?:\d+(?:w|d|hr|h|m|s))+")
_SECONDS: Final = {"w": 604_800, "d": 86_400, "hr": 3_600, "h": 3_600, "m": 60, "s": 1}
_LONGEST: Final = 100
LONGEST: Final = datetime.timedelta(days=3650)
"""No length of time that a user means is longer; beyond it lie moments that no calendar has."""
ACCEPTED: Final = 'a duration such as "88s", "1h" or "2h30m" (units w d h m s), seconds, or a timedelta, up to 10 years'

Duration: TypeAlias = str | float | datetime.timedelta
"""What a user may give where a length of time is meant."""


def parse(text: str) -> datetime.timedelta | None:
    """Read a duration, or return None where the text is not one."""
    if len(text) > _LONGEST or _WHOLE.fullmatch(text) is None:
        return None
    try:
        found = datetime.timedelta(seconds=sum(int(n) * _SECONDS[unit] for n, unit in _PART.findall(text)))
    except OverflowError:
        return None
    return found if found <= LONGEST else None


def read(value: object, option: str) -> datetime.timedelta:
    """Read what a Python caller gave for an option.

    Args:
        value: A ``Duration``; numbers are seconds.
        option: The option's name, for the message.

    Raises:
        ValueError: It is not a duration, or a negative one. Names the option, what was given and what is accepted.
    """
    found: datetime.timedelta | None = None
    match value:
        case datetime.timedelta():
            found = value
        case bool():
            found = None
        case int() | float():
            found = _from_seconds(value)
        case str():
            found = parse(value)
    if found is None or not datetime.timedelta() <= found <= LONGEST:
        message = f"{option}={value!r} is not a length of time; expected {ACCEPTED}"
        raise ValueError(message)
    return found


def show(value: datetime.timedelta) -> str:
    """Write a duration in the wire's grammar, rounded up to whole seconds: ``2h30m``; zero is ``0s``."""
    left = -(-value // datetime.timedelta(seconds=1))
    parts = []
    for unit, seconds in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _from_seconds(value: float) -> datetime.timedelta | None:
    try:
        return datetime.timedelta(seconds=value)
    except (OverflowError, ValueError):
        return None
