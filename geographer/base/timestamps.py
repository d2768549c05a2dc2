"""Moments in time: those that a person names, and those that archives tell; all in UTC, without an offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from geographer.base.errors import UsageError

_DATE = len("2026-05-01")


def moment_of(text: str | None) -> datetime | None:
    """The moment that an ISO 8601 text names, taken as UTC where it has no offset.

    Raises:
        ValueError: it names none.
    """
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)


def asked_moment(text: str | None, option: str, *, last: bool = False) -> datetime | None:
    """The moment that a person gave as `option`; with `last`, a date means the end of its day.

    Raises:
        UsageError: it names none.
    """
    try:
        found = moment_of(text)
    except ValueError as error:
        raise UsageError(f"{option} {text} is no moment: give ISO 8601, such as 2026-05-01") from error
    is_date = text is not None and len(text.strip()) <= _DATE
    return found + timedelta(days=1, microseconds=-1) if found is not None and last and is_date else found
