"""Options that several commands take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import click

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

as_json: Final[Decorator] = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")

folder: Final[Decorator] = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where the embedded PostgreSQL is kept.  [default: $ONCUE_FOLDER or .oncue]",
)

dev_folder: Final[Decorator] = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where `oncue dev` keeps its key, used unless TRIGGER_SECRET_KEY is set.  [default: $ONCUE_FOLDER or .oncue]",
)

port: Final[Decorator] = click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="Where to listen; 0 takes any.  [default: $ONCUE_PORT or 3030]",
)

host: Final[Decorator] = click.option(
    "--host", metavar="ADDRESS", help="Where to listen.  [default: $ONCUE_HOST or 127.0.0.1]"
)
