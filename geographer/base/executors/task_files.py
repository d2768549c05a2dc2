"""The files of a task: which it reads and writes, and where they are on the machine that runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple

_locate: Final[ContextVar[Callable[[Path], Path] | None]] = ContextVar("locate_file", default=None)
_md5s: Final[ContextVar[dict[str, str] | None]] = ContextVar("md5s_of_outputs", default=None)


class InputFile(NamedTuple):
    """A file that a task reads: its path on the client, and its MD5 if that is known (else the client computes it).

    What is not a file on the client, such as a URL or a path in an archive, is opened by the worker itself.
    """

    path: str | Path
    md5: str | None = None


def list_no_files(_batch: Any) -> tuple[()]:
    """Return no files: the default of `inputs` and `outputs` in `Executor.run`."""
    return ()


def locate_file(path: str | Path) -> Path:
    """Return where a file of the client, input or output, is for the function that runs now.

    On the client's machine, and on workers that see its disk, that is the path itself; on other workers, the local copy
    of an input, or the place from which an output is sent when its batch is done. Call it in the thread that runs the
    function, and pass the answer to other threads.
    """
    locate = _locate.get()
    return Path(path) if locate is None else locate(Path(path))


def report_md5(located: Path, md5: str) -> None:
    """Keep the MD5 of an output that was hashed while it was written, so that an executor need not read it again."""
    md5s = _md5s.get()
    if md5s is not None:
        md5s[str(located)] = md5


@contextmanager
def use_task_files(locate: Callable[[Path], Path] | None) -> Iterator[dict[str, str]]:
    """Let `locate_file` call a function during the block; yield the MD5s that the block reports, by located path."""
    md5s: dict[str, str] = {}
    tokens = _locate.set(locate), _md5s.set(md5s)
    try:
        yield md5s
    finally:
        _locate.reset(tokens[0])
        _md5s.reset(tokens[1])
