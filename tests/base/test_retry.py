from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from geographer.archives.http_errors import parse_retry_after
from geographer.base.errors import OrderRequiredError, SourceError
from geographer.base.retry import RetryPolicy


class FailingCall:
    """A callable that raises the given errors in turn, then returns "done"."""

    def __init__(self, *errors: SourceError) -> None:
        self.errors, self.n_calls = list(errors), 0

    def __call__(self) -> str:
        self.n_calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def make_retryable_error(retry_after: float | None = None) -> SourceError:
    return SourceError("trouble", retryable=True, retry_after=retry_after)


def test_call_retries_retryable_errors(fast_retry: RetryPolicy, recorded_delays: list[float]) -> None:
    call = FailingCall(make_retryable_error(), make_retryable_error())
    assert fast_retry.call_with_retry(call) == "done"
    assert (call.n_calls, recorded_delays) == (3, [1.0, 2.0])


def test_call_raises_permanent_errors_at_once(fast_retry: RetryPolicy) -> None:
    call = FailingCall(SourceError("no such thing"))
    with pytest.raises(SourceError, match="no such thing"):
        fast_retry.call_with_retry(call)
    assert call.n_calls == 1


def test_call_raises_order_required_at_once(fast_retry: RetryPolicy) -> None:
    call = FailingCall(OrderRequiredError("in the store", retryable=True))
    with pytest.raises(OrderRequiredError):
        fast_retry.call_with_retry(call)
    assert call.n_calls == 1


def test_call_bounds_and_reports_attempts(fast_retry: RetryPolicy) -> None:
    call = FailingCall(*[make_retryable_error() for _ in range(9)])
    with pytest.raises(SourceError, match=r"trouble \(3 attempts\)"):
        fast_retry.call_with_retry(call)
    assert call.n_calls == 3


def test_call_honours_retry_after(fast_retry: RetryPolicy, recorded_delays: list[float]) -> None:
    fast_retry.call_with_retry(FailingCall(make_retryable_error(30)))
    assert 30 <= recorded_delays[0] < 31


def test_call_stops_on_long_retry_after(fast_retry: RetryPolicy, recorded_delays: list[float]) -> None:
    call = FailingCall(make_retryable_error(7200))
    with pytest.raises(SourceError, match=r"asks to wait 120 min\. Run the command again after that\.") as raised:
        fast_retry.call_with_retry(call)
    assert (call.n_calls, recorded_delays, raised.value.retry_after) == (1, [], 7200)


def test_delay_grows_to_limit_with_jitter() -> None:
    without_jitter, with_jitter = (
        RetryPolicy(max_delay=5, draw_fraction=lambda: 0.0),
        RetryPolicy(max_delay=5, draw_fraction=lambda: 1.0),
    )
    assert [without_jitter.compute_delay(attempt) for attempt in range(1, 6)] == [1, 2, 4, 5, 5]
    assert [with_jitter.compute_delay(attempt) for attempt in range(1, 6)] == [0.5, 1, 2, 2.5, 2.5]


def test_retry_after_accepts_number_and_date() -> None:
    future_date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert parse_retry_after({"Retry-After": "7"}) == 7
    assert 85 < (parse_retry_after({"Retry-After": future_date}) or 0) <= 90
    assert parse_retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert parse_retry_after({"Retry-After": "soon"}) is None
    assert parse_retry_after({}) is None
