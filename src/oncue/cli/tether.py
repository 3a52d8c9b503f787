"""Tether: ``python -m oncue.cli.tether ARGUMENTS`` runs a command that ends with the process that started it.

The starter holds our standard input open. When that ends the starter is dead, whatever it died of, and the command is
told to stop as by SIGTERM. The command itself, and what it starts, sees an empty standard input.
"""

import os
import signal
import sys
import threading
from typing import Final

_STDIN: Final = 0


def main() -> None:
    """Run a command at the tether."""
    line = os.dup(_STDIN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _STDIN)
    os.close(nothing)
    threading.Thread(target=_end_with_starter, args=(line,), name="oncue-tether", daemon=True).start()

    from oncue.cli import main as run_command

    run_command(sys.argv[1:])


def _end_with_starter(line: int) -> None:
    while os.read(line, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
