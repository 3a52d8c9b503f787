import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue.protocol import durations

SECOND = datetime.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("88s", 88), ("1h", 3600), ("1hr", 3600), ("2h30m", 9000), ("1w2d", 777_600), ("0s", 0), ("10m", 600)],
)
def test_duration_in_the_grammar_is_read(text: str, seconds: int) -> None:
    assert durations.parse(text) == seconds * SECOND


@pytest.mark.parametrize("text", ["", "1", "h", "1 h", "-1h", "1.5h", "1y", "1h ", "1h" * 51, "9" * 90 + "w", "3651d"])
def test_text_outside_the_grammar_is_no_duration(text: str) -> None:
    assert durations.parse(text) is None


@given(st.integers(0, 3650 * 86_400))
def test_shown_duration_reads_back_as_itself(seconds: int) -> None:
    assert durations.parse(durations.show(seconds * SECOND)) == seconds * SECOND


@pytest.mark.parametrize("value", [90, 90.0, "90s", "1m30s", datetime.timedelta(seconds=90)])
def test_python_callers_may_write_durations_in_several_ways(value: object) -> None:
    assert durations.read(value, "ttl") == 90 * SECOND


@pytest.mark.parametrize(
    "value", [True, None, "soon", -1, float("nan"), float("inf"), datetime.timedelta(-1), datetime.timedelta(3651), []]
)
def test_refused_duration_names_option_value_and_what_is_accepted(value: object) -> None:
    with pytest.raises(ValueError, match=r'ttl=.* is not a length of time; expected a duration such as "88s"'):
        durations.read(value, "ttl")
