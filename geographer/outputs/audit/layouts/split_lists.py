"""Lists of a split: text files by subset, tables with a column of subsets, JSON by subset, partitions of GEO-Bench."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from geographer.base.errors import UsageError
from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.layouts.builder import LayoutBuilder
from geographer.outputs.audit.layouts.documents import LIST_WORDS, Document, DocumentError, describe_names
from geographer.outputs.audit.layouts.tables import TableEntry, read_table_entries
from geographer.outputs.audit.names import (
    find_path_subset,
    find_subset,
    is_label_path,
    is_subset_word,
    normalise_subset,
    replace_subset,
)
from geographer.outputs.audit.report import show_path
from geographer.outputs.audit.samples import Layout

_TABLE_SUFFIXES: Final = (".csv", ".tsv", ".parquet", ".geoparquet")
_FILE_KEYS: Final = ("file_name", "filename", "file", "image", "path", "image_path", "img", "id", "name")
_SUBSET_KEYS: Final = ("split", "subset", "set", "partition", "fold", "part")
_CLASS_KEYS: Final = ("class", "class_name", "label", "category")
_MAX_LISTS: Final = 2_000
_MIN_MATCHES: Final = 0.05


class SplitList(NamedTuple):
    """The entries of the files that are one split: each with its subset, class and the file that lists it."""

    names: tuple[str, ...]
    entries: list[tuple[TableEntry, str, str]]
    """Entries, the folder of the list, the name of the list."""

    def count_matches(self, index: FolderIndex) -> int:
        """Count the entries with a subset that mean an image."""
        return sum(
            bool(entry.subset and index.resolve_entry(entry.name, folder, entry.subset))
            for entry, folder, _ in self.entries
        )


def read_split_lists(index: FolderIndex, documents: Sequence[Document], *, is_chosen: bool = False) -> Layout | None:
    """Return the layout that the lists of a split give; None if no document lists images by subset.

    If the lists are of several splits, the one with the most images is taken, and the notes name the others.

    Raises:
        UsageError: The user chose the file (`is_chosen`), and it cannot be read or lists no subset.
    """
    splits, problems = _collect_splits(index, documents, is_chosen=is_chosen)
    ranked = sorted(
        ((split.count_matches(index), split) for split in splits),
        key=lambda item: (-item[0], "default" not in item[1].names[0], len(item[1].names[0]), item[1].names),
    )
    ranked = [
        (count, split) for count, split in ranked if is_chosen or count >= max(1, _MIN_MATCHES * len(split.entries))
    ]
    if is_chosen and not (ranked and _has_two_subsets(ranked[0][1])):
        raise UsageError(_explain_choice(documents[0], problems, ranked))
    ranked = [item for item in ranked if _has_two_subsets(item[1])]
    if not ranked:
        builder = LayoutBuilder(index, "images without a split")
        builder.notes += problems
        return builder.build_layout() if problems else None
    split, others = ranked[0][1], [item[1] for item in ranked[1:]]
    builder = LayoutBuilder(index, f"images in a split by {describe_names(split.names)}")
    if others:
        listed = describe_names([describe_names(other.names) for other in others])
        builder.notes.append(f"other splits were found and not used: {listed}; choose one with --split FILE")
    builder.notes += problems
    _add_entries(builder, split)
    return builder.build_layout(class_by_path=read_label_map(index, documents))


def read_label_map(index: FolderIndex, documents: Sequence[Document]) -> dict[str, str]:
    """Return the class of each image by a `label_map.json`, as GEO-Bench has it: the ids of each class."""
    classes: dict[str, str] = {}
    for document in documents:
        if PurePosixPath(document.name).name == "label_map.json":
            with suppress(DocumentError):
                for class_name, entries in _iter_lists(document.read_json()):
                    for entry in entries:
                        for path in index.resolve_entry(str(entry), document.folder_name):
                            classes[path] = class_name
    return classes


def _has_two_subsets(split: SplitList) -> bool:
    return len({entry.subset for entry, _, _ in split.entries} - {None}) > 1


def _explain_choice(document: Document, problems: Sequence[str], ranked: Sequence[Any]) -> str:
    reason = "; ".join(problems) or (
        "it lists one subset only"
        if ranked
        else "it lists no images with subsets: columns such as file and split are needed"
    )
    return f"'{show_path(document.name)}' is not the list of a split: {reason}. Pass another file as --split."


def _collect_splits(
    index: FolderIndex, documents: Sequence[Document], *, is_chosen: bool
) -> tuple[list[SplitList], list[str]]:
    """Group the entries of all lists by split: files whose names differ in the subset only are one split."""
    families: dict[str, list[tuple[Document, list[TableEntry]]]] = {}
    problems = []
    for document in documents if is_chosen else _select_lists(documents):
        try:
            entries = list(_read_entries(index, document, is_chosen=is_chosen))
        except DocumentError as error:
            problems.append(f"{show_path(document.name)} was not used: {error}")
            continue
        if not entries and find_list_subset(document.name) is not None and not is_label_path(document.name):
            problems.append(f"{show_path(document.name)} was not used: it lists no image of the folder")
        if entries:
            family = replace_subset(document.name) if _is_by_file(document, entries) else document.name
            families.setdefault(family, []).append((document, entries))
    return [_make_split(members) for members in families.values()], problems


def _select_lists(documents: Sequence[Document]) -> list[Document]:
    """Select the documents that may list a split: tables and JSON, and text files whose path names a subset."""
    selected = []
    for document in documents:
        stem = PurePosixPath(document.name).stem.lower()
        is_text = document.file_suffix == ".txt" and (find_subset(stem) or any(word in stem for word in LIST_WORDS))
        is_table = document.file_suffix in _TABLE_SUFFIXES
        is_list = (
            document.is_json
            and not {"images", "annotations"} <= document.json_keys
            and "@context" not in document.json_keys
        )
        if is_text or is_table or is_list:
            selected.append(document)
    return sorted(selected, key=lambda document: (document.name.count("/"), document.name))[:_MAX_LISTS]


def _is_by_file(document: Document, entries: Sequence[TableEntry]) -> bool:
    return find_list_subset(document.name) is not None and all(entry.is_by_file for entry in entries[:1])


def find_list_subset(name: str) -> str | None:
    """Return the subset that the name of a list gives, or else the folder that it lies in."""
    return find_subset(PurePosixPath(name).stem) or find_path_subset(name)


def _make_split(members: list[tuple[Document, list[TableEntry]]]) -> SplitList:
    """Join the lists of one split; a list of train and val together is left out if each has its own."""
    subsets = {entry.subset for _, entries in members for entry in entries}
    is_redundant = {"train", "val"} <= subsets
    joined = [
        (entry, document.folder_name, document.name)
        for document, entries in members
        for entry in entries
        if not (is_redundant and entry.is_by_file and entry.subset == "trainval")
    ]
    return SplitList(tuple(sorted({name for _, _, name in joined})), joined)


def _read_entries(index: FolderIndex, document: Document, *, is_chosen: bool) -> Iterator[TableEntry]:
    subset = find_list_subset(document.name)
    if document.is_json:
        yield from _read_json_entries(document, subset, takes_any_name=is_chosen)
    elif document.file_suffix == ".txt" and subset is not None:
        yield from _read_text_entries(index, document, subset)
    else:
        entries = list(read_table_entries(index, document, subset))
        if not entries and subset is not None and document.file_suffix == ".csv":
            yield from (e for e in _read_text_entries(index, document, subset) if index.resolve_entry(e.name))
        yield from entries


def _read_text_entries(index: FolderIndex, document: Document, subset: str) -> Iterator[TableEntry]:
    """Read a list with one image a line, perhaps with its class after the name."""
    for line in document.read_lines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if index.resolve_entry(text, document.folder_name):
            yield TableEntry(text, subset, None, is_by_file=True)
            continue
        name, class_name = _split_line(text)
        if class_name != "-1":  # The lists of one class of Pascal VOC have -1 for images without it.
            yield TableEntry(name, subset, class_name, is_by_file=True)


def _split_line(text: str) -> tuple[str, str | None]:
    """Split a line at the last comma, tab, semicolon or space before its class; None if it has no class."""
    for delimiter in ("\t", ",", ";", " "):
        name, separator, rest = text.partition(delimiter)
        if separator:
            values = [value.strip() for value in rest.split(delimiter) if value.strip()]
            return name.strip(), values[0] if len(values) == 1 else None
    return text, None


def _read_json_entries(document: Document, subset: str | None, *, takes_any_name: bool) -> Iterator[TableEntry]:
    """Read lists by subset, records, or the subset by file; `takes_any_name`: any key of a list is a subset."""
    content = document.read_json()
    if isinstance(content, list):
        yield from _read_records(content, subset)
    elif isinstance(content, dict):
        for name, values in _iter_lists(content):
            if takes_any_name or is_subset_word(name) or name.lower().startswith("fold"):
                yield from _read_records(values, normalise_subset(name))
        for name, value in content.items():
            if isinstance(value, str) and is_subset_word(value):
                yield TableEntry(name, normalise_subset(value), None)
            elif isinstance(value, dict) and (split := _find_value(value, _SUBSET_KEYS)) is not None:
                yield TableEntry(name, normalise_subset(split), _to_text(_find_value(value, _CLASS_KEYS)))


def _iter_lists(content: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the lists in an object, also those one level below, such as in `{"splits": {"train": []}}`."""
    for name, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, list):
            yield name, value
        elif isinstance(value, dict) and any(is_subset_word(key) for key in value):
            yield from ((key, item) for key, item in value.items() if isinstance(item, list))


def _read_records(values: Sequence[Any], subset: str | None) -> Iterator[TableEntry]:
    for value in values:
        if isinstance(value, str):
            if subset is not None:
                yield TableEntry(value, subset, None, is_by_file=True)
        elif isinstance(value, dict) and (name := _find_value(value, _FILE_KEYS)) is not None:
            own = _find_value(value, _SUBSET_KEYS)
            class_name = _to_text(_find_value(value, _CLASS_KEYS))
            yield TableEntry(str(name), normalise_subset(own) if own is not None else subset, class_name)


def _find_value(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((record[key] for key in keys if isinstance(record.get(key), str | int)), None)


def _to_text(value: Any) -> str | None:
    return None if value is None else str(value)


def _add_entries(builder: LayoutBuilder, split: SplitList) -> None:
    for entry, folder, source in split.entries:
        paths = builder.add_entry(entry.name, entry.subset, folder, source, entry.class_name)
        if entry.boxes is not None:
            builder.replace_annotations(paths, entry.subset, entry.boxes)
