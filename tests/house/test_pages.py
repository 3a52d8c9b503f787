"""Pages that draw or index something: run states, stairs, decisions, links."""

import re
import tomllib
from typing import Any

import pytest

from oncue.engine import states
from oncue.protocol.status import FinalStatus, StoredStatus
from tests.house.pages import DOCS, ROOT, code, rows

NEW = "(new)"
NOT_DRAWN = {"CANCELED", "CRASHED"}
PAGES = sorted(DOCS.rglob("*.md"))
DECISIONS = sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md"))
BIRTHS: set[tuple[str, str]] = {(NEW, to) for to in states.BIRTHS} | {(NEW, "SYSTEM_FAILURE")}
MOVES: set[tuple[str, str]] = {(start, to) for start, ends in states.MOVES.items() for to in ends}


def nav() -> str:
    return (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]


def test_run_states_chart_draws_the_table() -> None:
    text = (DOCS / "explanation/run-states.md").read_text(encoding="utf-8")
    drawn = {
        (NEW if start == "[*]" else start, to) for start, to in re.findall(r"^ +(\S+) --> (\w+)$", text, re.MULTILINE)
    }

    expected = {(start, to) for start, to in BIRTHS | MOVES if to not in NOT_DRAWN}
    assert drawn == expected, "the chart in docs/explanation/run-states.md differs from engine/states.py"


def test_run_states_rows_say_every_move() -> None:
    told: set[tuple[str, str]] = set()
    for start, to, _ in rows("explanation/run-states.md"):
        starts = states.MOVES.keys() if start == "every state above" else {code(start) or start}
        told |= {(each, code(to)) for each in starts}

    assert told == BIRTHS | MOVES, "the rows in docs/explanation/run-states.md differ from engine/states.py"


def test_final_statuses_without_a_way_are_told() -> None:
    reached: set[StoredStatus | FinalStatus] = {to for ends in states.MOVES.values() for to in ends}
    unreached = states.FINAL - reached - {"SYSTEM_FAILURE"}
    text = (DOCS / "explanation/run-states.md").read_text(encoding="utf-8")

    for name in unreached:
        assert f"`{name}` is a final status too; nothing leads to it yet" in text, f"say so of {name}"


def test_architecture_draws_the_stairs_of_the_linter() -> None:
    contracts: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
    stairs = [
        stair.split(" | ") for contract in contracts if contract["id"] == "staircase" for stair in contract["layers"]
    ]
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## The engine is a staircase")[2]
    drawing = text.split("```")[1].strip().splitlines()

    assert [re.split(r" {3,}", line)[0].split() for line in drawing] == stairs, "draw the stairs of pyproject.toml"


@pytest.mark.parametrize("name", DECISIONS)
def test_decision_is_indexed_and_has_four_parts(name: str) -> None:
    text = (DOCS / "decisions" / name).read_text(encoding="utf-8")

    assert f"]({name})" in (DOCS / "decisions/index.md").read_text(encoding="utf-8"), "link it in decisions/index.md"
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == ["Context", "Options", "Choice", "Cost"]
    assert re.match(rf"# {name[:4]}: \S", text), f"begin with '# {name[:4]}: ' and a title"


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(name[:4]) for name in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_every_page_stands_on_its_shelf() -> None:
    pages = [path.relative_to(DOCS).as_posix() for path in PAGES]

    assert [f"{page} is not in mkdocs.yml; add it to nav" for page in pages if page not in nav()] == []


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("*.md")), *PAGES], ids=lambda path: str(path.name))
def test_links_between_files_lead_somewhere(path: Any) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))

    assert [link for link in links if not (path.parent / link).exists()] == []
