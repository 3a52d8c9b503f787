import datetime
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue.protocol import ids
from oncue.protocol.errors import BadRequest


@given(st.integers(0, 2**128 - 1))
def test_every_id_survives_being_shown_and_parsed(number: int) -> None:
    value = uuid.UUID(int=number)

    assert ids.parse(ids.RUN, ids.show(ids.RUN, value)) == value


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_shown_ids_sort_as_their_values_do(one: int, other: int) -> None:
    shown = [ids.show(ids.RUN, uuid.UUID(int=number)) for number in (one, other)]

    assert (shown[0] < shown[1]) == (one < other)


def test_minted_ids_are_distinct_and_ordered() -> None:
    minted = [ids.new_run_id() for _ in range(1_000)]

    assert minted == sorted(set(minted))


def test_id_tells_when_it_was_minted() -> None:
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(milliseconds=1)

    minted = ids.minted_at(ids.parse(ids.RUN, ids.new_run_id()))

    assert before <= minted <= datetime.datetime.now(datetime.UTC)


def test_runs_of_a_batch_sort_by_their_index() -> None:
    batch = ids.parse(ids.BATCH, ids.new_batch_id())

    runs = [ids.item_run_id(batch, index) for index in (0, 1, 999, ids.MAX_ITEM_INDEX)]

    assert runs == sorted(runs)
    assert [ids.item_index(run) for run in runs] == [0, 1, 999, ids.MAX_ITEM_INDEX]


@pytest.mark.parametrize(
    "text",
    ["", "run_", "batch_01m859kadzee18va3rv3tqfjvh", "run_81m859kadzee18va3rv3tqfjvh", "run_" + "i" * 26, "x" * 500],
)
def test_text_that_is_no_run_id_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="is not a run id; expected run_ and 26 characters"):
        ids.parse(ids.RUN, text)
