"""Progress reports of long work."""

from __future__ import annotations

import html
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar
from uuid import uuid4

ProgressCallback = Callable[[str, int, int], None]
"""Called with the phase ('chips cut'), the number of items done, and their total."""

Item = TypeVar("Item")

_DELAY_S: Final = 0.5
_INTERVAL_S: Final = 0.25
_WINDOW_S: Final = 30.0
_MIN_WINDOW_S: Final = 1.0


_activity: Final = [""]


def show_activity(text: str) -> None:
    """Set what progress displays show beside the number of items, such as `8 tasks done, 4 on 2 threads of workers`."""
    _activity[0] = text


def read_activity() -> str:
    """Return what `show_activity` set; empty: nothing."""
    return _activity[0]


def ignore_progress(_phase: str, _done: int, _total: int) -> None:
    """Discard progress reports."""


def iter_with_progress(items: Sequence[Item], phase: str, progress: ProgressCallback) -> Iterator[Item]:
    """Yield the items, and report each as done when the next is asked for."""
    for done, item in enumerate(items, 1):
        yield item
        progress(phase, done, len(items))


def show_notebook_progress(phase: str, done: int, total: int) -> None:
    """Show a line that is updated in place and removed at the end, if this process is the kernel of a notebook.

    A phase that takes less than half a second shows nothing; a longer one is updated at most four times a second.
    """
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_shell() if get_shell else None
    if getattr(shell, "kernel", None) is not None:
        _line.report_progress(shell, phase, done, total)


class SpeedGauge:
    """How fast a phase of work goes on, measured over the last half minute, and how much time is left."""

    def __init__(self) -> None:
        self._phase = ""
        self._samples: deque[tuple[float, int]] = deque()

    def describe_speed(self, phase: str, done: int, total: int, now: float) -> str:
        """Return such as `41.3 per second, 2 min left`; an empty text in the first seconds. `now` is in seconds."""
        if phase != self._phase or (self._samples and done < self._samples[-1][1]):
            self._phase = phase
            self._samples.clear()
        self._samples.append((now, done))
        while now - self._samples[0][0] > _WINDOW_S and len(self._samples) > 2:
            self._samples.popleft()
        first_time, first_done = self._samples[0]
        if now - first_time < _MIN_WINDOW_S or done <= first_done:
            return ""
        speed = (done - first_done) / (now - first_time)
        return f"{speed:,.{0 if speed >= 100 else 1}f} per second, {_format_duration((total - done) / speed)} left"


def _format_duration(seconds: float) -> str:
    """Return a duration with its largest unit: `41 s`, `5 min` or `3.2 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class NotebookLine:
    """The line of progress below the cell that runs; the end of the cell removes it, too."""

    def __init__(self, read_clock: Callable[[], float] = time.monotonic) -> None:
        self._read_clock = read_clock
        self._shell: Any = None
        self._has_begun = False
        self._next_time = 0.0
        self._display_id: str | None = None

    def report_progress(self, shell: Any, phase: str, done: int, total: int) -> None:
        """Show how far a phase is in the notebook of `shell`, or remove the line when all is done."""
        now = self._read_clock()
        if done >= total:
            self.remove_line()
        elif not self._has_begun:
            self._has_begun, self._next_time = True, now + _DELAY_S
        elif now >= self._next_time:
            self._next_time = now + _INTERVAL_S
            self._show_line(shell, phase, done, total)

    def remove_line(self, _result: object = None) -> None:
        """Empty the line, if there is one."""
        display_id, self._display_id, self._has_begun = self._display_id, None, False
        if display_id is not None:
            _send_output({"text/plain": "", "text/html": ""}, display_id, is_update=True)

    def _show_line(self, shell: Any, phase: str, done: int, total: int) -> None:
        if shell is not self._shell:
            self._shell = shell
            shell.events.register("post_run_cell", self.remove_line)
        is_update = self._display_id is not None
        self._display_id = self._display_id or uuid4().hex
        text = f"{phase}: {done:,} of {total:,}"
        escaped = html.escape(text)
        bar = f'<progress max="{total}" value="{done}" aria-label="{escaped}"></progress> {escaped}'
        _send_output({"text/plain": text, "text/html": bar}, self._display_id, is_update=is_update)


def _send_output(data: dict[str, str], display_id: str, *, is_update: bool) -> None:
    """Send a new or changed output to the notebook."""
    from IPython import display

    publish: Any = display.publish_display_data
    publish(data, transient={"display_id": display_id}, update=is_update)


_line: Final = NotebookLine()
