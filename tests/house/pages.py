"""What documentation pages say, read back from their Markdown."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
_CELL: Final = re.compile(r"(?<!\\)\|")
_RULE: Final = re.compile(r"[-: ]+")


def rows(page: str) -> list[list[str]]:
    """Return the cells of every table row of a page, without the rows of headings."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    tables = [
        [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]] for line in lines if line.startswith("|")
    ]
    headings = {at - 1 for at, cells in enumerate(tables) if all(_RULE.fullmatch(cell) for cell in cells)}
    return [
        cells
        for at, cells in enumerate(tables)
        if at not in headings and not all(_RULE.fullmatch(cell) for cell in cells)
    ]


def code(cell: str) -> str:
    """Return what stands between the first backticks of a cell; nothing where there are none."""
    found = re.match(r"`([^`]+)`", cell)
    return found[1] if found else ""


def coded(page: str) -> dict[str, list[str]]:
    """Return the rows of a page whose first cell is code, by that code."""
    return {code(cells[0]): cells for cells in rows(page) if code(cells[0])}
