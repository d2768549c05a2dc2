"""Pictures that an export writes when the rest is written: they are encoded on several cores or machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from geographer.base.executors.executor import Executor
from geographer.base.executors.task_files import InputFile, locate_file
from geographer.base.progress import ProgressCallback
from geographer.outputs.exports.folder import ExportFolder
from geographer.storage.workspace.chip_files import ChipFile

if TYPE_CHECKING:
    from geographer.rasters.pictures import PictureSettings

_BATCH: Final = 32


class PictureTask(NamedTuple):
    """A picture to encode: its path in the export, and the raster's file."""

    path: str
    file: str
    with_sidecars: bool
    settings: PictureSettings


class PictureQueue:
    """The pictures of an export that are not written yet."""

    def __init__(
        self, folder: ExportFolder, make_executor: Callable[[int], Executor], progress: ProgressCallback
    ) -> None:
        """Write to `folder`; `make_executor` returns who encodes that many pictures."""
        self._folder, self._make_executor, self._progress = folder, make_executor, progress
        self._tasks: list[PictureTask] = []
        self._has_pictures = False

    def add_picture(self, path: str, image: ChipFile, settings: PictureSettings) -> None:
        """Let the picture of an image be written to a path, unless the same export wrote it before.

        The first one is written at once, so that settings that fit no raster are refused before the rest is written.

        Raises:
            CorruptError, UsageError: see `write_pictures`.
        """
        if self._folder.keep_file(path):
            return
        task = PictureTask(path, str(image.path), image.with_sidecars, settings)
        if self._has_pictures:
            self._tasks.append(task)
        else:
            self._folder.write_bytes(path, next(_encode_pictures([task])))
            self._has_pictures = True

    def write_pictures(self) -> None:
        """Encode and write all pictures.

        Raises:
            CorruptError: a raster is damaged.
            UsageError: a raster lacks a band.
        """
        batches = (self._tasks[start : start + _BATCH] for start in range(0, len(self._tasks), _BATCH))
        pictures = self._make_executor(len(self._tasks)).run(_encode_pictures, batches, inputs=_list_inputs)
        for number, (task, content) in enumerate(zip(self._tasks, pictures, strict=True), 1):
            self._folder.write_bytes(task.path, content)
            self._progress("pictures written", number, len(self._tasks))
        self._tasks = []


def _encode_pictures(tasks: Sequence[PictureTask]) -> Iterator[bytes]:
    from geographer.rasters.pictures import encode_picture

    for task in tasks:
        yield encode_picture(locate_file(task.file), task.settings, with_sidecars=task.with_sidecars)


def _list_inputs(tasks: Sequence[PictureTask]) -> Iterator[InputFile]:
    from geographer.rasters.input_files import list_input_files

    for task in tasks:
        yield from list_input_files(task.file, with_sidecars=task.with_sidecars)
