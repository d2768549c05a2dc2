"""Logged warnings: collect what a change logs, so that its result has it, too."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOGGER: Final = logging.getLogger(__name__.partition(".")[0])


class _WarningCollector(logging.Handler):
    """Collects the warnings that one thread logs; prints them as `logging` does where no other handler has them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())
        has_handler = logging.root.handlers or any(
            not isinstance(handler, _WarningCollector) for handler in _LOGGER.handlers
        )
        is_first = next(handler for handler in _LOGGER.handlers if isinstance(handler, _WarningCollector)) is self
        if not has_handler and is_first and logging.lastResort is not None:
            logging.lastResort.handle(record)


@contextmanager
def discard_logged_warnings() -> Iterator[None]:
    """Do not print what this package logs in the block: a request that is planned again has warned before."""
    level = _LOGGER.level
    _LOGGER.setLevel(logging.ERROR)
    try:
        yield
    finally:
        _LOGGER.setLevel(level)


@contextmanager
def collect_logged_warnings() -> Iterator[list[str]]:
    """Yield the list of the warnings that this thread logs in the block."""
    collector = _WarningCollector()
    _LOGGER.addHandler(collector)
    try:
        yield collector.messages
    finally:
        _LOGGER.removeHandler(collector)
