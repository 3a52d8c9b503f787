"""The commands; one of the two rooms that see both towers."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program ``oncue`` and end the process with its exit code.

    Args:
        arguments: What follows the program's name; None takes the process's own.
    """
    from oncue.cli import app

    sys.exit(app.run(sys.argv[1:] if arguments is None else arguments))
