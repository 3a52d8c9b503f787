from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue.api import bodies
from oncue.protocol.errors import BadRequest, ConnectionFailed


class Inner(msgspec.Struct, rename="camel"):
    max_attempts: int | None = None
    names: list[str] = []
    by_name: dict[str, str] = {}


class Outer(msgspec.Struct, rename="camel"):
    run_count: int
    options: Inner | None = None
    payload: msgspec.Raw = msgspec.Raw()


DECODER = msgspec.json.Decoder(Outer)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "runCount is missing"),
        (b'{"runCount": "x"}', "runCount: expected int, got str"),
        (b'{"runCount": 1, "options": 1}', "options: expected object, got int"),
        (b'{"runCount": 1, "options": {"maxAttempts": "x"}}', "options.maxAttempts: expected int, got str"),
        (b'{"runCount": 1, "options": {"names": [1]}}', "options.names[0]: expected str, got int"),
        (b'{"runCount": 1, "options": {"names": ["a\\u0000"]}}', "options.names[0] holds a NUL"),
        (b'{"runCount": 1, "options": {"byName": {"a": "\\u0000"}}}', "options.byName.a holds a NUL"),
        (b'{"runCount": 1, "options": {"byName": {"\\u0000": ""}}}', "options.byName holds a NUL"),
        (b"3", "the body: expected object, got int"),
        (b'{"runCount": 1} 2', "the body is not valid JSON"),
    ],
)
async def test_misfit_names_field_found_and_expected(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        bodies.decode(DECODER, body)

    assert str(refused.value).startswith(message)


async def test_nul_in_a_payload_passes_through_unread() -> None:
    found = bodies.decode(DECODER, b'{"runCount": 1, "payload": "a\\u0000"}')

    assert bytes(found.payload) == b'"a\\u0000"'


async def test_unknown_fields_of_newer_clients_are_ignored() -> None:
    assert bodies.decode(DECODER, b'{"runCount": 1, "colour": "red"}').run_count == 1


class Arriving:
    """A body that arrives in pieces."""

    def __init__(self, pieces: Sequence[bytes], *, breaks_off: bool = False) -> None:
        self._messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
        ]
        last = {"type": "http.disconnect"} if breaks_off else {"type": "http.request", "body": b""}
        self._messages.append(last)

    async def __call__(self) -> dict[str, Any]:
        return self._messages.pop(0)


@given(st.lists(st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"")), max_size=8), st.integers(1, 9))
async def test_lines_are_the_same_however_they_are_cut(texts: list[bytes], size: int) -> None:
    body = b"\n".join(texts)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]

    found = [found async for found in bodies.lines(Arriving(pieces), 100)]

    assert found == [(number, text, False) for number, text in enumerate(texts, 1) if text.strip()]


async def test_line_beyond_the_limit_keeps_its_beginning_only() -> None:
    arriving = Arriving([b"ok\n", *[b"x" * 6_000] * 1_000, b"\nnext\n", b"y" * 101])

    found = [found async for found in bodies.lines(arriving, 100)]

    assert [(line.number, line.is_cut, len(line.text)) for line in found] == [
        (1, False, 2), (2, True, 8_192), (3, False, 4), (4, True, 101),
    ]  # fmt: skip


async def test_stream_that_breaks_off_is_not_taken_for_whole() -> None:
    with pytest.raises(ConnectionFailed):
        _ = [found async for found in bodies.lines(Arriving([b"a\nb"], breaks_off=True), 100)]
