"""Wait for a lock that another process holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from geographer.base.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


def acquire_with_timeout(
    acquire: Callable[[], Result],
    is_locked: Callable[[Exception], bool],
    timeout_s: float,
    timeout_message: str,
    on_wait: Callable[[], None] | None = None,
) -> Result:
    """Call `acquire` until it succeeds, with pauses of 5 ms that grow to 0.5 s.

    Args:
        acquire: Takes the lock without waiting for long.
        is_locked: Whether an error of `acquire` means that another process holds the lock; other errors are raised.
        timeout_s: How long to try, in seconds.
        timeout_message: The message of the error after that.
        on_wait: Called once, when the pauses exceed 0.2 s.

    Raises:
        StorageError: the lock was not released in time.
    """
    deadline = time.monotonic() + timeout_s
    pause = 0.005
    while True:
        try:
            return acquire()
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
