"""The page of options says what the matrix tries."""

import re

from tests.house.pages import code, rows
from tests.options import functions
from tests.options.table import ROWS, Cell

PAGE = "reference/options.md"


def test_every_option_has_its_name_over_http() -> None:
    described = {code(cells[0]): code(cells[1]) for cells in rows(PAGE) if len(cells) == 3}
    described.pop("", None)

    sent: dict[str, set[str]] = {}
    for row in ROWS:
        sent.setdefault(row.option, set()).update(row.wire(Cell("cell")) if row.wire else ())
    sent["idempotency_key_ttl"].discard("idempotencyKey")

    assert {option: {name} for option, name in described.items()} == sent, f"docs/{PAGE} names other fields"


def test_every_function_is_named() -> None:
    named = {name for cells in rows(PAGE) if len(cells) == 2 for name in re.findall("`([^`]+)`", cells[1])}

    # The page says once for all that each has the same under ``.sync``.
    there = {name.replace(".sync.", ".") for name in functions.found()}
    assert named == there, f"docs/{PAGE} names other functions"
