"""Progress reports of long work."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[str, int, int], None]
"""Called with the phase ('chips cut'), the number of items done, and their total."""


def ignore_progress(_phase: str, _done: int, _total: int) -> None:
    """Discard progress reports."""
