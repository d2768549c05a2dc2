"""Documents of a dataset: JSON, YAML, text and table files, read with care for damage and size."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from geographer.base.errors import UsageError
from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.names import find_subset
from geographer.outputs.audit.report import show_path

MAX_TEXT_BYTES: Final = 1 << 29
TABLE_SUFFIXES: Final = (".csv", ".tsv", ".parquet", ".geoparquet", ".txt")
_JSON_SUFFIXES: Final = (".json",)
_YAML_SUFFIXES: Final = (".yaml", ".yml")
_MAX_YAML_BYTES: Final = 1 << 22
_MAX_IN_FOLDER: Final = 50
_MAX_DOCUMENTS: Final = 1_000
_WORDS = "split fold partition subset metadata meta labels samples index dataset croissant annotations coco instances"
LIST_WORDS: Final = tuple(_WORDS.split())
"""Words in the names of documents that list images."""
_DELIMITERS: Final = ",;\t|"
_BATCH_ROWS: Final = 65_536


class DocumentError(Exception):
    """A document cannot be read; the text says why."""


class Document:
    """A file beside the images: its path on this machine, and its name from the audited folder on."""

    def __init__(self, path: Path, name: str, *, is_inside: bool = True) -> None:
        """Remember where the file is; nothing is read."""
        self.path, self.name, self.is_inside = path, name, is_inside

    @property
    def folder_name(self) -> str:
        """The folder of the document, relative to the audited one; empty if it lies elsewhere or at the top."""
        return self.name.rpartition("/")[0] if self.is_inside else ""

    @property
    def file_suffix(self) -> str:
        """The suffix in lower case."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def is_json(self) -> bool:
        """Whether the name is that of a JSON file."""
        return self.file_suffix in _JSON_SUFFIXES

    @property
    def is_yaml(self) -> bool:
        """Whether the name is that of a YAML file."""
        return self.file_suffix in _YAML_SUFFIXES

    @cached_property
    def json_keys(self) -> frozenset[str]:
        """The keys of the object in a JSON file; none if it holds something else or cannot be read."""
        import msgspec

        if not self.is_json:
            return frozenset()
        try:
            return frozenset(msgspec.json.decode(self.read_bytes(), type=dict[str, msgspec.Raw]))
        except (DocumentError, msgspec.DecodeError, UnicodeError, RecursionError):
            return frozenset()

    def read_bytes(self, limit: int = MAX_TEXT_BYTES * 4) -> bytes:
        """Read the file; `DocumentError` if that fails or it is too large."""
        try:
            if self.path.stat().st_size > limit:
                raise DocumentError(f"it has more than {limit >> 20:,} MiB")
            return self.path.read_bytes()
        except OSError as error:
            raise DocumentError(error.strerror or "it cannot be read") from error

    def read_json(self, kind: Any = Any) -> Any:
        """Decode a JSON file, as `msgspec` decodes it to a type; `DocumentError` if it is damaged."""
        import msgspec

        try:
            return msgspec.json.decode(self.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise DocumentError(f"it is not the JSON that was expected ({error})") from error

    def read_yaml(self) -> dict[str, Any]:
        """Decode the mapping in a YAML file; empty if it holds something else."""
        import yaml

        try:
            content = yaml.safe_load(self.read_bytes(_MAX_YAML_BYTES))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise DocumentError("it is not valid YAML") from error
        return {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}

    def read_lines(self) -> list[str]:
        """Read the lines of a text file; bytes that are not UTF-8 are kept as in names of files."""
        content = self.read_bytes(MAX_TEXT_BYTES)
        if b"\0" in content[:4096]:
            raise DocumentError("it is not text")
        return content.decode("utf-8-sig", "surrogateescape").splitlines()

    def read_rows(self) -> list[list[Any]]:
        """Read the rows of a table, that of the header or of the names of columns first."""
        if self.file_suffix in (".parquet", ".geoparquet"):
            return list(self._iter_parquet_rows())
        lines = [line for line in self.read_lines() if line.strip() and not line.startswith("#")]
        delimiter = find_delimiter(lines[:100], "\t" if self.file_suffix == ".tsv" else ",")
        try:
            return [row for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter) if row]
        except csv.Error as error:
            raise DocumentError(f"it is not a valid table ({error})") from error

    def _iter_parquet_rows(self) -> Iterator[list[Any]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path) as file:
                names = [
                    field.name
                    for field in file.schema_arrow
                    if not pa.types.is_nested(field.type) and not pa.types.is_binary(field.type)
                ]
                yield list(names)
                for batch in file.iter_batches(_BATCH_ROWS, columns=names):
                    columns = [column.to_pylist() for column in batch.columns]
                    yield from map(list, zip(*columns, strict=True))
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise DocumentError("it is not a valid Parquet file") from error


def select_documents(index: FolderIndex) -> list[Document]:
    """Select the documents of a folder that may describe it, and note how many were left out.

    A dataset can have a document for each image. So of a folder with many documents of one type, only those are kept
    whose names tell that they list images; then those are kept that lie nearest to the top.
    """
    by_folder: dict[tuple[str, str], list[str]] = {}
    for name in index.documents:
        by_folder.setdefault((name.rpartition("/")[0], PurePosixPath(name).suffix.lower()), []).append(name)
    selected: list[str] = []
    for names in by_folder.values():
        selected += names if len(names) <= _MAX_IN_FOLDER else [name for name in names if _is_telling(name)]
    selected.sort(key=lambda name: (not _is_telling(name), name.count("/"), name))
    for name in sorted({*index.documents}.difference(selected[:_MAX_DOCUMENTS])):
        index.leave_out("documents that lie beside single images", name)
    return [Document(index.root / name, name) for name in sorted(selected[:_MAX_DOCUMENTS])]


def _is_telling(name: str) -> bool:
    stem = PurePosixPath(name).stem.lower()
    return find_subset(stem) is not None or any(word in stem for word in LIST_WORDS)


def find_delimiter(lines: Sequence[str], default: str) -> str:
    """Return the delimiter that each of the lines has equally often, and most often; the default if none has."""
    best, best_count = default, 0
    for delimiter in _DELIMITERS:
        counts = {line.count(delimiter) for line in lines}
        if len(counts) == 1 and (count := counts.pop()) > best_count:
            best, best_count = delimiter, count
    if not best_count and lines:
        best = max(_DELIMITERS, key=lines[0].count) if any(map(lines[0].count, _DELIMITERS)) else default
    return best


def require_document(path: Path, root: Path) -> Document:
    """Return the document that a user names; `UsageError` if it is no file."""
    if not path.is_file():
        raise UsageError(f"the split file '{path}' is not a file. Pass the file that lists the subsets.")
    try:
        return Document(path, path.resolve().relative_to(root.resolve()).as_posix())
    except ValueError:
        return Document(path, path.name, is_inside=False)


def describe_names(names: Sequence[str], limit: int = 4) -> str:
    """Return the names of documents for a sentence, at most `limit`."""
    shown = ", ".join(map(show_path, names[:limit]))
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"
