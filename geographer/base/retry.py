"""Which trouble is worth waiting for, and how long: bounded tries, with longer and longer pauses between them."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from geographer.base.errors import OrderRequiredError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and with which pauses, something is tried that an archive did not deliver.

    The pause before try n + 1 is at least what the archive asked for by `Retry-After`, else `first * 2 ** (n - 1)`
    seconds, at most `longest`, of which a random part up to a half is left out, so that many who were refused together
    don't come back together.

    Attributes:
        tries: At most, the first one included.
        first: The pause after the first failure, in seconds.
        longest: No pause of our own is longer.
        bound: An archive that asks for a longer wait isn't tried again in this run.
        sleep: Sleeps for a number of seconds; may raise to end the waiting.
        chance: A random number from 0 to 1.
    """

    tries: int = 5
    first: float = 1.0
    longest: float = 60.0
    bound: float = 120.0
    sleep: Callable[[float], object] = field(default=time.sleep, repr=False)
    chance: Callable[[], float] = field(default=random.random, repr=False)

    def call_with_retry(self, work: Callable[[], Result], sleep: Callable[[float], object] | None = None) -> Result:
        """What `work` returns, once it does; `sleep` stands in for the own one.

        Raises:
            SourceError: trouble that won't pass, or has not passed in time; the text says how often it was tried.
        """
        for attempt in range(1, self.tries + 1):
            try:
                return work()
            except SourceError as error:
                if isinstance(error, OrderRequiredError) or not error.retryable:
                    raise
                trouble = error
            if trouble.retry_after is not None and trouble.retry_after > self.bound:
                raise SourceError(
                    f"{trouble}; it asks to wait {_spoken(trouble.retry_after)}: run this again after that",
                    retryable=True,
                    retry_after=trouble.retry_after,
                )
            if attempt < self.tries:
                (sleep or self.sleep)(self.compute_delay(attempt, trouble.retry_after))
        raise SourceError(
            f"{trouble} (tried {self.tries} times): run this again later",
            retryable=True,
            retry_after=trouble.retry_after,
        )

    def compute_delay(self, attempt: int, wait: float | None = None) -> float:
        """How many seconds to wait after the failure number `attempt` (from 1), if the archive asked for `wait`."""
        own = min(self.first * 2.0 ** (attempt - 1), self.longest)
        own *= 1 - self.chance() / 2
        return own if wait is None else wait + own * 0.1


def _spoken(seconds: float) -> str:
    """`90 s`, `15 min`, `3 h`: rounded up, so that nobody comes back too early."""
    for size, unit, most in ((1, "s", 120), (60, "min", 7200)):
        if seconds <= most:
            return f"{-int(-seconds // size):,} {unit}"
    return f"{-int(-seconds // 3600):,} h"
