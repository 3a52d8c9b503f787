"""Who leaves when a server has more subscriptions than it can keep."""

import pytest

from oncue.api.seats import Owner, Seats
from oncue.protocol import limits
from oncue.protocol.errors import RateLimited

BACKEND, OTHER = Owner(1), Owner(2)
PAGE = Owner(1, b"page")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are four seats, and three for a token."""
    monkeypatch.setattr(limits, "MAX_SUBSCRIPTIONS", 4)
    monkeypatch.setattr(limits, "MAX_TOKEN_SUBSCRIPTIONS", 3)


def taken(owner: Owner, *members: str, used: str = "") -> Seats[str]:
    seats: Seats[str] = Seats()
    for member in members:
        seats.take(owner, member)
    for member in used:
        seats.use(member)
    return seats


def come(seats: Seats[str], owner: Owner, member: str) -> str | None:
    """Let somebody come; returns who left."""
    leaver = seats.leaver(owner)
    if leaver is not None:
        seats.leave(leaver)
    seats.take(owner, member)
    return leaver


def test_nobody_leaves_while_there_is_room() -> None:
    assert taken(BACKEND, "a", "b", "c").leaver(OTHER) is None


def test_who_never_came_back_leaves_first() -> None:
    seats = taken(BACKEND, "a", "b", "c", "d", used="a")

    assert [come(seats, BACKEND, "e"), come(seats, BACKEND, "f")] == ["b", "c"]


def test_environment_with_the_most_is_refused_where_all_came_back() -> None:
    seats = taken(BACKEND, "a", "b", "c", "d", used="abcd")

    with pytest.raises(RateLimited, match="this server has 4 subscriptions"):
        seats.leaver(BACKEND)


def test_environment_with_the_most_gives_way_to_another() -> None:
    seats = taken(BACKEND, "a", "b", "c", "d", used="bcda")

    assert [come(seats, OTHER, "e"), come(seats, OTHER, "f")] == ["b", "c"]
    assert seats.leaver(OTHER) == "e"


def test_token_has_no_more_than_its_share() -> None:
    seats = taken(PAGE, "a", "b", "c", used="a")

    assert [come(seats, PAGE, "d"), come(seats, BACKEND, "e")] == ["b", None]
    for member in "cd":
        seats.use(member)
    with pytest.raises(RateLimited, match="this token has 3 subscriptions"):
        seats.leaver(PAGE)


def test_token_with_the_most_gives_way_within_its_environment() -> None:
    seats = taken(PAGE, "a", "b", "c")
    seats.take(BACKEND, "d")

    assert come(seats, BACKEND, "e") == "a"


def test_seat_that_was_left_is_free() -> None:
    seats = taken(BACKEND, "a", "b", "c", "d", used="ab")

    seats.leave("a")
    seats.leave("a")

    assert len(seats) == 3
    assert seats.leaver(OTHER) is None
