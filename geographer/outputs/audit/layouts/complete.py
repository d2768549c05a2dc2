"""Complete a layout with what other files say: annotations of a layout without a split, and tables of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.layouts.documents import Document, DocumentError
from geographer.outputs.audit.layouts.tables import read_class_table
from geographer.outputs.audit.report import show_path
from geographer.outputs.audit.samples import Layout, Sample

_TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
_MAX_TABLES = 20


def complete_layout(
    index: FolderIndex, documents: Sequence[Document], layout: Layout, others: Sequence[Layout]
) -> Layout:
    """Return a layout with the annotations and findings of others, and with classes from tables if it has none."""
    for other in others:
        found = {sample.path: sample for sample in other.samples if sample.annotations is not None}
        layout.samples = [_add_annotations(sample, found.get(sample.path)) for sample in layout.samples]
        layout.findings += [finding for finding in other.findings if finding.kind not in _OWN_KINDS]
        if found:
            layout.notes.append(f"took annotations of {len(found):,} images from {show_path(other.name)}")
    if not any(sample.class_name or sample.annotations for sample in layout.samples):
        _add_table_classes(index, documents, layout)
    return layout


_OWN_KINDS = frozenset({"file in no subset", "repeated entry"})
"""Findings about a split, which a layout without one cannot make."""


def _add_annotations(sample: Sample, other: Sample | None) -> Sample:
    if other is None or sample.annotations is not None:
        return sample
    return replace(
        sample, annotations=other.annotations, box_extent=other.box_extent, object_classes=other.object_classes
    )


def _add_table_classes(index: FolderIndex, documents: Sequence[Document], layout: Layout) -> None:
    """Take the classes of images from the first table that has a column of classes for most of them."""
    tables = [document for document in documents if document.file_suffix in _TABLE_SUFFIXES]
    for document in sorted(tables, key=lambda d: (d.name.count("/"), d.name))[:_MAX_TABLES]:
        try:
            classes = read_class_table(index, document)
        except DocumentError:
            continue
        if len(set(classes.values())) > 1:
            layout.samples = [replace(s, class_name=classes.get(s.path, s.class_name)) for s in layout.samples]
            layout.notes.append(f"took the classes of {len(classes):,} images from {show_path(document.name)}")
            return
