"""Retry policy: a bounded number of attempts with exponential back-off, jitter and `Retry-After`."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from geographer.base.errors import OrderRequiredError, SourceError
from geographer.base.text import format_count

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

Result = TypeVar("Result")


def sleep_until(seconds: float, stop: threading.Event | None = None) -> None:
    """Sleep for `seconds`; return earlier when `stop` is set."""
    if stop is None:
        time.sleep(max(seconds, 0.0))
    else:
        stop.wait(max(seconds, 0.0))


@dataclass(frozen=True)
class RetryPolicy:
    """How often to retry a failed request to an archive, and how long to wait between attempts.

    The delay after attempt n is `base_delay * 2 ** (n - 1)` seconds, at most `max_delay`, reduced by a random fraction
    of up to a half, so that clients that were rejected together do not return together. `Retry-After` is a lower bound.

    Attributes:
        max_attempts: Attempts in all, including the first.
        base_delay: Delay after the first failure, in seconds.
        max_delay: Longest delay in seconds, unless `Retry-After` asks for more.
        max_retry_after: Do not retry when `Retry-After` exceeds this many seconds.
        sleep: Sleeps for a number of seconds, or until an event (may be None) is set.
        draw_fraction: Returns a random number from 0 to 1.
    """

    max_attempts: int = 5
    base_delay: float = 1.0
    max_delay: float = 60.0
    max_retry_after: float = 120.0
    sleep: Callable[[float, threading.Event | None], object] = field(default=sleep_until, repr=False)
    draw_fraction: Callable[[], float] = field(default=random.random, repr=False)

    def call_with_retry(self, work: Callable[[], Result], stop: threading.Event | None = None) -> Result:
        """Return the result of `work`, called again after each retryable `SourceError`; `stop` ends a delay early.

        Raises:
            SourceError: the error is not retryable, or no attempt succeeded; the message gives the number of attempts.
        """
        for attempt in range(1, self.max_attempts + 1):
            try:
                return work()
            except SourceError as caught:
                if isinstance(caught, OrderRequiredError) or not caught.retryable:
                    raise
                error = caught
            if error.retry_after is not None and error.retry_after > self.max_retry_after:
                delay = _format_duration(error.retry_after)
                message = f"{error}; the archive asks to wait {delay}. Run the command again after that."
                raise SourceError(message, retryable=True, retry_after=error.retry_after)
            if attempt < self.max_attempts:
                self.sleep(self.compute_delay(attempt, error.retry_after), stop)
        message = f"{error} ({format_count(self.max_attempts, 'attempt')}). Run the command again later."
        raise SourceError(message, retryable=True, retry_after=error.retry_after)

    def compute_delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait after failure number `attempt` (from 1), given the archive's `Retry-After`."""
        delay = min(self.base_delay * 2.0 ** (attempt - 1), self.max_delay) * (1 - self.draw_fraction() / 2)
        return delay if retry_after is None else retry_after + delay * 0.1


def _format_duration(seconds: float) -> str:
    """Return `90 s`, `15 min` or `3 h`, rounded up."""
    for unit_seconds, unit, limit in ((1, "s", 120), (60, "min", 7200)):
        if seconds <= limit:
            return f"{-int(-seconds // unit_seconds):,} {unit}"
    return f"{-int(-seconds // 3600):,} h"
