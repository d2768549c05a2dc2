"""`geographer` and `python -m geographer`."""

import atexit
import os
import signal
import sys
import threading
from typing import NoReturn

_MESSAGE = b"Interrupted. Nothing incomplete was recorded; run the same command again to continue.\n"


def run_program() -> None:
    """Run the command line; a signal while its modules are imported ends the process with one line, too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_early)
    from geographer.cli import main

    try:
        main()
    except SystemExit as end:
        _end_process(end.code)
        raise


def _end_process(code: object) -> None:
    """End the process at once, unless other threads run: Python would first destroy each object, as long as a query.

    What a failing flush means is Python's to say.
    """
    if not isinstance(code, int) or threading.active_count() > 1:
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return
    atexit._run_exitfuncs()
    os._exit(code)


def _exit_early(*_arguments: object) -> NoReturn:
    os.write(2, _MESSAGE)
    os._exit(130)


if __name__ == "__main__":
    run_program()
