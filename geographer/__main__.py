"""`geographer` and `python -m geographer`."""

import os
import signal
from typing import NoReturn

_MESSAGE = b"Interrupted. Nothing incomplete was recorded; run the same command again to continue.\n"


def run_program() -> None:
    """Run the command line; a signal while its modules are imported ends the process with one line, too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_early)
    from geographer.cli import main

    main()


def _exit_early(*_arguments: object) -> NoReturn:
    os.write(2, _MESSAGE)
    os._exit(130)


if __name__ == "__main__":
    run_program()
