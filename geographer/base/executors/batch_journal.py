"""The journal of a command's finished batches: what a stopped command leaves, and the same command takes up again.

An entry has the results of a batch and its outputs, by a key over all that decides them: the function, its arguments,
the checksums of the inputs, and the versions of the software. Nothing in it is executed: results are decoded to the
type that the caller names.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from geographer.base.atomic_files import write_atomic
from geographer.base.errors import StorageError
from geographer.base.executors.object_store import compute_md5

_MAX_AGE_S: Final = 7 * 24 * 3600
_OUTPUT, _INPUT = "\0output ", "\0input "


class _Entry(msgspec.Struct):
    """What a journal keeps of a batch; `outputs` are the numbers of the files that it wrote, with their MD5s."""

    results: list[Any]
    outputs: list[tuple[int, str]]


class BatchJournal:
    """The finished batches of the commands of a dataset, as files in `folder`, which only its user may write.

    As a context manager, it forgets the batches that the block used if the block ends without an error.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used_keys: set[str] = set()

    def __enter__(self) -> Self:
        self._delete_old_entries()
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if error_type is None:
            self.forget_batches()

    def read_results(self, key: str, result_type: Any, outputs: Sequence[str]) -> list[Any] | None:
        """Return the results of a finished batch, and put its outputs to their paths; None if it has not finished."""
        try:
            entry = msgspec.msgpack.decode(self._entry_path(key).read_bytes(), type=_Entry)
            results = msgspec.convert(
                _replace_strings(entry.results, _name_outputs(outputs, inverse=True)), list[result_type]
            )
            self._used_keys.add(key)
            for number, md5 in entry.outputs:
                if compute_md5(self._files_folder(key) / str(number)) != md5:
                    return None
            for number, _ in entry.outputs:
                _link_over(self._files_folder(key) / str(number), Path(outputs[number]))
        except (OSError, IndexError, msgspec.MsgspecError):
            return None
        return list(results)

    def write_results(
        self, key: str, results: Sequence[Any], outputs: Sequence[str], written: Mapping[str, str]
    ) -> None:
        """Remember a finished batch, whose outputs are at their paths; `written` has the MD5s of those that exist.

        What cannot be remembered, as on a file system without hard links, is not.
        """
        numbers = {path: number for number, path in enumerate(outputs)}
        folder = self._files_folder(key)
        self._used_keys.add(key)
        try:
            entry = _Entry(
                _replace_strings(_to_builtins(list(results)), _name_outputs(outputs)),
                [(numbers[path], md5) for path, md5 in written.items()],
            )
            folder.mkdir(parents=True, exist_ok=True)
            for path in written:
                _link_over(Path(path), folder / str(numbers[path]))
            write_atomic(self._entry_path(key), msgspec.msgpack.encode(entry))
        except (OSError, StorageError, TypeError, msgspec.MsgspecError):
            self._delete_entry(key)

    def forget_batches(self) -> None:
        """Delete the entries that were read or written."""
        for key in self._used_keys:
            self._delete_entry(key)
        self._used_keys.clear()
        with suppress(OSError):
            self._folder.rmdir()

    def _delete_old_entries(self) -> None:
        for path in self._folder.glob("*.msgpack"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _MAX_AGE_S:
                    self._delete_entry(path.stem)

    def _delete_entry(self, key: str) -> None:
        with suppress(OSError):
            self._entry_path(key).unlink(missing_ok=True)
            shutil.rmtree(self._files_folder(key))

    def _entry_path(self, key: str) -> Path:
        return self._folder / f"{key}.msgpack"

    def _files_folder(self, key: str) -> Path:
        return self._folder / key


def make_batch_key(
    function: Callable[..., object],
    batch: object,
    inputs: Mapping[str, str],
    outputs: Sequence[str],
    versions: Mapping[str, str],
) -> str | None:
    """Return the key of a batch; None if msgspec cannot encode its arguments.

    `inputs` has the MD5s of the files that it reads, by their paths, which do not count; neither do those of outputs.
    """
    names = {**{path: f"{_INPUT}{md5}" for path, md5 in inputs.items()}, **_name_outputs(outputs)}
    try:
        arguments = _replace_strings(_to_builtins(_split_partial(function, batch)), names)
        content = msgspec.msgpack.encode([arguments, sorted(inputs.values()), dict(versions)], order="deterministic")
    except (TypeError, ValueError):
        return None
    return hashlib.sha256(content).hexdigest()


def _split_partial(function: Callable[..., object], batch: object) -> list[object]:
    """Return the name of a function, and the arguments that it is called with."""
    if isinstance(function, partial):
        return [*_split_partial(function.func, batch), list(function.args), function.keywords]
    return [function.__module__, function.__qualname__, batch]


def _to_builtins(value: object) -> Any:
    return msgspec.to_builtins(value, order="deterministic", str_keys=True)


def _name_outputs(outputs: Iterable[str], *, inverse: bool = False) -> dict[str, str]:
    """Return what entries have in place of the paths of outputs, which differ between two runs; or the inverse."""
    names = {path: f"{_OUTPUT}{number}" for number, path in enumerate(outputs)}
    return {name: path for path, name in names.items()} if inverse else names


def _replace_strings(value: Any, replacements: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return replacements.get(value, value)
    if isinstance(value, dict):
        return {key: _replace_strings(item, replacements) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_strings(item, replacements) for item in value]
    return value


def _link_over(source: Path, target: Path) -> None:
    """Make `target` a hard link of `source`, in place of what is there."""
    temporary = target.with_name(f".geographer-{secrets.token_hex(8)}")
    os.link(source, temporary)
    try:
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
