"""The table of moves holds the SQL, and the SQL holds the table."""

import re
from importlib import resources
from itertools import product
from typing import get_args

import pytest

from oncue.engine import states
from oncue.protocol import status

_MOVE = re.compile(r"^-- Moves: (.+?) -> (.+?)\.$", re.MULTILINE)


def moves_of_queries() -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for file in (resources.files("oncue") / "sql" / "queries").iterdir():
        for befores, afters in _MOVE.findall(file.read_text()):
            found |= set(product(befores.split(", "), afters.split(", ")))
    return found


def moves_of_table() -> set[tuple[str, str]]:
    births = {("(new)", state) for state in states.BIRTHS}
    return births | {(before, after) for before, afters in states.MOVES.items() for after in afters}


def test_every_move_of_a_query_is_in_the_table() -> None:
    # An item that could not be made into a run is a run that ended before it began.
    assert moves_of_queries() - moves_of_table() == {("(new)", "SYSTEM_FAILURE")}


def test_every_move_of_the_table_is_made_by_a_query() -> None:
    assert moves_of_table() - moves_of_queries() == set()


def test_every_stored_status_is_live_or_final() -> None:
    live = set(get_args(status.LiveStatus))

    assert set(states.MOVES) == live
    assert set(states.FINAL) == set(get_args(status.FinalStatus))
    assert set(status.SHOWN) == live | states.FINAL


@pytest.mark.parametrize("final", sorted(states.FINAL))
def test_no_move_leads_out_of_a_final_status(final: str) -> None:
    assert final not in states.MOVES
