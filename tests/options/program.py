"""Tasks that call every function with every row of the table, from inside a run."""

from typing import Any, Final

from oncue import ApiError, Context, task
from tests.options import functions
from tests.options.table import REFUSED, ROWS, Cell

CALLERS: Final = ("option-caller", "option-blocking-caller")

_REFUSALS: Final = (ApiError, TypeError, ValueError)


@task(id="option-caller")
async def caller(payload: dict[str, Any], ctx: Context) -> list[str]:
    """Try rows of the table, or else all values that must be refused; returns the refusals."""
    way = payload["way"]
    for number in payload.get("rows", ()):
        cell = _cell(payload, number, ctx)
        await functions.call(way, {"cell": cell.name}, ROWS[number].given(cell))
    if "rows" in payload:
        return []
    said = []
    for refused in REFUSED:
        try:
            await functions.call(way, {"cell": "refused"}, {refused.option: refused.given})
        except _REFUSALS as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


@task(id="option-blocking-caller")
def blocking_caller(payload: dict[str, Any], ctx: Context) -> list[str]:
    way = functions.WAYS[payload["way"]]
    for number in payload.get("rows", ()):
        cell = _cell(payload, number, ctx)
        way({"cell": cell.name}, ROWS[number].given(cell))
    if "rows" in payload:
        return []
    said = []
    for refused in REFUSED:
        try:
            way({"cell": "refused"}, {refused.option: refused.given})
        except _REFUSALS as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


def _cell(payload: dict[str, Any], number: int, ctx: Context) -> Cell:
    way = payload["way"]
    return Cell(f"{payload['prefix']}{number}", ctx.run.id, functions.is_of_batch(way))
