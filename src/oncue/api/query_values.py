"""Query values: parameters of a query, read alike by every route that has them."""

from collections.abc import Mapping

from oncue.protocol.errors import BadRequest


def number(query: Mapping[str, str], name: str, *, default: int, largest: int) -> int:
    """Return a whole number from 1 to ``largest``; the default where it is absent or empty.

    Raises:
        BadRequest: It is none.
    """
    text = query.get(name) or str(default)
    # The length first: Python refuses to read a number of thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(largest)) and 1 <= int(text) <= largest):
        raise BadRequest(f"{name}: found {text[:60]!r}; expected 1 to {largest:,}")
    return int(text)


def several(query: Mapping[str, str], name: str) -> list[str] | None:
    """Return the values that commas separate, empty ones left out; None where the parameter is absent or empty."""
    text = query.get(name)
    return [part for part in text.split(",") if part] if text else None
