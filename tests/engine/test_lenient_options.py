"""Options as JavaScript callers come to send them: what says nothing counts as absent."""

import datetime
from typing import Any

import msgspec
import pytest

from oncue.engine import requests
from oncue.engine.requests import NewRun
from oncue.protocol.errors import BadRequest
from oncue.protocol.triggers import TriggerRequest


def planned(**options: Any) -> NewRun:
    request = msgspec.convert({"options": options}, TriggerRequest)
    return requests.plan("a", request)


def with_metadata(text: bytes) -> str | None:
    body = b'{"options":{"metadata":%s}}' % text
    return requests.plan("a", msgspec.json.decode(body, type=TriggerRequest)).metadata


@pytest.mark.parametrize(("key", "kept"), [("", None), (None, None), (1.5, "1.5"), (7, "7"), (" ", " ")])
def test_concurrency_key_may_be_a_number_or_empty(key: Any, kept: str | None) -> None:
    assert planned(concurrencyKey=key).concurrency_key == kept


@pytest.mark.parametrize(("tags", "kept"), [("", "{}"), (["", "a", " "], '{"a"}'), ([], "{}"), ("a b", '{"a b"}')])
def test_blank_tags_are_left_out(tags: Any, kept: str) -> None:
    assert planned(tags=tags).tags == kept


def test_metadata_that_is_null_is_none() -> None:
    assert [with_metadata(text) for text in (b"null", b" null ", b"{}")] == [None, None, "{}"]


@pytest.mark.parametrize("text", ["Sun, 01 Dec 2030 00:00:00 GMT", "1 Dec 2030 01:00:00 +0100", "2030-12-01"])
def test_delay_may_be_a_date_of_javascript(text: str) -> None:
    assert planned(delay=text).delay_until == datetime.datetime(2030, 12, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize("payload_type", ["application/store"])
def test_stored_payload_needs_its_path(payload_type: str) -> None:
    with pytest.raises(BadRequest, match="payload is missing; expected the path of a stored packet"):
        planned(payloadType=payload_type)
