"""Build a layout: samples without repetition, their masks, classes from folders, and images that are in no subset."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.names import find_folder_subset, is_label_path, make_pairing_key
from geographer.outputs.audit.report import AuditFinding, Severity, show_path
from geographer.outputs.audit.samples import BoxSummary, Layout, Sample

_GENERIC = "images image imgs img data rgb png jpg tif files chips tiles patches"
_GENERIC_FOLDERS: Final = frozenset(_GENERIC.split())
_MAX_EXAMPLES: Final = 3


class LayoutBuilder:
    """Collects what a reader finds; `build_layout` completes it."""

    def __init__(self, index: FolderIndex, name: str) -> None:
        """Start without samples."""
        self.index, self.name = index, name
        self.notes: list[str] = []
        self.findings: list[AuditFinding] = []
        self.declared: set[str] = set()
        self._samples: dict[tuple[str, str | None], Sample] = {}
        self._repeated: Counter[str] = Counter()
        self._several: list[tuple[str, int]] = []

    def __len__(self) -> int:
        return len(self._samples)

    def add_sample(self, sample: Sample) -> None:
        """Add a sample; a second one of the same file and subset only counts as a repetition."""
        key = sample.path, sample.subset
        if key in self._samples:
            self._repeated[f"{sample.path} in {sample.subset or 'no subset'}"] += 1
        else:
            self._samples[key] = sample

    def add_entry(
        self, entry: str, subset: str | None, base: str, source: str, class_name: str | None = None
    ) -> list[str]:
        """Add the images that an entry of a list means, and return them; a finding if there are none."""
        self.declared |= {subset} if subset else set()
        paths = self.index.resolve_entry(entry, base, subset)
        if not paths:
            self.add_missing(entry, subset, source)
        if len(paths) > 1:
            self._several.append((entry, len(paths)))
        for path in paths:
            self.add_sample(Sample(path, subset, class_name))
        return paths

    def replace_annotations(self, paths: list[str], subset: str | None, boxes: BoxSummary) -> None:
        """Set the annotations of samples that were added before."""
        for path in paths:
            old = self._samples[path, subset]
            self._samples[path, subset] = replace(
                old, annotations=boxes.text, box_extent=boxes.extent, object_classes=boxes.classes
            )

    def add_missing(self, entry: str, subset: str | None, source: str) -> None:
        """Add a finding: a list names a file that the folder does not have."""
        fields = {"subset": show_path(subset or ""), "listed_in": show_path(source)}
        detail = f"{source} lists it, and no such image is in the folder"
        self.findings.append(AuditFinding("missing file", Severity.FAULT, entry, detail, fields))

    def add_finding(
        self, kind: str, severity: Severity, subject: str, detail: str, fields: Mapping[str, Any] | None = None
    ) -> None:
        """Add another finding."""
        self.findings.append(AuditFinding(kind, severity, subject, detail, fields or {}))

    def build_layout(self, *, class_by_path: Mapping[str, str] | None = None) -> Layout:
        """Return the layout: images that are in no subset are added, then masks and classes."""
        self._add_unlisted()
        self._note_repetitions()
        samples = self._pair_labels(sorted(self._samples.values(), key=lambda s: (s.path, s.subset or "")))
        if class_by_path:
            samples = [replace(s, class_name=s.class_name or class_by_path.get(s.path)) for s in samples]
        elif not any(sample.class_name for sample in samples):
            samples = self._name_folder_classes(samples)
        return Layout(self.name, samples, [*self.notes, *self.index.list_notes()], self.findings, self.declared)

    def _add_unlisted(self) -> None:
        listed = {path for path, _ in self._samples}
        unlisted = [path for path in self.index.images if path not in listed]
        for path in unlisted:
            self._samples[path, None] = Sample(path)
        if unlisted and listed:
            for path in unlisted:
                detail = "no subset has it"
                self.findings.append(AuditFinding("file in no subset", Severity.NOTE, path, detail))

    def _note_repetitions(self) -> None:
        for text, count in sorted(self._repeated.items()):
            detail = f"it is listed {count + 1:,} times in one subset"
            self.findings.append(AuditFinding("repeated entry", Severity.HINT, text, detail))
        if self._several:
            examples = ", ".join(f"{show_path(entry)} ({count})" for entry, count in self._several[:_MAX_EXAMPLES])
            self.notes.append(
                f"{len(self._several):,} entries match several images, all of which were taken, such as {examples}"
            )

    def _pair_labels(self, samples: list[Sample]) -> list[Sample]:
        if not self.index.labels:
            return samples
        by_key: dict[str, list[str]] = {}
        for path in self.index.labels:
            by_key.setdefault(make_pairing_key(path), []).append(path)
        paired = [
            sample if sample.label_files else replace(sample, label_files=self._find_labels(sample.path, by_key))
            for sample in samples
        ]
        count = sum(bool(sample.label_files) for sample in paired)
        self.notes.append(
            f"took {len(self.index.labels):,} images for masks by their names or folders "
            f"(such as {show_path(self.index.labels[0])}); {count:,} of {len(samples):,} images have one"
        )
        return paired

    def _find_labels(self, path: str, by_key: Mapping[str, list[str]]) -> tuple[str, ...]:
        return () if is_label_path(path) else tuple(by_key.get(make_pairing_key(path), ()))

    def _name_folder_classes(self, samples: list[Sample]) -> list[Sample]:
        """Take the folder of each image for its class, if the folders look like classes."""
        names = {sample.path: _find_class_folder(sample.path) for sample in samples}
        counts = Counter(name for name in names.values() if name)
        if len(counts) < 2 or not all(names.values()) or any(re.search(r"\d{3}", name) for name in counts):
            return samples
        if len(counts) > max(2, len(names) // 2) or _are_modalities(names):
            return samples
        self.notes.append(f"took the folders of images for their classes: {len(counts):,} classes")
        return [replace(sample, class_name=names[sample.path]) for sample in samples]


def _are_modalities(folders: Mapping[str, str | None]) -> bool:
    """Return whether most names occur in several folders, as those of bands, dates or sensors do, not of classes."""
    places: dict[tuple[str, str], set[str | None]] = {}
    for path, folder in folders.items():
        parent, _, name = path.rpartition("/")
        stem = name.rpartition(".")[0].lower().removesuffix(f"_{folder}".lower())
        places.setdefault((parent.rpartition("/")[0], stem), set()).add(folder)
    return sum(len(names) > 1 for names in places.values()) > len(places) / 2


def _find_class_folder(path: str) -> str | None:
    folder = path.rpartition("/")[0].rpartition("/")[2]
    if not folder or folder.lower() in _GENERIC_FOLDERS or find_folder_subset(folder):
        return None
    return None if set(re.findall(r"[a-z]+", folder.lower())) & {"images", "imgs", "masks"} else folder
