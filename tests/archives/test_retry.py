from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from geographer.archives.base import OrderRequiredError, SourceError
from geographer.archives.http_errors import waiting
from geographer.base.retry import RetryPolicy


class Failing:
    """Work that fails some times."""

    def __init__(self, *errors: SourceError) -> None:
        self.errors, self.tries = list(errors), 0

    def __call__(self) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def passing(wait: float | None = None) -> SourceError:
    return SourceError("trouble", retryable=True, retry_after=wait)


def test_trouble_that_passes_is_tried_again(hasty: RetryPolicy, pauses: list[float]) -> None:
    work = Failing(passing(), passing())
    assert hasty.call_with_retry(work) == "done"
    assert (work.tries, pauses) == (3, [1.0, 2.0])


def test_trouble_that_lasts_is_not_tried_again(hasty: RetryPolicy) -> None:
    work = Failing(SourceError("no such thing"))
    with pytest.raises(SourceError, match="no such thing"):
        hasty.call_with_retry(work)
    assert work.tries == 1


def test_what_is_offline_is_not_waited_for(hasty: RetryPolicy) -> None:
    work = Failing(OrderRequiredError("in the store", retryable=True))
    with pytest.raises(OrderRequiredError):
        hasty.call_with_retry(work)
    assert work.tries == 1


def test_tries_are_bounded_and_the_error_counts_them(hasty: RetryPolicy) -> None:
    work = Failing(*[passing() for _ in range(9)])
    with pytest.raises(SourceError, match=r"trouble \(tried 3 times\)"):
        hasty.call_with_retry(work)
    assert work.tries == 3


def test_what_the_archive_asks_to_wait_is_waited(hasty: RetryPolicy, pauses: list[float]) -> None:
    hasty.call_with_retry(Failing(passing(30)))
    assert 30 <= pauses[0] < 31


def test_an_archive_that_asks_for_hours_ends_the_tries(hasty: RetryPolicy, pauses: list[float]) -> None:
    work = Failing(passing(7200))
    with pytest.raises(SourceError, match="asks to wait 120 min: run this again after that") as raised:
        hasty.call_with_retry(work)
    assert (work.tries, pauses, raised.value.retry_after) == (1, [], 7200)


def test_pauses_grow_up_to_a_bound_and_vary_by_chance() -> None:
    steady, early = RetryPolicy(longest=5, chance=lambda: 0.0), RetryPolicy(longest=5, chance=lambda: 1.0)
    assert [steady.compute_delay(attempt) for attempt in range(1, 6)] == [1, 2, 4, 5, 5]
    assert [early.compute_delay(attempt) for attempt in range(1, 6)] == [0.5, 1, 2, 2.5, 2.5]


def test_retry_after_is_a_number_or_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert waiting({"Retry-After": "7"}) == 7
    assert 85 < (waiting({"Retry-After": soon}) or 0) <= 90
    assert waiting({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert waiting({"Retry-After": "soon"}) is None
    assert waiting({}) is None
