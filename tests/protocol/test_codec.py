import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Any

import msgspec
import pytest

from oncue.protocol import codec
from oncue.protocol.errors import BadRequest


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'),
        (datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC), '"2030-01-02T00:00:00Z"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (decimal.Decimal("1.10"), '"1.10"'),
        (b"\x00\xff", '"AP8="'),
        (Colour.RED, '"red"'),
        (Point(1.5), '{"x":1.5}'),
    ],
)
def test_value_is_written_as_json(value: object, text: str) -> None:
    assert codec.encode(value).decode() == text


def test_value_without_a_json_form_is_named() -> None:
    with pytest.raises(TypeError, match="of type object has no JSON form"):
        codec.encode({"a": object()})


@pytest.mark.parametrize("value", [float("nan"), [None, float("inf")], {"a": Point(-float("inf"))}])
def test_float_that_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        codec.encode(value)


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b'"\\ud800"', b"[" * 100_000 + b"]" * 100_000])
def test_document_that_could_not_be_read_back_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest, match=r"payload (is|holds half of a surrogate)"):
        codec.checked(text, "payload")


@pytest.mark.parametrize(
    ("wire", "type_", "document", "stored"),
    [
        (b'{"a":1}', None, b'{"a":1}', codec.JSON),
        (b'"text"', None, b'"text"', codec.JSON),
        (b'"{\\"a\\":1}"', codec.JSON, b'{"a":1}', codec.JSON),
        (b'"plain"', codec.TEXT, b'"plain"', codec.JSON),
        (b'"{\\"json\\":1}"', codec.SUPER_JSON, b'{"json":1}', codec.SUPER_JSON),
        (b'"2030-01-31/p/payload.json"', codec.STORE, b'"2030-01-31/p/payload.json"', codec.STORE),
        (b'{"json":1}', codec.SUPER_JSON, b'{"json":1}', codec.SUPER_JSON),
        (b"", None, None, codec.JSON),
    ],
)
def test_wire_payload_becomes_the_document_it_stands_for(
    wire: bytes, type_: str | None, document: bytes | None, stored: str
) -> None:
    assert codec.document(msgspec.Raw(wire), type_) == (document, stored)


@pytest.mark.parametrize(
    ("wire", "type_"), [(b"1", codec.TEXT), (b'"{"', codec.JSON), (b'""', codec.STORE), (b"{}", codec.STORE)]
)
def test_payload_that_does_not_match_its_type_is_refused(wire: bytes, type_: str) -> None:
    with pytest.raises(BadRequest):
        codec.document(msgspec.Raw(wire), type_)


def test_superjson_values_become_pythons_own() -> None:
    wrapped: dict[str, Any] = {
        "json": {"d": "2030-01-01T00:00:00.000Z", "n": "9007199254740993", "s": [1, 2], "m": [["k", 1]], "a.b": ["1"]},
        "meta": {"values": {"d": ["Date"], "n": ["bigint"], "s": ["set"], "m": ["map"], "a\\.b.0": ["bigint"]}},
    }

    value = codec.restore(msgspec.json.encode(wrapped), codec.SUPER_JSON)

    assert value == {
        "d": datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC),
        "n": 9007199254740993,
        "s": {1, 2},
        "m": {"k": 1},
        "a.b": [1],
    }
    assert bytes(codec.plain(msgspec.json.encode(wrapped), codec.SUPER_JSON)) == msgspec.json.encode(wrapped["json"])
