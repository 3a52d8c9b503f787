"""SuperJSON of every form that JavaScript's library writes, and of none that it writes."""

import datetime
import json
import math
from typing import Any

import msgspec
import pytest

from oncue.protocol import codec, super_json
from oncue.protocol.errors import BadRequest

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
TEXT = "1970-01-01T00:00:00.000Z"


def read(value: Any, values: Any) -> Any:
    return super_json.read(json.dumps({"json": value, "meta": {"values": values}}).encode())


@pytest.mark.parametrize(
    ("value", "values", "expected"),
    [
        ({"a.b": TEXT}, {"a.b": ["Date"]}, {"a.b": EPOCH}),
        ({"u": {"v.w": None}}, {"u.v.w": ["undefined"]}, {"u": {"v.w": None}}),
        ({"u": {"v.w": TEXT}}, {"u.v.w": ["Date"]}, {"u": {"v.w": EPOCH}}),
        ({"c\\d": TEXT}, {"c\\d": ["Date"]}, {"c\\d": EPOCH}),
        ({"a.b": {"c": TEXT}}, {"a\\.b.c": ["Date"]}, {"a.b": {"c": EPOCH}}),
        ({"a": {"b": TEXT}, "a.b": TEXT}, {"a\\.b": ["Date"]}, {"a": {"b": TEXT}, "a.b": EPOCH}),
        ([[TEXT]], {"0.0": ["Date"]}, [[EPOCH]]),
        ([{"0": TEXT}], {"0.0": ["Date"]}, [{"0": EPOCH}]),
        (TEXT, ["Date"], EPOCH),
        ([TEXT, TEXT], ["set", {"1": ["Date"]}], {TEXT, EPOCH}),
        ([["k", [TEXT]]], ["map", {"0.1": ["set", {"0": ["Date"]}]}], {"k": {EPOCH}}),
        ([[[1, 2], 3]], ["map"], {(1, 2): 3}),
        ("-Infinity", ["number"], -math.inf),
    ],
)
def test_values_are_found_where_the_tree_says(value: Any, values: Any, expected: Any) -> None:
    assert read(value, values) == expected


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ([{"a": 1}], ["set"]),
        ([[{"a": 1}, 2]], ["map"]),
        ("+012345-01-01T00:00:00.000Z", ["Date"]),
        ("Invalid Date", ["Date"]),
        ("many", ["number"]),
        ([1], ["bigint"]),
        ({"a": 1}, {"b": ["Date"]}),
        ({"a": 1}, {"a.b.c": ["Date"]}),
        ([1], {"1": ["bigint"]}),
        ([1], {"x": ["bigint"]}),
        ([1], {"²": ["bigint"]}),
        (1, {"a": ["bigint"]}),
        (1, []),
        (1, "Date"),
        (1, [["custom", "x"]]),
        ({"a": None}, {"a": [["Date"]]}),
    ],
)
def test_what_python_cannot_say_stays_as_it_is(value: Any, values: Any) -> None:
    assert read(value, values) == value


def test_document_without_a_tree_is_plain() -> None:
    for document in (b'{"json":{"a":1}}', b'{"json":{"a":1},"meta":{}}', b'{"json":{"a":1},"meta":{"v":1}}'):
        assert super_json.read(document) == {"a": 1}


@pytest.mark.parametrize("content", ["[1]", "5", "null", '"\\"text\\""', '{"nojson":1}', '{"json":1,"meta":2}'])
@pytest.mark.parametrize("is_text", [True, False])
def test_payload_that_only_says_it_is_superjson_is_refused(content: str, is_text: bool) -> None:
    wire = msgspec.Raw(json.dumps(content).encode() if is_text else content.encode())

    with pytest.raises(BadRequest, match=r"payload is not (valid JSON|application/super\+json, an object with json)"):
        codec.document(wire, codec.SUPER_JSON)
