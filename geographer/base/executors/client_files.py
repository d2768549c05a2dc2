"""The client's side of the files of tasks: hash and upload inputs once, fetch outputs, and mark the client's disk."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from geographer.base.atomic_files import temporary_sibling, translate_os_errors
from geographer.base.executors.cluster_task import DiskMarker, WrittenFile
from geographer.base.executors.object_store import ObjectStore, compute_md5
from geographer.base.executors.task_files import InputFile
from geographer.base.executors.worker_files import FetchedInput

_MARKER: Final = ".geographer-marker-"


@contextmanager
def make_marker(folder: Path | None) -> Iterator[DiskMarker | None]:
    """Write a file that workers look for, and delete it afterwards; None if the folder cannot be written."""
    marker = None
    if folder is not None:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder.resolve() / f"{_MARKER}{secrets.token_hex(8)}"
            marker = DiskMarker(str(path), secrets.token_bytes(32))
            path.write_bytes(marker.content)
    try:
        yield marker
    finally:
        if marker is not None:
            delete_marker(marker)


def delete_marker(marker: DiskMarker) -> None:
    """Delete the file of a marker, so that running tasks stop, and its folder, if nothing else is in it."""
    with suppress(OSError):
        Path(marker.path).unlink(missing_ok=True)
        Path(marker.path).parent.rmdir()


class InputFiles:
    """The inputs of a run: each is hashed at most once, and uploaded at most once."""

    def __init__(self) -> None:
        self._md5s: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._uploaded: set[str] = set()

    def list_inputs(self, files: Iterable[InputFile]) -> tuple[FetchedInput, ...]:
        """Return those of the inputs that are files of this machine, with their MD5s."""
        found = []
        for file in files:
            path = Path(file.path)
            with suppress(OSError):
                if path.is_file():
                    md5 = file.md5 or self._compute_md5(path)
                    found.append(FetchedInput(str(file.path), os.path.abspath(path), md5))  # noqa: PTH100
        return tuple(found)

    def upload_inputs(self, inputs: Iterable[FetchedInput], store: ObjectStore) -> None:
        """Upload the inputs that the store lacks."""
        for file in inputs:
            if file.md5 not in self._uploaded:
                if not store.has_object(file.md5):
                    store.put_objects({file.md5: Path(file.absolute)}, require_digest=True)
                self._uploaded.add(file.md5)

    def _compute_md5(self, path: Path) -> str:
        status = path.stat()
        stamp = status.st_size, status.st_mtime_ns, status.st_ino
        known = self._md5s.get(str(path))
        if known is None or known[0] != stamp:
            known = self._md5s[str(path)] = stamp, compute_md5(path)
        return known[1]


def fetch_outputs(outputs: Sequence[WrittenFile], store: ObjectStore) -> None:
    """Download the outputs of a task to their paths; each is complete or absent. `StorageError` if the disk is full."""
    with ExitStack() as stack:
        stack.enter_context(translate_os_errors(Path(outputs[0].path) if outputs else Path()))
        temporary = [stack.enter_context(temporary_sibling(Path(output.path))) for output in outputs]
        store.get_objects([(output.md5, path) for output, path in zip(outputs, temporary, strict=True)])
        for output, path in zip(outputs, temporary, strict=True):
            path.replace(output.path)
