"""Timestamps: ISO 8601 texts become naive datetimes in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from geographer.base.errors import UsageError


def parse_utc(text: str | None) -> datetime | None:
    """Return the UTC time of an ISO 8601 text (else ValueError), without an offset; one without an offset is in UTC."""
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    try:
        return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(f"{error}") from error


def parse_time_option(text: str | None, option: str, *, end_of_day: bool = False) -> datetime | None:
    """Return the UTC time that a user passed as `option`; with `end_of_day`, a date without a time means its end."""
    try:
        time = parse_utc(text)
    except ValueError as error:
        raise UsageError(f"invalid time '{text}' for {option}. Use ISO 8601, e.g. 2026-05-01.") from error
    is_date = text is not None and len(text.strip()) <= len("2026-05-01")
    return time + timedelta(days=1, microseconds=-1) if time is not None and end_of_day and is_date else time


def is_date(text: str) -> bool:
    """Return whether a text is a date or a time in the form of ISO 8601."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
