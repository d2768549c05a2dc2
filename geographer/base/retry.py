"""Retry policy: a bounded number of attempts with exponential back-off, jitter and `Retry-After`."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import TypeVar

from geographer.base.errors import OrderRequiredError, SourceError
from geographer.base.text import format_count

Result = TypeVar("Result")


def sleep_until(seconds: float, stop: threading.Event | None = None) -> None:
    """Sleep for `seconds`; return earlier when `stop` is set."""
    (stop or threading.Event()).wait(seconds)


@dataclass(frozen=True)
class RetryPolicy:
    """How often to retry a failed request to an archive (`max_attempts` in all), and how long to wait before.

    The delay after attempt n is `base_delay * 2 ** (n - 1)` seconds, at most `max_delay`, reduced by a random fraction
    of up to a half, so that clients that were rejected together do not return together. `Retry-After` is a lower bound;
    if it exceeds `max_retry_after` seconds, there is no retry.
    """

    max_attempts: int = 5
    base_delay: float = 1.0
    max_delay: float = 60.0
    max_retry_after: float = 120.0
    sleep: Callable[[float, threading.Event | None], object] = field(default=sleep_until, repr=False)
    draw_fraction: Callable[[], float] = field(default=random.random, repr=False)

    def call_with_retry(self, work: Callable[[], Result], stop: threading.Event | None = None) -> Result:
        """Call `work` again after each retryable `SourceError`; the last one is raised. `stop` ends a delay early."""
        attempt = 1
        while True:
            try:
                return work()
            except SourceError as caught:
                if isinstance(caught, OrderRequiredError) or not caught.retryable:
                    raise
                error = caught
            if error.retry_after is not None and error.retry_after > self.max_retry_after:
                delay = _format_duration(error.retry_after)
                advice = f"; the archive asks to wait {delay}. Run the command again after that."
            elif attempt >= self.max_attempts:
                advice = f" ({format_count(attempt, 'attempt')}). Run the command again later."
            else:
                self.sleep(self.compute_delay(attempt, error.retry_after), stop)
                attempt += 1
                continue
            raise SourceError(f"{error}{advice}", retryable=True, retry_after=error.retry_after)

    def compute_delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait after failure number `attempt` (from 1), given the archive's `Retry-After`."""
        delay = min(self.base_delay * 2.0 ** (attempt - 1), self.max_delay) * (1 - self.draw_fraction() / 2)
        return delay if retry_after is None else retry_after + delay * 0.1


def _format_duration(seconds: float) -> str:
    """Return `90 s`, `15 min` or `3 h`, rounded up."""
    unit_seconds, unit = (1, "s") if seconds <= 120 else (60, "min") if seconds <= 7200 else (3600, "h")
    return f"{ceil(seconds / unit_seconds):,} {unit}"
