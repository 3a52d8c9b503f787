r"""Query text: read a file of named queries and make its parameters positional.

A block starts with a header and ends before the next one::

    -- name: release_due :many ReleasedRun
    -- Put at most :limit delayed runs whose hour has come in line, longest overdue first.
    -- Moves: delayed -> queued.
    with due as (...) select ... limit :limit::int;

Parameters are written ``:name`` as in psql, so a block runs there after ``\set``. They are found by reading SQL, not
by searching: strings, quoted names, comments and ``::casts`` are left alone. A colon that follows a name, a number or a
closing bracket, as in ``part[1:n]``, is a slice; with no lower bound, write ``part[ : n]``.
"""

import re
from itertools import product
from typing import Final, Literal, NamedTuple, cast

from oncue.store.errors import QueryError

Shape = Literal["one", "maybe", "many", "none"]
"""How many rows a query promises: exactly one, at most one, any number, or none at all."""

_HEADER: Final = re.compile(
    r"^-- name: (?P<name>[a-z_][a-z0-9_]*) :(?P<shape>one|maybe|many|none)(?: (?P<row>\w+))?[ \t]*$"
)
_LOOKS_LIKE_HEADER: Final = re.compile(r"^--\s*name\s*:", re.IGNORECASE)
_TOKEN: Final = re.compile(
    r"""
      --[^\n]*                                  # comment to the end of the line
    | /\*.*?\*/                                 # comment
    | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$    # dollar-quoted string
    | \b[eE]'(?:[^'\\]|\\.|'')*'                # string with escapes
    | '(?:[^']|'')*'                            # string
    | "(?:[^"]|"")*"                            # quoted name
    | ::                                        # cast
    | (?<![\w\])":]):(?P<parameter>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)
_MOVES: Final = re.compile(r"Moves: ([\w, ]+) -> ([\w, ]+)\.")


class QueryText(NamedTuple):
    """One block of a query file."""

    name: str
    shape: Shape
    row: str | None
    """Name of the Struct that a row becomes; None exactly for shape ``none``."""
    comment: str
    sql: str
    """The statement with ``$1`` to ``$n`` in place of its parameters, without the last semicolon."""
    parameters: tuple[str, ...]
    """Names of ``$1`` to ``$n``, in order of first use."""
    line: int
    """Line of the header in its file, from 1."""

    @property
    def moves(self) -> tuple[tuple[str, str], ...]:
        """The status changes that the comment declares: pairs of from and to.

        ``Moves: A, B -> C, D.`` stands for all four pairs; a comment may have several such sentences.
        """
        sides = [(before.split(", "), after.split(", ")) for before, after in _MOVES.findall(self.comment)]
        return tuple(pair for before, after in sides for pair in product(before, after))


def parse_file(text: str, origin: str) -> dict[str, QueryText]:
    """Return the queries of a file by name, in file order.

    Args:
        text: The whole file.
        origin: How messages call it.

    Raises:
        QueryError: A header is malformed, a name is used twice, a block is empty, or SQL stands before any header.
    """
    queries: dict[str, QueryText] = {}
    header: re.Match[str] | None = None
    start, body = 0, list[str]()

    def close() -> None:
        if header is None:
            if any(line.strip() and not line.startswith("--") for line in body):
                raise QueryError(f"{origin}:1: SQL before the first header; start with `-- name: ... :many Row`")
            return
        query = _block(header, body, start, origin)
        if query.name in queries:
            raise QueryError(f"{origin}:{start}: {query.name!r} is defined twice; give each query its own name")
        queries[query.name] = query

    for number, line in enumerate(text.splitlines(), start=1):
        if not _LOOKS_LIKE_HEADER.match(line):
            body.append(line)
            continue
        close()
        header, start, body = _HEADER.match(line), number, []
        if header is None:
            raise QueryError(
                f"{origin}:{number}: {line!r} is no header; write `-- name: release_due :many ReleasedRun`"
            )
    close()
    return queries


def to_positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """Replace ``:name`` by ``$1`` to ``$n`` and return the names in order of first use."""
    numbers: dict[str, int] = {}

    def replace(match: re.Match[str]) -> str:
        name = match["parameter"]
        return match[0] if name is None else f"${numbers.setdefault(name, len(numbers) + 1)}"

    return _TOKEN.sub(replace, sql), tuple(numbers)


def _block(header: re.Match[str], body: list[str], line: int, origin: str) -> QueryText:
    name, shape, row = header["name"], cast("Shape", header["shape"]), header["row"]
    if (row is None) != (shape == "none"):
        raise QueryError(f"{origin}:{line}: {name} is :{shape}; name a row Struct for every shape but :none")
    comment_lines = 0
    while comment_lines < len(body) and body[comment_lines].startswith("--"):
        comment_lines += 1
    comment = " ".join(text.removeprefix("--").strip() for text in body[:comment_lines])
    sql, parameters = to_positional("\n".join(body[comment_lines:]).strip().removesuffix(";").rstrip())
    if not sql:
        raise QueryError(f"{origin}:{line}: {name} has no SQL; write it below its header")
    return QueryText(name, shape, row, comment, sql, parameters, line)
