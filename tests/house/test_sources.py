"""Rules that code is held to beyond what the linters know; each failure says what to do."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.pages import ROOT

SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if path.parent.name != "programs")
"""Without what tests let workers run."""
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
SQL = sorted((ROOT / "src").rglob("*.sql"))

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
WORDS = range(4, 13)
"""Words of a test's name after ``test``."""
POLLING = re.compile(r"until|eventually")
"""Functions that may pause: they look again and again, and give up at a deadline."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def pauses(node: ast.AST) -> Iterator[int]:
    """Yield the lines that sleep for longer than nothing, but in loops under a deadline: those wait for a condition."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if POLLING.search(name):
                continue
            case ast.AsyncWith(items=[ast.withitem(context_expr=ast.Call(func=ast.Attribute(attr="timeout")))]):
                yield from (line for part in child.body if not isinstance(part, ast.While) for line in pauses(part))
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="time" | "asyncio" | "anyio"), attr="sleep"), args=[length]
            ) if not (isinstance(length, ast.Constant) and length.value == 0):
                yield child.lineno
            case _:
                yield from pauses(child)


def test_no_source_file_is_too_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in [*SOURCES, *SQL]}

    assert [
        f"{shown(path)} has {lines} lines; split it by idea, at most {LONGEST_FILE}"
        for path, lines in lengths.items()
        if lines > LONGEST_FILE
    ] == []


def test_no_function_is_too_long() -> None:
    assert [
        f"{shown(path)}:{function.lineno}: {function.name} has {lines} lines; take a step out"
        for path in SOURCES
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > LONGEST_FUNCTION
    ] == []


def test_queries_know_no_clock_but_ours() -> None:
    clocks = re.compile(
        r"(?<!oncue\.)\b(now|clock_timestamp|statement_timestamp|transaction_timestamp)\s*\(\s*\)|"
        r"\b(current_timestamp|current_date|current_time|localtimestamp|localtime)\b",
        re.IGNORECASE,
    )
    queries = [path for path in SQL if path.parent.name == "queries"]

    assert queries
    assert [
        f"{shown(path)}:{number}: {found[0]}; write oncue.now(), which tests can set"
        for path in queries
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := clocks.search(line.partition("--")[0]))
    ] == []


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and module of each import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module)):
                yield node.lineno, module
            case _:
                pass


def test_nobody_imports_what_runs_stored_code() -> None:
    forbidden = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve"}
    imported = [(path, line, name) for path in [*SOURCES, *TESTS, *EXAMPLES] for line, name in imports(path)]

    assert imported
    assert [
        f"{shown(path)}:{line}: imports {name}; say it in JSON, see protocol/codec.py"
        for path, line, name in imported
        if name.partition(".")[0] in forbidden
    ] == []


def test_tests_wait_for_conditions_and_never_sleep() -> None:
    asleep = [
        f"{shown(path)}:{line}: sleeps; wait for an event, or poll in a function named until or eventually"
        for path in TESTS
        for line in pauses(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert asleep == []


def test_names_of_tests_are_promises() -> None:
    tests = [
        (path, function.name)
        for path in TESTS
        if path.name.startswith("test_")
        for function in functions(path)
        if function.name.startswith("test_")
    ]

    assert tests
    assert [
        f"{shown(path)}: {name} has {words} words after test; promise something in {WORDS[0]} to {WORDS[-1]}"
        for path, name in tests
        if (words := len(name.split("_")) - 1) not in WORDS
    ] == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        shown(path)
        for path in SOURCES
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert silent == [], (
        "begin each with a docstring: what it decides, what it does not, its place in the life of a run"
    )
