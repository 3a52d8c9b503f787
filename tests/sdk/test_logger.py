"""Lines that code attaches to the run it belongs to."""

import logging

import pytest

from oncue import logger
from oncue.sdk import execution
from tests.sdk.conftest import FakeRun


def test_every_level_reaches_the_run_with_its_fields(inside: FakeRun) -> None:
    logger.debug("a", x=1)
    logger.info("b", message="a field of that name", level=2)
    logger.warning("c")
    logger.error("d", to=["e"])

    assert inside.logged == [
        ("debug", "a", {"x": 1}),
        ("info", "b", {"message": "a field of that name", "level": 2}),
        ("warning", "c", {}),
        ("error", "d", {"to": ["e"]}),
    ]


def test_outside_of_a_run_lines_go_to_the_standard_logger(caplog: pytest.LogCaptureFixture) -> None:
    assert execution.current.get() is None
    with caplog.at_level(logging.INFO, "oncue.task"):
        logger.info("alone", to="a@b.c")

    assert caplog.messages == ["alone to='a@b.c'"]
