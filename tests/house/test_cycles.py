"""No two modules need each other when the code runs, whether they are imported at once or inside a function."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import oncue

SOURCE = Path(oncue.__file__).parent.parent


def modules() -> dict[str, Path]:
    """Return every module of the package by its name."""
    found = {}
    for path in (SOURCE / "oncue").rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a module, function bodies included, and what is for type checkers left out."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for each in node.orelse:
            yield from statements(each)
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from statements(child)


def imports(source: str, known: set[str]) -> set[str]:
    """Return the known modules that a module imports when its code runs."""
    names = set()
    for node in statements(ast.parse(source)):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                for alias in node.names:
                    deeper = f"{module}.{alias.name}"
                    names.add(deeper if deeper in known else module)
            case ast.ImportFrom():
                raise AssertionError(f"a relative import: {ast.unparse(node)}; expected the module's full name")
            case _:
                pass
    return names & known


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return modules that need one another in a ring, first and last the same; none where there is no ring."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        ring: list[str] = error.args[1]
        return ring
    return []


def test_no_modules_import_each_other_at_run_time() -> None:
    paths = modules()

    graph = {name: imports(path.read_text(), set(paths)) - {name} for name, path in paths.items()}

    assert len(graph) > 100
    assert cycle(graph) == []


def test_import_inside_a_function_closes_a_cycle() -> None:
    lazy = "def f():\n    from a import b\n"
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import b\n"
    known = {"a", "a.b", "a.c"}

    assert imports(lazy, known) == {"a.b"}
    assert imports(typed, known) == set()
    assert set(cycle({"a.b": {"a.c"}, "a.c": imports(lazy, known)})) == {"a.b", "a.c"}
