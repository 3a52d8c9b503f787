"""Item lines: the items of a batch, each read from its line.

Of a line that is too long only the beginning is there: what says which item it is, so that it fails alone.

Source: wire contract §2.3.
"""

import re
from typing import Final

import msgspec

from oncue.api import bodies
from oncue.api.bodies import Line
from oncue.protocol.errors import BadRequest, PayloadTooLarge, UnprocessableRequest
from oncue.protocol.triggers import BatchItem

_item: Final = msgspec.json.Decoder(BatchItem)
_MEMBER: Final = re.compile(rb'[{,]\s*"(index|task)"\s*:\s*(\d{1,10}|"(?:[^"\\]|\\.)*")\s*(?=,)')


class _Position(msgspec.Struct, frozen=True):
    """What can still be said of an item that does not fit."""

    index: int | None = None


class _Named(msgspec.Struct, frozen=True):
    """What is known of an item whose line is cut."""

    index: int
    task: str


_position: Final = msgspec.json.Decoder(_Position)
_named: Final = msgspec.json.Decoder(_Named)


def read(line: Line) -> BatchItem:
    """Return the item of a line; of one that is cut, without its payload.

    Raises:
        BadRequest: It is not JSON.
        PayloadTooLarge: It is cut, and does not begin with what says which item it is.
        UnprocessableRequest: It is no item; names its index, or else its line.
    """
    if line.is_cut:
        return _read_cut(line)
    try:
        return _item.decode(line.text)
    except msgspec.ValidationError as error:
        raise UnprocessableRequest(f"Invalid item at {_place(line)}: {bodies.explain(str(error))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Invalid JSON at line {line.number}: {error}") from None


def too_long(line: Line, limit_bytes: int) -> PayloadTooLarge:
    """Return why the item of a line that is cut makes no run."""
    return PayloadTooLarge(f"line {line.number} is longer than {limit_bytes:,} bytes, the limit of a line")


def _read_cut(line: Line) -> BatchItem:
    # Members up to the first that is neither: what looks like one behind it may belong to the payload.
    members, at = [], len(line.text) - len(line.text.lstrip())
    while found := _MEMBER.match(line.text, at):
        members.append(b'"%s":%s' % found.groups())
        at = found.end()
    try:
        named = _named.decode(b"{%s}" % b",".join(members))
    except msgspec.MsgspecError:
        raise PayloadTooLarge(
            f"line {line.number} is longer than a line may be, and does not begin with index and task; send these first"
        ) from None
    return BatchItem(named.index, named.task)


def _place(line: Line) -> str:
    try:
        index = _position.decode(line.text).index
    except msgspec.ValidationError:
        index = None
    return f"line {line.number}" if index is None else f"index {index}"
