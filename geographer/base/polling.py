"""Wait for a lock that another process holds."""

from __future__ import annotations

import time
from collections.abc import Callable

from geographer.base.errors import StorageError


def acquire_with_timeout(
    acquire: Callable[[], object],
    is_locked: Callable[[Exception], bool],
    timeout_s: float,
    timeout_message: str,
    on_wait: Callable[[], None] | None = None,
) -> None:
    """Call `acquire` until it succeeds, with pauses of 5 ms that grow to 0.5 s, and `on_wait` once they exceed 0.2 s.

    `StorageError` if `is_locked` still accepts the errors after `timeout_s` seconds; others are raised.
    """
    deadline, pause = time.monotonic() + timeout_s, 0.005
    while True:
        try:
            acquire()
            return
        except Exception as error:
            if not is_locked(error):
                raise
            if time.monotonic() > deadline:
                raise StorageError(timeout_message) from error
        if pause > 0.2 and on_wait:
            on_wait()
            on_wait = None
        time.sleep(pause)
        pause = min(pause * 1.6, 0.5)
