"""Streams of a run and of those above it: whose one may write to."""

from collections.abc import Callable
from typing import Any

import pytest

from oncue import streams
from tests.sdk.conftest import FakeRun


@pytest.mark.parametrize("function", [streams.pipe, streams.append, streams.sync.pipe, streams.sync.append])
def test_unknown_owner_of_a_stream_is_refused(inside: FakeRun, function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"target='brother' is not accepted; expected 'self', 'parent' or 'root'"):
        function("words", [1], target="brother")
