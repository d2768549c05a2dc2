"""Croissant: its files with their checksums, and the split by a field, a table or a file set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.layouts.builder import LayoutBuilder
from geographer.outputs.audit.layouts.documents import Document, DocumentError
from geographer.outputs.audit.layouts.tables import read_table_entries
from geographer.outputs.audit.names import find_path_subset, find_subset, normalise_subset
from geographer.outputs.audit.report import AuditFinding, Severity, show_path
from geographer.outputs.audit.samples import Layout, Sample

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_MD5: Final = re.compile(r"[0-9a-fA-F]{32}")
_MAX_REGEX: Final = 500


class CroissantFile(NamedTuple):
    """A Croissant document, and what its checksums say of the files beside it."""

    document: Document
    content: dict[str, Any]
    findings: list[AuditFinding]
    checked: int
    unchecked: list[str]
    """Files that are listed and were not hashed, with the reason."""


def read_croissant(index: FolderIndex, documents: Sequence[Document]) -> CroissantFile | None:
    """Read the Croissant document of a folder, and hash the files that it lists; None if there is none."""
    for document in sorted(documents, key=lambda d: (d.name.count("/"), "croissant" not in d.name, d.name)):
        if document.is_json and {"@context", "distribution"} <= document.json_keys:
            try:
                content = document.read_json(dict[str, Any])
            except DocumentError:
                continue
            if (
                "croissant"
                in str(content.get("conformsTo") or content.get("dct:conformsTo") or content["@context"]).lower()
            ):
                findings, checked, unchecked = _check_files(index, document, content)
                return CroissantFile(document, content, findings, checked, unchecked)
    return None


def read_croissant_split(index: FolderIndex, croissant: CroissantFile) -> Layout | None:
    """Return the layout that the document's splits give; None if it names fewer than two subsets of images."""
    document, content = croissant.document, croissant.content
    builder = LayoutBuilder(index, f"a Croissant dataset ({show_path(document.name)})")
    for record_set in _list_objects(content, "recordSet"):
        _add_record_set(builder, document, content, record_set)
    if not len(builder):
        _add_file_sets(builder, document, content)
    layout = builder.build_layout()
    return layout if layout.has_split else None


def _check_files(
    index: FolderIndex, document: Document, content: Mapping[str, Any]
) -> tuple[list[AuditFinding], int, list[str]]:
    findings: list[AuditFinding] = []
    checked, unchecked = 0, []
    for item in _list_objects(content, "distribution"):
        if "FileObject" not in str(item.get("@type")):
            continue
        url, name = (
            str(item.get("contentUrl") or ""),
            str(item.get("@id") or item.get("name") or item.get("contentUrl")),
        )
        path = _find_local(index, document, url)
        expected = next(
            (
                (kind, str(item[kind]).lower())
                for kind, form in (("sha256", _SHA256), ("md5", _MD5))
                if form.fullmatch(str(item.get(kind) or ""))
            ),
            None,
        )
        if path is None:
            unchecked.append(f"{show_path(name)} (its contentUrl is no path in the folder; the network is not asked)")
        elif not path.is_file():
            detail = f"{document.name} lists it"
            findings.append(
                AuditFinding("missing file", Severity.FAULT, url, detail, {"listed_in": show_path(document.name)})
            )
        elif expected is None:
            unchecked.append(f"{show_path(name)} (no SHA-256 or MD5)")
        else:
            checked += 1
            actual = _compute_digest(path, expected[0])
            if actual != expected[1]:
                detail = f"{document.name} records the {expected[0]} {expected[1]}, and the file has {actual}"
                fields = {"listed_in": show_path(document.name), "expected": expected[1], "actual": actual}
                findings.append(AuditFinding("checksum mismatch", Severity.FAULT, url, detail, fields))
    return findings, checked, unchecked


def _find_local(index: FolderIndex, document: Document, url: str) -> Path | None:
    """Return the path of a file in the folder; None for a URL of another machine, or a path that leads out."""
    text = url.removeprefix("file://").replace("\\", "/")
    if not text or "://" in text or text.startswith("/") or ".." in text.split("/") or "\0" in text:
        return None
    path = document.path.parent / text
    try:
        return path if path.resolve().is_relative_to(index.root.resolve()) else None
    except (OSError, RuntimeError, ValueError):
        return None


def _compute_digest(path: Path, kind: str) -> str:
    import hashlib

    try:
        with path.open("rb", buffering=0) as file:
            return hashlib.file_digest(file, kind).hexdigest()
    except OSError as error:
        return f"no digest ({error.strerror})"


def _add_record_set(
    builder: LayoutBuilder, document: Document, content: Mapping[str, Any], record_set: Mapping[str, Any]
) -> None:
    fields = _list_objects(record_set, "field")
    records = record_set.get("data") or record_set.get("cr:data")
    if isinstance(records, list) and not _is_split_set(record_set):
        _add_records(builder, document, record_set, records)
    for field in fields:
        if _names_split(content, field):
            _add_field(builder, document, content, field)


def _is_split_set(record_set: Mapping[str, Any]) -> bool:
    return "split" in str(record_set.get("dataType") or "").lower()


def _names_split(content: Mapping[str, Any], field: Mapping[str, Any]) -> bool:
    """Return whether a field holds the subset: its type is `cr:Split`, or it references a record set of that type."""
    if "split" in str(field.get("dataType") or "").lower():
        return True
    target = str(_get_id(_as_object(field.get("references")).get("field")) or _get_id(field.get("references")) or "")
    split_sets = [_get_id(item) for item in _list_objects(content, "recordSet") if _is_split_set(item)]
    if any(name and (target == name or target.startswith(f"{name}/")) for name in split_sets):
        return True
    return str(field.get("name") or _get_id(field) or "").rpartition("/")[2].lower() in {"split", "subset"}


def _add_records(
    builder: LayoutBuilder, document: Document, record_set: Mapping[str, Any], records: Sequence[Any]
) -> None:
    """Add the images of records that the document holds itself."""
    for record in records:
        if not isinstance(record, dict):
            continue
        values = {str(key).rpartition("/")[2].lower(): value for key, value in record.items()}
        subset = next(
            (normalise_subset(values[key]) for key in ("split", "subset", "split_name") if key in values), None
        )
        texts = [str(value) for value in values.values() if isinstance(value, str)]
        paths = next(
            (found for text in texts if (found := builder.index.resolve_entry(text, document.folder_name))), []
        )
        for path in paths if subset else ():
            builder.add_sample(Sample(path, subset))


def _add_field(
    builder: LayoutBuilder, document: Document, content: Mapping[str, Any], field: Mapping[str, Any]
) -> None:
    """Add the images whose subset a field takes from their paths, or from a column of a table."""
    source = _as_object(field.get("source"))
    name = str(_get_id(source.get("fileSet")) or _get_id(source.get("fileObject")) or "")
    extract = _as_object(source.get("extract"))
    item = next(
        (item for item in _list_objects(content, "distribution") if _get_id(item) == name or item.get("name") == name),
        None,
    )
    if item is None:
        return
    if "fileProperty" in extract:
        for path in _list_file_set(builder.index, document, item):
            if subset := _apply_transforms(path, source):
                builder.add_sample(Sample(path, normalise_subset(subset)))
    elif "column" in extract and (table := _find_local(builder.index, document, str(item.get("contentUrl") or ""))):
        relative = builder.index.find_document(table) or table.name
        try:
            entries = list(read_table_entries(builder.index, Document(table, relative), None))
        except DocumentError as error:
            builder.notes.append(f"{show_path(relative)} was not used: {error}")
            return
        for entry in entries:
            builder.add_entry(entry.name, entry.subset, document.folder_name, relative, entry.class_name)


def _apply_transforms(path: str, source: Mapping[str, Any]) -> str | None:
    """Return what the transforms of a source make of a path; without one, the subset that its folders name."""
    text: str | None = path
    transforms = source.get("transform") or []
    for transform in transforms if isinstance(transforms, list) else [transforms]:
        pattern = str(_as_object(transform).get("regex") or "")
        if pattern and text is not None:
            try:
                match = re.search(pattern[:_MAX_REGEX], text)
            except (re.error, RecursionError):
                return None
            text = next((group for group in match.groups() if group), match[0]) if match else None
    if text is None or text == path:
        return find_path_subset(path)
    return text


def _add_file_sets(builder: LayoutBuilder, document: Document, content: Mapping[str, Any]) -> None:
    """Add the images of file sets whose name is that of a subset."""
    for item in _list_objects(content, "distribution"):
        subset = find_subset(str(item.get("name") or _get_id(item) or ""))
        if subset and "FileSet" in str(item.get("@type")):
            for path in _list_file_set(builder.index, document, item):
                builder.add_sample(Sample(path, subset))


def _list_file_set(index: FolderIndex, document: Document, item: Mapping[str, Any]) -> list[str]:
    """List the images that a file set includes by its patterns."""
    includes, excludes = (_as_list(item.get(key)) for key in ("includes", "excludes"))
    prefix = f"{document.folder_name}/" if document.folder_name else ""
    return [
        path
        for path in index.images
        if any(_fits_pattern(path.removeprefix(prefix), str(pattern)) for pattern in includes)
        and not any(_fits_pattern(path.removeprefix(prefix), str(pattern)) for pattern in excludes)
    ]


def _fits_pattern(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(path, pattern.replace("**/", ""))


def _list_objects(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    values = content.get(key) or content.get(f"cr:{key}") or []
    return [value for value in _as_list(values) if isinstance(value, dict)]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _as_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _get_id(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("@id") or value.get("name")
    return str(value) if value is not None else None
