"""Query values: parameters of a query, read alike by every route that has them."""

import datetime
from collections.abc import Collection, Mapping
from typing import TypeVar

from oncue.protocol import durations
from oncue.protocol.errors import BadRequest

Name = TypeVar("Name", bound=str)


def number(query: Mapping[str, str], name: str, *, default: int, largest: int, smallest: int = 1) -> int:
    """Return a whole number from ``smallest`` to ``largest``; the default where it is absent or empty.

    Raises:
        BadRequest: It is none.
    """
    text = query.get(name) or str(default)
    # The length first: Python refuses to read a number of thousands of digits.
    is_whole = text.isascii() and text.isdigit() and len(text) <= len(str(largest))
    if not is_whole or not smallest <= int(text) <= largest:
        raise BadRequest(f"{name}: found {text[:60]!r}; expected {smallest:,} to {largest:,}")
    return int(text)


def several(query: Mapping[str, str], name: str) -> list[str] | None:
    """Return the values that commas separate, empty ones left out; None where there are none."""
    return [part for part in query.get(name, "").split(",") if part] or None


def several_of(query: Mapping[str, str], name: str, accepted: Collection[Name]) -> list[Name] | None:
    """Return the values that commas separate, each one of those accepted; None where there are none.

    Raises:
        BadRequest: One of them is another.
    """
    texts = several(query, name)
    if texts is None:
        return None
    known = {str(value): value for value in accepted}
    if not known.keys() >= set(texts):
        raise BadRequest(f"{name}: found {query[name][:100]!r}; expected any of {', '.join(known)}")
    return [known[text] for text in texts]


def moment(query: Mapping[str, str], name: str) -> datetime.datetime | None:
    """Return milliseconds since 1970, or an ISO date, as a moment; without a zone it is UTC.

    Raises:
        BadRequest: It is neither.
    """
    text = query.get(name)
    if not text:
        return None
    try:
        if text.isascii() and text.isdigit():
            return datetime.datetime.fromtimestamp(int(text) / 1000, datetime.UTC)
        found = datetime.datetime.fromisoformat(text)
        # At the ends of the calendar a zone may lead beyond it.
        return found.astimezone(datetime.UTC) if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    except (ValueError, OverflowError, OSError):
        raise BadRequest(f"{name}: found {text[:60]!r}; expected milliseconds since 1970, or an ISO date") from None


def period(query: Mapping[str, str], name: str) -> datetime.timedelta | None:
    """Return a length of time.

    Raises:
        BadRequest: It is none.
    """
    text = query.get(name)
    found = durations.parse(text) if text else None
    if text and found is None:
        raise BadRequest(f"{name}: found {text[:60]!r}; expected a duration such as 1d or 2h30m")
    return found
