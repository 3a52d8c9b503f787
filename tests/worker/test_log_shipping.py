"""Lines of log on their way from a run to the server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from oncue.protocol.errors import BadRequest, ConnectionFailed
from oncue.worker import log_shipping
from oncue.worker.log_shipping import LogShipper
from tests.worker.network import LONG_S, Silent


@pytest.fixture
async def shipped() -> AsyncIterator[tuple[LogShipper, Silent]]:
    link = Silent()
    shipper = LogShipper(link)
    shipping = asyncio.ensure_future(shipper.run())
    yield shipper, link
    shipping.cancel()


async def _flushed(shipper: LogShipper) -> None:
    async with asyncio.timeout(LONG_S):
        await shipper.flushed()


async def test_lines_arrive_in_order_with_their_fields(shipped: tuple[LogShipper, Silent]) -> None:
    shipper, link = shipped
    for number in range(1_200):
        shipper.add("run_a", 1, 2, "info", f"line {number}", fields={"number": number})
    await _flushed(shipper)

    assert [line.message for line in link.lines] == [f"line {number}" for number in range(1_200)]
    assert bytes(link.lines[7].fields) == b'{"number":7}'
    assert (link.lines[0].run_id, link.lines[0].epoch, link.lines[0].attempt) == ("run_a", 1, 2)
    assert len({line.number for line in link.lines}) == 1_200


async def test_lines_outlive_a_server_that_is_away(shipped: tuple[LogShipper, Silent]) -> None:
    shipper, link = shipped
    link.refusals = [ConnectionFailed("away")]
    shipper.add("run_a", 1, 1, "warning", "kept", fields={})
    await _flushed(shipper)

    assert [line.message for line in link.lines] == ["kept"]


async def test_refused_lines_do_not_hold_up_those_after_them(shipped: tuple[LogShipper, Silent]) -> None:
    shipper, link = shipped
    link.refusals = [BadRequest("no")]
    shipper.add("run_a", 1, 1, "info", "refused", fields={})
    await _flushed(shipper)
    shipper.add("run_a", 1, 1, "info", "taken", fields={})
    await _flushed(shipper)

    assert [line.message for line in link.lines] == ["taken"]


async def test_values_without_a_form_in_json_are_shown_as_text(shipped: tuple[LogShipper, Silent]) -> None:
    shipper, link = shipped
    shipper.add("run_a", 1, 1, "info", "odd \ud800 \0", fields={"thing": object, "fine": 1})
    shipper.add("run_a", 1, 1, "info", "large", fields={"text": "x" * (log_shipping.MAX_FIELDS_BYTES + 1)})
    await _flushed(shipper)

    assert link.lines[0].message == "odd ? \N{REPLACEMENT CHARACTER}"
    assert bytes(link.lines[0].fields) == b"""{"thing":"<class 'object'>","fine":1}"""
    assert bytes(link.lines[1].fields).startswith(b'{"too large to keep":["text"]')


async def test_lines_beyond_the_limit_are_dropped_and_counted(
    shipped: tuple[LogShipper, Silent], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shipper, link = shipped
    monkeypatch.setattr(log_shipping, "MAX_LINES", 2)
    for _ in range(5):
        shipper.add("run_a", 1, 1, "info", "line", fields={})
    await _flushed(shipper)
    await asyncio.sleep(0)

    assert len(link.lines) == 2
    assert "logs.dropped lines=3" in caplog.text
