"""Child: one of several worker processes, started by ``processes.py`` as ``python -m oncue.worker.child``.

Reads its options, a line of JSON, from standard input, which the parent holds open: when it ends, the parent is dead,
and the child stops as if it had been told to.
"""

import logging
import os
import signal
import sys
import threading
from typing import Final

import msgspec

from oncue.worker import supervisor
from oncue.worker.options import WorkerOptions

_STDIN: Final = 0


def main() -> int:
    """Be a worker process; return its exit code."""
    options = msgspec.json.decode(_line(), type=WorkerOptions)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    threading.Thread(target=_end_with_parent, name="oncue-parent", daemon=True).start()
    return supervisor.run(options)


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        # Byte by byte and unbuffered, so that nothing is read that the thread below waits for.
        byte = os.read(_STDIN, 1)
        if not byte:
            raise SystemExit(0)
        line += byte
    return line


def _end_with_parent() -> None:
    while os.read(_STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
